"""What became of a dub: counts, warnings, and what was left as it is, and why."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dubber.corrections import corrections
from dubber.engine.execute import Run, StageReport
from dubber.pipeline import DubPlan, Performance
from dubber.types import Bool, DubbedVideo, Int8, RetimeMap, Timeline, WhyNot

AUDIBLE_CUT_S = 0.1
"""Speech cut by less, about half a syllable, is not worth a warning."""


REASONS = {
    WhyNot.NO_FACE: "no face",
    WhyNot.OTHER_PERSON: "only other people",
    WhyNot.TOO_SMALL: "the face is too small",
    WhyNot.TURNED_AWAY: "the face is turned away",
    WhyNot.MIXED: "two shots dissolve into each other",
}
"""Why frames were not dubbed, in words."""


@dataclass(frozen=True)
class PassedThrough:
    """A time range of the output that was left as it is, although it was to be dubbed.

    Attributes:
        start_s: Its first frame's time, seconds from the first frame.
        end_s: When its last frame ends.
        why: The most common reason within it.
    """

    start_s: float
    end_s: float
    why: WhyNot


@dataclass(frozen=True)
class Labels:
    """How an output says that it was edited.

    Attributes:
        is_in_metadata: Whether its metadata do.
        manifest: Where its signed manifest is: "embedded", or as "sidecar" beside it; "" where it has none.
        signer: Who signed, as their certificate names them.
        mark: What is written into its pictures.
        consent: Who agreed, as it says.
    """

    is_in_metadata: bool = False
    manifest: Literal["", "embedded", "sidecar"] = ""
    signer: str = ""
    mark: str = ""
    consent: str = ""

    @property
    def sentence(self) -> str:
        """The same in words."""
        if not self.is_in_metadata:
            said = "not at all, but for the mark in its pictures" if self.mark else "not at all"
            return f"Labelled as edited: {said}."
        where = ["in its metadata", *([f"in its pictures ('{self.mark}')"] if self.mark else [])]
        if self.manifest:
            beside = " in a file beside it" if self.manifest == "sidecar" else ""
            where.append(f"signed{beside} by: {self.signer}")
        return f"Labelled as edited: {', '.join(where)}."


@dataclass(frozen=True)
class DubResult:
    """What a dub did.

    Attributes:
        output: The finished file; None when the run was told to stop earlier.
        num_frames: Frames of the output.
        duration_s: Its length.
        frame_rate: Its frames per second, from the median frame distance.
        length_mode: How the lengths were matched.
        num_dubbed_frames: Frames whose mouth was re-made.
        num_copied_frames: Frames whose packets are the video's own, where only ranges were dubbed.
        fit_residual_px: Median distance of tracked and modelled landmarks, px of the 384 crop.
        renderer: The one that made the mouths, which may be another than was asked for; see `warnings`. ""
            where that is no longer in the cache.
        crop_size_px: Side of the face's crop that it worked at: small faces are not enlarged.
        adaptation_gain_db: What learning the person gained on frames held out; None without `--adapt`.
        warnings: What the user may not have meant, in sentences.
        passed_through: What was left as it is, although it was to be dubbed.
        stages: What each stage did.
        seconds: Wall-clock time of the whole.
        labels: How the output says that it was edited.
    """

    output: Path | None
    num_frames: int = 0
    duration_s: float = 0.0
    frame_rate: float = 0.0
    length_mode: str = ""
    num_dubbed_frames: int = 0
    num_copied_frames: int = 0
    fit_residual_px: float = float("nan")
    renderer: str = ""
    crop_size_px: int = 0
    adaptation_gain_db: float | None = None
    warnings: tuple[str, ...] = ()
    passed_through: tuple[PassedThrough, ...] = ()
    stages: tuple[StageReport, ...] = field(default=())
    seconds: float = 0.0
    labels: Labels = Labels()


def describe(
    run: Run, dub_plan: DubPlan, dubbed: DubbedVideo, output: Path, labels: Labels, started: float
) -> DubResult:
    """Say what a finished run did.

    Args:
        run: The run, whose results are in the cache.
        dub_plan: Its plan.
        dubbed: What it made.
        output: Where that was put.
        labels: How it says that it was edited.
        started: `time.perf_counter` at its beginning.
    """
    # Too dear to be made again for a report, where only they were thrown out of the cache.
    mouths = run.peek(dub_plan.rendered)
    adapted = None if dub_plan.adapted is None else run.peek(dub_plan.adapted)
    return DubResult(
        output=output,
        num_frames=dubbed.num_frames,
        duration_s=dubbed.duration_s,
        frame_rate=float(run.get(dub_plan.clip).frame_rate),
        length_mode=run.get(dub_plan.timeline).mode,
        num_dubbed_frames=int(dubbed.is_dubbed_N.sum()),
        num_copied_frames=dubbed.num_copied_frames,
        fit_residual_px=float(np.nanmedian(run.get(dub_plan.coeffs).residual_px_T)),
        renderer="" if mouths is None else mouths.renderer,
        crop_size_px=0 if mouths is None else mouths.crop_size_px,
        adaptation_gain_db=None if adapted is None else adapted.after_db - adapted.before_db,
        warnings=tuple(_warnings(run, dub_plan, dubbed)),
        passed_through=passed_through(run, dub_plan, dubbed),
        stages=tuple(run.reports),
        seconds=time.perf_counter() - started,
        labels=labels,
    )


def result_document(result: DubResult) -> dict[str, Any]:
    """A result as JSON takes it: what `--json` prints."""
    return {
        "output": None if result.output is None else str(result.output),
        "frames": result.num_frames,
        "duration_s": round(result.duration_s, 3),
        "frame_rate": round(result.frame_rate, 3),
        "length": result.length_mode,
        "usable_faces": result.num_dubbed_frames,
        "copied_frames": result.num_copied_frames,
        "fit_residual_px": None if result.output is None else round(result.fit_residual_px, 3),
        "renderer": result.renderer or None,
        "crop_size_px": result.crop_size_px or None,
        "adaptation_gain_db": _rounded(result.adaptation_gain_db),
        "labels": asdict(result.labels),
        "warnings": list(result.warnings),
        "passed_through": [
            {"start_s": each.start_s, "end_s": each.end_s, "why": each.why.name.lower()}
            for each in result.passed_through
        ],
        "seconds": round(result.seconds, 3),
        "fps": round(result.num_frames / result.seconds, 2) if result.seconds else 0.0,
        "cache_hits": [report.name for report in result.stages if report.is_hit],
        "stages": [
            {
                "name": report.name,
                "seconds": round(report.seconds, 3),
                "cpu_seconds": round(report.cpu_s, 3),
                "is_hit": report.is_hit,
                "key": report.key,
            }
            for report in result.stages
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _warnings(run: Run, dub_plan: DubPlan, dubbed: DubbedVideo) -> list[str]:
    """What the user may not have meant."""
    found = []
    if not dubbed.is_dubbed_N.any():
        found.append("Nothing was dubbed: no frame of the output shows a usable face.")
    for person in dub_plan.performances:
        found += run.get(person.track).warnings
    wanted = dub_plan.config.render.renderer
    mouths = [made for painting in dub_plan.paintings if (made := run.peek(painting.rendered)) is not None]
    for used in sorted({made.renderer for made in mouths} - {wanted}):
        found.append(
            f"The renderer '{wanted}' would have painted this clip worse than '{used}', which was used."
        )
    adapted = None if dub_plan.adapted is None else run.peek(dub_plan.adapted)
    if adapted is not None and not adapted.painter:
        found.append(
            "Learning the person gained too little to be kept: the footage is short, or suits as it is."
        )
    found += corrections(run, dub_plan).warnings
    found += dubbed.left_out
    if dub_plan.script.keeps_rest and not dubbed.num_copied_frames:
        found.append(f"All pictures were encoded anew: {dubbed.why_not_copied}")
    found += _cut_speech(run, dub_plan)
    return found


def _cut_speech(run: Run, dub_plan: DubPlan) -> list[str]:
    """What of the speech is not heard."""
    timeline, script = run.get(dub_plan.timeline), dub_plan.script
    if script.has_places:
        end_s = timeline.duration_s
        lost_s = sum(max(line.end_s - max(line.start_s, end_s), 0.0) for line in script.lines)
        return [f"{lost_s:.1f} s of lines lie behind the film's end."] if lost_s > AUDIBLE_CUT_S else []
    said_s = max(run.get(person.speech).duration_s for person in dub_plan.performances)
    cut_s = said_s - timeline.audio_duration_s
    if cut_s <= AUDIBLE_CUT_S:
        return []
    others = "loop, bounce and remap" if script.num_speakers > 1 else "auto, retime, loop, bounce and remap"
    said = f"The last {cut_s:.1f} s of the speech were cut off (--length {timeline.mode})"
    return [f"{said}; {others} keep all of it."]


def passed_through(run: Run, dub_plan: DubPlan, dubbed: DubbedVideo) -> tuple[PassedThrough, ...]:
    """Runs of frames that were to be dubbed and were not.

    Args:
        run: Has the tracks.
        dub_plan: Its plan.
        dubbed: Which frames were.
    """
    timeline, retime = run.get(dub_plan.timeline), run.get(dub_plan.retime)
    is_missed_N = np.zeros(timeline.num_frames, np.bool_)
    why_N = np.zeros(timeline.num_frames, np.int8)
    for person in dub_plan.performances:
        expression, why_person_N = run.get(person.expression), _why(run, person, retime)
        is_lost_N = expression.is_asked_N & ~dubbed.is_dubbed_N
        if len(dub_plan.performances) > 1:  # others may be dubbed meanwhile; who is silent is not missed
            is_lost_N = expression.is_asked_N & ~expression.is_silent_N & (why_person_N != WhyNot.USABLE)
        why_N = np.where(is_lost_N & ~is_missed_N, why_person_N, why_N)
        is_missed_N |= is_lost_N
    return tuple(_ranges(timeline, is_missed_N, why_N))


def _why(run: Run, person: Performance, retime: RetimeMap) -> Int8:
    """(N,) `WhyNot` of each output frame's source."""
    return run.get(person.track).why_not_T[retime.source_index_N]


def _ranges(timeline: Timeline, is_missed_N: Bool, why_N: Int8) -> list[PassedThrough]:
    edges_s = np.append(timeline.times_s_N, timeline.duration_s)
    changes = np.flatnonzero(np.diff(np.concatenate([[False], is_missed_N, [False]]).astype(np.int8)))
    ranges = []
    for start, stop in zip(changes[::2], changes[1::2], strict=True):
        # A half-way picture lacks its face where the next frame does.
        reasons = Counter(code for code in why_N[start:stop].tolist() if code != WhyNot.USABLE)
        why = WhyNot(reasons.most_common(1)[0][0]) if reasons else WhyNot.NO_FACE
        ranges.append(PassedThrough(round(float(edges_s[start]), 3), round(float(edges_s[stop]), 3), why))
    return ranges
