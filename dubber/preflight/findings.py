"""What a preflight has to say, as values: what is wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from dubber.errors import ConfigError, DubberError

Level = Literal["error", "warning", "info"]
"""error: a run would fail. warning: it would do what the user may not have meant. info: good to know."""

Range = tuple[float, float]
"""From, to, in seconds of the video."""


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        level: How bad it is.
        code: Its name for programs, in words-with-hyphens; stays the same from version to version.
        message: What is so, in one sentence.
        where: The file or setting it concerns.
        advice: What to do next; "" where there is nothing to do.
        ranges_s: Time ranges of the video it concerns; empty: no time or all of it.
        cause: The failure that a run would end with; only errors have one.
    """

    level: Level
    code: str
    message: str
    where: str = ""
    advice: str = ""
    ranges_s: tuple[Range, ...] = ()
    cause: DubberError | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of_error(cls, code: str, error: DubberError) -> Finding:
        """What a run would fail with."""
        return cls("error", code, error.message, error.where, error.advice, cause=error)

    @property
    def exit_code(self) -> int:
        """What a run would end with: 0 unless it is an error."""
        return 0 if self.cause is None else self.cause.exit_code


@contextmanager
def caught(findings: list[Finding], code: str) -> Iterator[None]:
    """Let a failure inside the block become a finding, so that the other checks go on.

    Args:
        findings: Where it is put.
        code: Its name.
    """
    try:
        yield
    except DubberError as error:
        findings.append(Finding.of_error(code, error))


def failure(findings: tuple[Finding, ...], *, is_strict: bool = False) -> DubberError | None:
    """What a run should end with for what was found.

    Args:
        findings: All that was found.
        is_strict: Warnings count too.

    Returns:
        The first error's failure; with `is_strict` else a `ConfigError` that names the warnings; None where
        nothing stands against a run.
    """
    for finding in findings:
        if finding.cause is not None:
            return finding.cause
    warnings = [finding for finding in findings if finding.level == "warning"]
    if not (is_strict and warnings):
        return None
    return ConfigError(
        f"Strict, and there is a warning: {warnings[0].message}"
        if len(warnings) == 1
        else f"Strict, and there are {len(warnings)} warnings: {', '.join(w.code for w in warnings)}.",
        where=warnings[0].where,
        advice=warnings[0].advice or "Change what they are about, or leave `--strict` out.",
    )
