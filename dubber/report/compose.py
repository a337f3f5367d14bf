"""Everything that a page shows, gathered from a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dubber.engine.execute import Run
from dubber.engine.stage import Runtime
from dubber.evaluation.coverage import coverage
from dubber.evaluation.quality import Quality
from dubber.outcome import DubResult
from dubber.pipeline import DubPlan
from dubber.report import facts as words
from dubber.report.curves import Curve, mouth_curves, pooled
from dubber.report.facts import ReportFacts
from dubber.report.page import Contents, SpeakerTrack
from dubber.report.pictures import Pictures
from dubber.report.player import Film
from dubber.report.summary import Summary

_SEEN_EVERY = 4
"""Of the seen opening's steps of 10 ms: one per frame of a film of 25 frames per second."""


def contents_of(
    run: Run,
    dub_plan: DubPlan,
    runtime: Runtime,
    result: DubResult,
    quality: Quality,
    pictures: Pictures,
    addresses: Mapping[Path, str],
    facts: ReportFacts,
) -> Contents:
    """Everything that the page shows.

    Args:
        run: Has the plan's results.
        dub_plan: The plan that was run.
        runtime: Names the weights.
        result: What the run did.
        quality: Measured on the finished file.
        pictures: Of source and dub.
        addresses: Where the page finds their files.
        facts: What plan and result do not tell.
    """
    timeline = run.get(dub_plan.timeline)
    tracks = tuple(_track(run, dub_plan, quality, speaker) for speaker in range(dub_plan.script.num_speakers))
    sound = pictures.source_sound
    film = Film(
        address=addresses[pictures.film],
        source_sound=None if sound is None else addresses[sound],
        layout=pictures.layout,
        moments=pictures.moments,
        times_s=timeline.times_s_N.tolist(),
        end_s=timeline.duration_s,
        sources=run.get(dub_plan.retime).source_index_N.tolist(),
        states=tuple(
            tuple((each.start, each.stop, _named(track.name, each.words)) for each in track.stretches)
            for track in tracks
        ),
    )
    name = facts.name or ("" if result.output is None else result.output.name)
    verdicts = tuple((figure.name, figure.verdict, figure.words) for figure in quality.figures)
    return Contents(
        summary=Summary(name, timeline.duration_s, verdicts, pictures.thumbnail, result.warnings),
        result=result,
        film=film,
        tracks=tracks,
        quality=quality,
        outcome=words.result_rows(result),
        asked=words.asked_rows(dub_plan, runtime),
        settings=words.setting_rows(dub_plan.config),
        labels=words.label_rows(result, facts),
        weights=words.weight_rows(dub_plan, runtime),
        versions=words.version_rows(),
    )


def _track(run: Run, dub_plan: DubPlan, quality: Quality, speaker: int) -> SpeakerTrack:
    names = dub_plan.script.speakers
    return SpeakerTrack(
        name=f"Speaker {names[speaker]}" if len(names) > 1 else "",
        stretches=coverage(run, dub_plan, speaker),
        curves=mouth_curves(run, dub_plan, speaker),
        seen=_seen(quality, speaker),
    )


def _seen(quality: Quality, speaker: int) -> Curve | None:
    """The opening that was tracked in the output, where it was."""
    openings = quality.openings[speaker]
    if not openings.is_seen_F.any():
        return None
    seen_F = np.where(openings.is_seen_F, openings.seen_F, np.nan).astype(np.float32)
    return pooled(Curve(openings.times_s_F[::_SEEN_EVERY], seen_F[::_SEEN_EVERY]))


def _named(name: str, text: str) -> str:
    return f"{name}: {text}" if name else text
