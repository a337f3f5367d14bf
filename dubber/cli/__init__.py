"""The command line: knows people."""
