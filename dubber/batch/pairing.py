"""Videos and speech of a folder, paired by name: `a.mp4` with `a.wav`, `a.fr.wav`, `a.de.wav`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from dubber.batch.rows import Row, Rows
from dubber.errors import ConfigError
from dubber.media.languages import is_language, three_letters
from dubber.output import default_output

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".aac")

DEFAULT_PATTERN = "{stem}[.{take}]{suffix}"
"""What names of speech look like: the video's name, then, where there are several, which one it is."""

_TAKE = r"(?P<take>[^/]+?)"
_FIELDS = {
    "take": _TAKE,
    "lang": r"(?P<lang>[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]+)*)",
    "suffix": f"(?P<suffix>(?i:{'|'.join(map(re.escape, AUDIO_SUFFIXES))}))",
}


def pair_folder(folder: Path, pattern: str = DEFAULT_PATTERN, *, results: Path | None = None) -> Rows:
    """Pair videos and speech of a folder by name.

    The result has the name of the speech and the suffix of the video. Where a name tells a language, so does
    the result.

    Args:
        folder: Where to look; below it too, where the pattern names folders.
        pattern: What names of speech look like: text, {stem} for the name of a video without its suffix,
            {lang} for a language tag, {take} for any text, {suffix}; what is in [brackets] may be missing.
        results: A folder that is left out: what lies there was made of the others.

    Raises:
        ConfigError: No such folder, a pattern that cannot be meant, two videos of one name.
    """
    if not folder.is_dir():
        raise ConfigError(
            "There is no such folder.", where=str(folder), advice="Give one with videos and speech."
        )
    folder = folder.absolute()
    found_files = _files(folder, results, is_deep="/" in pattern)
    nameless = [path for path in found_files if not _is_text(path)]
    files = [path for path in found_files if _is_text(path)]
    videos = _videos(files)
    name_form = _compiled(pattern, videos)
    rows, used, alone = [], set(), []
    for path in (path for path in files if path.suffix.lower() in AUDIO_SUFFIXES):
        name = path.relative_to(folder).as_posix()
        found = name_form.fullmatch(name) if videos else None
        if found is None:
            alone.append(f"{name}: no video goes with it")
            continue
        video = videos[found["stem"]]
        used.add(video)
        rows.append(_row(folder, video, path, found))
    alone += [f"{path.name}: no speech goes with it" for path in videos.values() if path not in used]
    alone += [f"{os.fsencode(path.name)!r}: its name is not valid UTF-8; rename it" for path in nameless]
    return Rows(tuple(rows), unpaired=tuple(sorted(alone)))


def _row(folder: Path, video: Path, speech: Path, found: re.Match[str]) -> Row:
    suffix = default_output(video).suffix
    output = speech.relative_to(folder).with_suffix("").as_posix() + suffix
    fields = found.groupdict()
    tag = fields.get("lang") or fields.get("take") or ""
    language = three_letters(tag) if fields.get("lang") or is_language(tag) else ""
    return Row(
        where=speech.name,
        folder=folder.absolute(),
        options={"video": str(video.absolute()), "audio": str(speech.absolute()), "output": output},
        implied={"audio_language": language} if language else {},
    )


def _files(folder: Path, results: Path | None, *, is_deep: bool) -> list[Path]:
    """Videos and sound in a folder, but for what lies below `results`.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        found = sorted(
            path for path in (folder.rglob("*") if is_deep else folder.iterdir()) if path.is_file()
        )
    except OSError as error:
        raise ConfigError(f"The folder cannot be read ({error.strerror}).", where=str(folder)) from error
    return [
        path
        for path in found
        if path.suffix.lower() in (*VIDEO_SUFFIXES, *AUDIO_SUFFIXES)
        and not path.name.startswith(".")
        and not (results is not None and path.is_relative_to(results))
    ]


def _is_text(path: Path) -> bool:
    """Whether a name can be written down."""
    try:
        path.as_posix().encode()
    except UnicodeEncodeError:
        return False
    return True


def _videos(files: Iterable[Path]) -> dict[str, Path]:
    """Videos by name without suffix.

    Raises:
        ConfigError: Two have the same.
    """
    found: dict[str, Path] = {}
    for path in files:
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            continue
        if path.stem in found:
            raise ConfigError(
                f"Two videos are named '{path.stem}': {found[path.stem].name} and {path.name}.",
                where=str(path.parent),
                advice="Rename or move one of them.",
            )
        found[path.stem] = path
    return found


def _compiled(pattern: str, stems: Iterable[str]) -> re.Pattern[str]:
    """A pattern as a regular expression; the longest name of a video that fits goes first.

    Raises:
        ConfigError: It cannot be meant.
    """
    longest_first = sorted(stems, key=lambda stem: (-len(stem), stem))
    forms = {**_FIELDS, "stem": f"(?P<stem>{'|'.join(map(re.escape, longest_first))})"}
    parts, seen = [], []
    for token in re.split(r"(\{[^{}]*\}|[\[\]])", pattern):
        if token.startswith("{"):
            name = token[1:-1]
            if name not in forms or name in seen:
                known = ", ".join("{" + field + "}" for field in forms)
                what = "stands twice in" if name in seen else "is unknown in"
                raise ConfigError(
                    f"'{token}' {what} the pattern '{pattern}'.", where="--pattern", advice=f"Known: {known}."
                )
            seen.append(name)
            parts.append(forms[name])
        else:
            parts.append({"[": "(?:", "]": ")?"}.get(token) or re.escape(token))
    if "stem" not in seen:
        raise ConfigError(
            f"The pattern '{pattern}' does not tell which video a name goes with.",
            where="--pattern",
            advice="Use {stem}, as in '{stem}.{lang}{suffix}'.",
        )
    try:
        return re.compile("".join(parts))
    except re.error as error:
        raise ConfigError(f"The pattern '{pattern}' has a bracket too many.", where="--pattern") from error
