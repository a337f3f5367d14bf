"""What a job warns of: all that `dubber run` would have shown its user, as events and for `results.jsonl`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from dubber.batch.events import Event, Tell, Warned
from dubber.outcome import REASONS, DubResult
from dubber.preflight import Finding
from dubber.types import WhyNot


class Heard:
    """Passes events on, and keeps the warnings among them, each once.

    Args:
        tell: Takes the events.
        before: What was warned of earlier.
    """

    def __init__(self, tell: Tell, before: Iterable[Warned] = ()) -> None:
        self._tell = tell
        self._warnings = dict.fromkeys(before)

    @property
    def warnings(self) -> tuple[Warned, ...]:
        """All of them so far, in order."""
        return tuple(self._warnings)

    def tell(self, event: Event) -> None:
        """Take an event; from any thread."""
        if isinstance(event, Warned):
            self._warnings[event] = None
        self._tell(event)


def of_findings(job: str, findings: Iterable[Finding]) -> list[Warned]:
    """The warnings before the work.

    Args:
        job: The job's name.
        findings: Of any level.
    """
    return [
        Warned(job, f"{finding.message} {finding.advice}".strip(), finding.ranges_s)
        for finding in findings
        if finding.level == "warning"
    ]


def of_result(job: str, result: DubResult) -> list[Warned]:
    """What the user may not have meant, and what was left as it was: one for each reason.

    Args:
        job: The job's name.
        result: Of its dub.
    """
    ranges_s = defaultdict[WhyNot, list[tuple[float, float]]](list)
    for each in result.passed_through:
        ranges_s[each.why].append((each.start_s, each.end_s))
    return [
        *(Warned(job, warning) for warning in result.warnings),
        *(Warned(job, _left(why, ranges), tuple(ranges)) for why, ranges in ranges_s.items()),
    ]


def _left(why: WhyNot, ranges_s: list[tuple[float, float]]) -> str:
    reason = REASONS[why]
    time_s = sum(end_s - start_s for start_s, end_s in ranges_s)
    return f"{reason[0].upper()}{reason[1:]}: {time_s:.1f} s were left as they were."
