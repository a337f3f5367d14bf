"""What was done to a person's mouth, frame by frame, as stretches of time.

Index letters: N output frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from dubber.engine.execute import Run
from dubber.outcome import REASONS
from dubber.pipeline import DubPlan, Painting, Performance
from dubber.stages.compositor import fade_strength
from dubber.types import Float64, Int8, Mouths, Timeline, WhyNot

State = Literal["dubbed", "silent", "faded", "passed", "kept", "copied"]

WORDS: dict[State, str] = {
    "dubbed": "dubbed",
    "silent": "silent: the mouth rests",
    "faded": "faded in or out",
    "passed": "passed through",
    "kept": "the film's own, as asked, encoded again",
    "copied": "the film's own, as asked, copied as it was",
}
"""The states, in words; in the order of a legend."""

_STATES: tuple[State, ...] = tuple(WORDS)


@dataclass(frozen=True)
class Stretch:
    """Frames of one state that follow each other.

    Attributes:
        start_s: When the first is shown, seconds from the first output frame.
        end_s: When the last ends.
        start: Number of the first.
        stop: Behind the last.
        state: What was done.
        why: Why frames were passed through, in words; else empty.
    """

    start_s: float
    end_s: float
    start: int
    stop: int
    state: State
    why: str = ""

    @property
    def words(self) -> str:
        """The state and its reason."""
        return f"{WORDS[self.state]} ({self.why})" if self.why else WORDS[self.state]


def coverage(run: Run, dub_plan: DubPlan, speaker: int) -> tuple[Stretch, ...]:
    """What was done to one speaker's mouth.

    Args:
        run: Has the plan's results.
        dub_plan: A plan that was run.
        speaker: Which one, counting from 0.

    Returns:
        Stretches without gaps from the first frame to the last.
    """
    timeline = run.get(dub_plan.timeline)
    person, painting = dub_plan.performances[speaker], dub_plan.paintings[speaker]
    state_N, why_N = _states(run, dub_plan, person, painting)
    return stretches(timeline, state_N, why_N)


def stretches(timeline: Timeline, state_N: Int8, why_N: Int8) -> tuple[Stretch, ...]:
    """Join frames of one state and reason.

    Args:
        timeline: When frames are shown.
        state_N: (N,) int8, index into the keys of `WORDS`.
        why_N: (N,) int8 `WhyNot`.
    """
    edges_s_N = frame_edges_s(timeline)
    is_other_N = (np.diff(state_N) != 0) | (np.diff(why_N) != 0)
    edges = [0, *(np.flatnonzero(is_other_N) + 1).tolist(), len(state_N)]
    found = []
    for start, stop in pairwise(edges):
        state, why = _STATES[state_N[start]], WhyNot(int(why_N[start]))
        reason = REASONS.get(why, "") if state == "passed" else ""
        found.append(Stretch(float(edges_s_N[start]), float(edges_s_N[stop]), start, stop, state, reason))
    return tuple(found)


def frame_edges_s(timeline: Timeline) -> Float64:
    """(N + 1,) seconds at which frames begin, and at which the last ends."""
    return np.append(timeline.times_s_N, timeline.duration_s)


def _states(run: Run, dub_plan: DubPlan, person: Performance, painting: Painting) -> tuple[Int8, Int8]:
    """(N,) int8 index of the state, and (N,) int8 `WhyNot` of those that were passed through."""
    expression, track, retime = run.get(person.expression), run.get(person.track), run.get(dub_plan.retime)
    mouths: Mouths = run.get(painting.rendered)
    shot_N = track.shot_id_T[retime.source_index_N]
    strength_N = fade_strength(mouths.has_patch_N, shot_N, dub_plan.config.blend.fade_frames)
    is_passed_N = expression.is_asked_N & ~mouths.has_patch_N
    is_kept_N = ~expression.is_asked_N & ~mouths.has_patch_N
    is_copied_N = run.get(dub_plan.dubbed).is_copied_N
    state_N = np.select(
        [is_kept_N & is_copied_N, is_kept_N, is_passed_N, strength_N < 1, expression.is_silent_N],
        [_STATES.index(name) for name in ("copied", "kept", "passed", "faded", "silent")],
        _STATES.index("dubbed"),
    )
    why_N = np.where(is_passed_N, track.why_not_T[retime.source_index_N], WhyNot.USABLE)
    # A half-way picture lacks its face where the next frame does.
    why_N = np.where(is_passed_N & (why_N == WhyNot.USABLE), WhyNot.NO_FACE, why_N)
    return state_N.astype(np.int8), why_N.astype(np.int8)
