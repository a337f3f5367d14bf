"""What the user's curves change in a dub, and whether they fit it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dubber.curves import facts as f
from dubber.curves.opening import LipOpening
from dubber.curves.table import read_table
from dubber.engine.execute import Run
from dubber.models.morphable import LinearFaceModel
from dubber.pipeline import DubPlan, Performance
from dubber.stages.fit import FACE_MODEL
from dubber.types import Bool, Float64, RetimeMap

_OWN_RANGE = (1, 99)
"""Percentiles of the footage's openings that count as the person's own range."""

_BEYOND = 0.05
"""An opening that is wider than the person's own by more, in distances of the eyes, is worth a warning."""


@dataclass(frozen=True)
class Changed:
    """What the curves change of one speaker, or of the footage.

    Attributes:
        what: The speaker, or the footage, in words.
        num_frames: Frames that change.
        ranges: First and last frame of each stretch of them.
        how_much: The largest change, in words; "" if there is none.
    """

    what: str
    num_frames: int
    ranges: tuple[tuple[int, int], ...]
    how_much: str


@dataclass(frozen=True)
class Corrections:
    """What the curves change.

    Attributes:
        changed: Per speaker, and of the footage.
        warnings: What the user may not have meant, in sentences.
    """

    changed: tuple[Changed, ...]
    warnings: tuple[str, ...]


def lip_opening(run: Run, person: Performance) -> LipOpening:
    """How a speaker's expressions open the mouth.

    Raises:
        DubberError: The face model is missing or damaged, or a stage failed.
    """
    model = LinearFaceModel.from_weight(run.runtime.weights.open(FACE_MODEL))
    return LipOpening.of_person(model, run.get(person.coeffs).identity_K)


def own_range(run: Run, person: Performance) -> tuple[float, float]:
    """How far a speaker's mouth is open in the footage: its most shut and its widest, without outliers."""
    usable_T = run.get(person.track).is_usable_T
    opening = lip_opening(run, person)
    low, high = np.percentile(opening.of(run.get(person.coeffs).expression_TK[usable_T]), _OWN_RANGE)
    return float(low), float(high)


def facts_of(run: Run, dub_plan: DubPlan) -> dict[str, str]:
    """What an export of a dub's curves says of itself.

    Args:
        run: The run of the plan; stages that are missing are made.
        dub_plan: Its plan.
    """
    timeline = run.get(dub_plan.timeline)
    video = run.get(dub_plan.video)
    nodes, said = dub_plan.plan.nodes, dub_plan.script.voices
    voices = [node.source for node in nodes if node.source is not None and node.source.path in said]
    return {
        f.FORMAT: f.FORMAT_VALUE,
        f.VIDEO: video.path.name,
        f.VIDEO_SHA256: video.sha256,
        f.SPEECH: " ".join(voice.path.name for voice in voices),
        f.SPEECH_SHA256: " ".join(voice.sha256 for voice in voices),
        f.NUM_FRAMES: str(timeline.num_frames),
        f.FRAME_RATE: f.rate_text(timeline),
        f.NUM_SOURCE_FRAMES: str(run.get(dub_plan.clip).num_frames),
        f.FACE_MODEL: run.runtime.weights.entry(FACE_MODEL).sha256,
        f.EXPRESSION_KEY: " ".join(person.translated.key for person in dub_plan.performances),
        f.RETIME_KEY: dub_plan.retimed.key,
        f.OWN_OPENING: "; ".join(_range_text(*own_range(run, each)) for each in dub_plan.performances),
    }


def _range_text(low: float, high: float) -> str:
    return f"{round(low, 3) + 0.0:.3f} to {high:.3f}"  # zero has no sign


def corrections(run: Run, dub_plan: DubPlan) -> Corrections:
    """Compare what the user's curves ask for with what was computed.

    Args:
        run: The run of the plan; stages that are missing are made.
        dub_plan: Its plan.

    Returns:
        What they change: nothing, if there are none.

    Raises:
        ConfigError: The curves are wrong.
    """
    if dub_plan.curves is None:
        return Corrections((), ())
    table = read_table(run.get(dub_plan.curves).path)
    warnings = f.misfits(table.facts, facts_of(run, dub_plan))
    changed = []
    for number, person in enumerate(dub_plan.performances, 1):
        who = "mouth" if len(dub_plan.performances) == 1 else f"mouth of speaker {number}"
        changed.append(_changed_mouth(run, person, who))
        warnings += _beyond_reach(run, person, who)
    changed.append(_changed_footage(run, dub_plan))
    return Corrections(tuple(changed), tuple(warnings))


def _changed_mouth(run: Run, person: Performance, who: str) -> Changed:
    computed_NK, wanted_NK = (run.get(ref).expression_NK for ref in (person.translated, person.expression))
    difference_NK = wanted_NK - computed_NK
    is_changed_N = (difference_NK != 0).any(axis=1)
    if not is_changed_N.any():
        return Changed(who, 0, (), "")
    opening = lip_opening(run, person)
    before_N, after_N = opening.of(computed_NK), opening.of(wanted_NK)
    n = int(np.argmax(np.abs(after_N - before_N)))
    row, k = np.unravel_index(np.argmax(np.abs(difference_NK)), difference_NK.shape)
    how_much = (
        f"opening {before_N[n]:.3f} -> {after_N[n]:.3f} at frame {n}, "
        f"expression_{k:02d} {computed_NK[row, k]:.2f} -> {wanted_NK[row, k]:.2f} at frame {row}"
    )
    return Changed(who, int(is_changed_N.sum()), _ranges(is_changed_N), how_much)


def _changed_footage(run: Run, dub_plan: DubPlan) -> Changed:
    computed_N, wanted_N = (_positions(run.get(ref)) for ref in (dub_plan.retimed, dub_plan.retime))
    is_changed_N = computed_N != wanted_N
    if not is_changed_N.any():
        return Changed("footage", 0, (), "")
    n = int(np.argmax(np.abs(wanted_N - computed_N)))
    how_much = f"source frame {computed_N[n]:g} -> {wanted_N[n]:g} at frame {n}"
    return Changed("footage", int(is_changed_N.sum()), _ranges(is_changed_N), how_much)


def _beyond_reach(run: Run, person: Performance, who: str) -> list[str]:
    """A sentence if the user opens the mouth much wider than the footage shows it."""
    before_NK, after_NK = (run.get(ref).expression_NK for ref in (person.translated, person.expression))
    opening, (_, widest) = lip_opening(run, person), own_range(run, person)
    after_N = opening.of(after_NK)
    is_beyond_N = (after_N > widest + _BEYOND) & (after_N > opening.of(before_NK) + _BEYOND)
    if not is_beyond_N.any():
        return []
    return [
        f"In {int(is_beyond_N.sum())} frames the {who} opens to {after_N.max():.2f}; the footage shows it at "
        f"most {widest:.2f} open, and what it does not show has to be made up."
    ]


def _positions(retime: RetimeMap) -> Float64:
    return np.asarray(retime.source_index_N + 0.5 * retime.is_halfway_N, np.float64)


def _ranges(is_changed_N: Bool) -> tuple[tuple[int, int], ...]:
    """First and last index of each run of true ones."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_changed_N, [False]]).astype(np.int8)))
    return tuple((int(first), int(stop) - 1) for first, stop in zip(edges[::2], edges[1::2], strict=True))
