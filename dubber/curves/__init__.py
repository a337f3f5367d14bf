"""What a mouth does as tables that a person edits: their form, their reading, and what the edits mean."""
