"""dubber: give it a talking clip and new speech; it re-makes the mouth in the original footage."""

__version__ = "0.1.0"
