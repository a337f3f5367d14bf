"""Face trackers behind one protocol."""
