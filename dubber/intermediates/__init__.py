"""What a dub made on its way, as pictures and files for people."""

from dubber.intermediates.files import export
from dubber.intermediates.side_by_side import write_side_by_side

__all__ = ["export", "write_side_by_side"]
