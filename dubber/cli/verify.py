"""`dubber verify`: what a file tells of its being edited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dubber.cli import options as o
from dubber.cli.console import escape, print_json, say, set_up_logging
from dubber.errors import FileChangedError

if TYPE_CHECKING:
    from dubber.media.edits import Edits, Range
    from dubber.provenance.verification import Verification

_MOST_RANGES = 12


def verify(
    file: Annotated[Path, typer.Argument(help="A video.", show_default=False)],
    trust: Annotated[
        Path | None,
        typer.Option(
            "--trust",
            metavar="PEM",
            help="Certificates of authorities that you trust: whoever they vouch for is trusted too.",
            show_default=False,
        ),
    ] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Say what was edited in FILE, by what, who signed for it, and whether it was changed since (exit 11)."""
    set_up_logging(verbosity=0, is_quiet=quiet)
    from dubber.provenance.verification import Verdict
    from dubber.provenance.verification import verify as read

    found = read(file, trust)
    for line in _lines(found):
        say(line, is_quiet=quiet)
    if json:
        print_json(found.document())
    if found.verdict is Verdict.changed:
        raise typer.Exit(FileChangedError.exit_code)


def _lines(found: Verification) -> Iterator[str]:
    from dubber.provenance.verification import Verdict

    is_signed = found.verdict is Verdict.signed
    edited = "edited, and " if is_signed and found.edits else ""
    yield f"{escape(str(found.path))}: {edited}{_VERDICTS[found.verdict.name]}"
    for edits in found.edits:
        yield from _edit_lines(edits)
    manifest = found.manifest
    if manifest is None or not manifest.document:
        return
    if found.verdict is Verdict.changed:
        yield f"What does not hold: {_plain(', '.join(manifest.failures))}."
    when = f" on {_plain(manifest.signed_at)}, by the signer's clock" if manifest.signed_at else ""
    yield f"Signed{when}, by: {_plain(manifest.signer) or 'unknown'}. {_who(found)}"
    if not manifest.assertion:
        actions = _plain(", ".join(str(each.get("action", "")) for each in manifest.actions))
        yield f"Made with {_plain(manifest.generator) or 'another program'}: {actions or 'no actions'}."
    source = manifest.assertion.get("source")
    if isinstance(source, dict):
        yield f"Made from {_plain(str(source.get('name')))}, sha256 {_plain(str(source.get('sha256')))}."


_VERDICTS = {
    "signed": "[bold]as it was signed[/]; it was not changed since.",
    "changed": "[bold red]changed since it was signed.[/] What it says of itself may be wrong.",
    "unsigned": "[bold]edited[/]. Nothing in it is signed: whether it was changed since cannot be told.",
    "unread": "signed; `pip install 'dubber[c2pa]'` adds what reads and checks it.",
    "nothing": "nothing was found. That does not mean that it is an original: labels can be removed.",
}


def _who(found: Verification) -> str:
    """How much a signer's name is worth."""
    if found.manifest is not None and found.manifest.is_trusted:
        return "An authority that you trust vouches for them."
    if found.is_own:
        return (
            "A computer made that certificate for itself: it can show that a file was not changed, "
            "not who made it."
        )
    return "Nobody whom you trust vouches for that name: `--trust PEM` says whom you do."


def _edit_lines(edits: Edits) -> Iterator[str]:
    if not edits.dubber:
        yield "Edited with dubber; which parts, it does not tell."
        return
    yield f"Edited with dubber {_plain(edits.dubber)}, {edits.duration_s:.2f} s:"
    yield f"  mouth re-made: {_ranges(edits.pictures)}"
    yield f"  other sound: {_ranges(edits.sound)}"
    if edits.length in _LENGTHS:
        yield f"  times: {_LENGTHS[edits.length]} (--length {edits.length})"
    if edits.moved:
        yield f"  pictures of other times: {_ranges(edits.moved)}"
    if edits.copied:
        yield f"  copied as they were: {_ranges(edits.copied)}"
    if edits.encoded:
        yield f"  encoded again, not changed: {_ranges(edits.encoded)}"
    if edits.mark:
        when = f", {_ranges(edits.marked)}" if edits.marked else ""
        yield f"  written into the pictures: {_plain(edits.mark)}{when}"
    yield f"  consent: {_plain(edits.consent) or 'not told'}"


_LENGTHS = {
    "loop": "the footage is repeated",
    "bounce": "the footage is repeated, forwards and backwards",
    "remap": "the footage is stretched",
    "retime": "frames are shown at other times than they were filmed",
}


def _ranges(ranges: tuple[Range, ...]) -> str:
    said = [f"{start:.2f} to {end:.2f} s" for start, end in ranges[:_MOST_RANGES]]
    more = len(ranges) - len(said)
    return ", ".join(said) + (f" and {more} more (--json has all)" if more else "") if said else "nowhere"


def _plain(text: str) -> str:
    """What a file says, which may be anything, without what a terminal would obey."""
    return escape("".join(letter if letter.isprintable() else "?" for letter in text))
