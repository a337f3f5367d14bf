"""The steps of the method; each file holds one stage and its parameters."""
