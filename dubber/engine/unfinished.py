"""Names that tell whose an unfinished file is, so that what a killed process left is known and swept."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import uuid
from contextlib import suppress
from pathlib import Path


def new_tag() -> str:
    """A name that no other process has, and that says which one this is: <host>-<pid>-<random>."""
    return f"{_host()}-{os.getpid()}-{uuid.uuid4().hex}"


def is_tag(name: str) -> bool:
    """Whether it is a name of `new_tag`, of whatever machine."""
    return re.fullmatch(r"[^-/]+-[0-9]+-[0-9a-f]{32}", name) is not None


def is_abandoned(tag: str) -> bool:
    """Whether a name of `new_tag` is of a process of this machine that has ended."""
    host, _, rest = tag.rpartition("-")[0].rpartition("-")
    return host == _host() and rest.isdigit() and not _is_alive(int(rest))


def part_of(path: Path) -> Path:
    """A hidden file beside another one, to be written and then given its name."""
    return path.with_name(f"{_prefix(path)}{new_tag()}.part")


def sweep_parts(path: Path) -> None:
    """Remove what killed processes left of `part_of` this file."""
    with suppress(OSError):
        for part in path.parent.glob(f"{_prefix(path)}*.part"):
            if is_abandoned(part.stem.removeprefix(_prefix(path))):
                part.unlink()


def _prefix(path: Path) -> str:
    # Not the name itself: with all that follows it would be too long for the disk.
    return f".dubber-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]}-"


def _host() -> str:
    return socket.gethostname().replace("-", "_") or "host"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
