"""dubber: give it a video of a person talking and new speech; it re-makes the mouth in the original footage."""

__version__ = "0.1.0"
