"""Running out of file handles, as where a system lends few of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path

import pytest


@contextmanager
def few_handles(number: int = 50) -> Iterator[None]:
    """Inside the block, only so many more files can be open at once."""
    resource = pytest.importorskip("resource", reason="this system has no limit to lower")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(handle.name) for handle in Path("/dev/fd").iterdir()}
    free = islice((handle for handle in count() if handle not in taken), number)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(free) + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
