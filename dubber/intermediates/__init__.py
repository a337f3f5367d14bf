"""What a dub made on its way, as pictures and files for people."""

from dubber.intermediates.files import export
from dubber.intermediates.overlay import write_overlay
from dubber.intermediates.sheets import check_sheet, stage_sheet, write_sheet
from dubber.intermediates.side_by_side import write_side_by_side

__all__ = ["check_sheet", "export", "stage_sheet", "write_overlay", "write_sheet", "write_side_by_side"]
