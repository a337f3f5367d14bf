"""The method, as one straight function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dubber.config import DubConfig
from dubber.curves.table import read_table
from dubber.engine.plan import Plan, Ref
from dubber.engine.stage import Params, Runtime
from dubber.engine.store import Store
from dubber.errors import ConfigError
from dubber.script import Script, check_files, whole
from dubber.script_settings import length_params, mix_params, track_params, translate_params
from dubber.stages.adapt import Adapt
from dubber.stages.blend import Blend
from dubber.stages.deflicker import Deflicker
from dubber.stages.demux import Demux
from dubber.stages.edited import EditExpression, EditParams, EditRetime
from dubber.stages.fit import Fit
from dubber.stages.mark import Mark
from dubber.stages.mix import Mix
from dubber.stages.painter_check import CheckPainter
from dubber.stages.people import plan_people
from dubber.stages.place import PlacedLine, PlaceLines, PlaceParams
from dubber.stages.remux import Remux, consent_words
from dubber.stages.render import Render
from dubber.stages.retime import Retime
from dubber.stages.speech import ExtractOwnSpeech, ExtractSpeech
from dubber.stages.teeth import Teeth
from dubber.stages.timeline import SetLength
from dubber.stages.track import plan_track
from dubber.stages.translate import Translate
from dubber.types import (
    AdaptedPainter,
    Clip,
    DubbedVideo,
    ExpressionTrack,
    FaceCoeffs,
    FaceTrack,
    Mouths,
    PainterVerdict,
    People,
    RetimeMap,
    Sound,
    SourceFile,
    Speech,
    Timeline,
)

if TYPE_CHECKING:
    from dubber.media.flow import FrameStream


@dataclass(frozen=True)
class Performance:
    """What one person does in a planned dub, before it is painted.

    Attributes:
        speech: What is said.
        track: The face.
        coeffs: What explains it.
        translated: What the speech asks of the mouth.
        expression: What the mouth shall do: that, unless the user's curves say otherwise.
    """

    speech: Ref[Speech]
    track: Ref[FaceTrack]
    coeffs: Ref[FaceCoeffs]
    translated: Ref[ExpressionTrack]
    expression: Ref[ExpressionTrack]


@dataclass(frozen=True)
class Painting:
    """A person's mouth in a planned dub.

    A finishing stage that is switched off is not in the plan; what it would have made is what it would have
    been given.
    """

    adapted: Ref[AdaptedPainter] | None
    rendered: Ref[Mouths]
    toothed: Ref[Mouths]
    mouths: Ref[Mouths]


@dataclass(frozen=True)
class DubPlan:
    """A planned dub: every intermediate is named and has its key before any work is done.

    Attributes:
        script: Who says what when.
        curves: The user's corrections; None for none.
        retimed: The source frames as computed; `retime` is that, unless the user's curves say otherwise.
        performances: What each speaker does, in the script's order.
        sound: What is heard in the end.
        paintings: Each speaker's mouth.
        frames: As they are shown: with everybody's mouths, and the label if there is one.
    """

    config: DubConfig
    script: Script
    plan: Plan
    video: Ref[SourceFile]
    sound: Ref[SourceFile] | Ref[Sound]
    clip: Ref[Clip]
    own_speech: Ref[Speech]
    people: Ref[People]
    timeline: Ref[Timeline]
    curves: Ref[SourceFile] | None
    retimed: Ref[RetimeMap]
    retime: Ref[RetimeMap]
    performances: tuple[Performance, ...]
    paintings: tuple[Painting, ...]
    frames: Ref[FrameStream]
    dubbed: Ref[DubbedVideo]

    def of_speaker(self, number: int) -> DubPlan:
        """The same plan as seen by one of the speakers, counting from 0, as if there were no others."""
        person, painting = self.performances[number], self.paintings[number]
        return replace(self, performances=(person,), paintings=(painting,))

    @property
    def speech(self) -> Ref[Speech]:
        """What the first speaker says."""
        return self.performances[0].speech

    @property
    def track(self) -> Ref[FaceTrack]:
        """The first speaker's face."""
        return self.performances[0].track

    @property
    def coeffs(self) -> Ref[FaceCoeffs]:
        """What explains the first speaker's face."""
        return self.performances[0].coeffs

    @property
    def expression(self) -> Ref[ExpressionTrack]:
        """What the first speaker's mouth shall do."""
        return self.performances[0].expression

    @property
    def adapted(self) -> Ref[AdaptedPainter] | None:
        """What was learned of the first speaker."""
        return self.paintings[0].adapted

    @property
    def rendered(self) -> Ref[Mouths]:
        """The first speaker's mouth, as rendered."""
        return self.paintings[0].rendered

    @property
    def toothed(self) -> Ref[Mouths]:
        """The first speaker's mouth with teeth."""
        return self.paintings[0].toothed

    @property
    def mouths(self) -> Ref[Mouths]:
        """The first speaker's mouth, finished."""
        return self.paintings[0].mouths


def plan_dub(
    config: DubConfig,
    video_path: Path,
    said: Path | Script,
    *,
    runtime: Runtime,
    store: Store | None = None,
    curves: Path | None = None,
) -> DubPlan:
    """Plan a dub. Reading this function is reading the method (docs/method.md).

    Args:
        config: Parameters of all stages.
        video_path: One or several people talking.
        said: What is said, by one person; or who says what when.
        runtime: Names the cache and the weights.
        store: Knows the files' checksums; None: the cache's own.
        curves: What mouths and footage shall do, edited by the user (docs/curves.md).

    Raises:
        ConfigError: The script and the configuration contradict each other, or the curves are wrong.
        MediaError: A file is missing or cannot be read.
        WeightsError: The weights' manifest is missing or malformed, or a tracker's files are missing.
    """
    plan = Plan(runtime.weights, store or Store(runtime.cache_dir))
    script = said if isinstance(said, Script) else whole(said)
    durations_s = [] if script.is_simple else check_files(script)
    script = script.resolved(durations_s) if script.has_places else script
    video, voices = plan.source(video_path), tuple(plan.source(voice) for voice in script.voices)
    config = config.with_overrides({"remux.consent": consent_words(config.remux.consent)})

    clip = plan.add(Demux(config.demux), video)
    heard = [plan.add(ExtractSpeech(config.speech), voice) for voice in voices]
    speeches = [_speech_of(plan, script, speaker, clip, heard) for speaker in range(script.num_speakers)]
    throughout = [heard[voice] for voice in script.whole_voices] if script.has_places else []
    timeline = plan.add(SetLength(length_params(config, script)), clip, *speeches, *throughout)

    people = plan_people(plan, config.people, video, clip)
    own_speech = plan.add(ExtractOwnSpeech(), video)
    if curves is not None:
        read_table(curves)  # what is wrong with it is told before any work
    edited = None if curves is None else plan.source(curves)
    performances = []
    for speaker, speech in enumerate(speeches):
        track = plan_track(plan, track_params(config, script, speaker), video, clip, people, own_speech)
        coeffs = plan.add(Fit(config.fit), track)
        heeded = (speech, timeline, coeffs, track, clip, own_speech)
        translated = plan.add(Translate(translate_params(config, script, speaker)), *heeded)
        expression = translated
        if edited is not None:
            whose = EditParams(speaker=speaker, num_speakers=script.num_speakers)
            expression = plan.add(EditExpression(whose), edited, timeline, translated, coeffs)
        performances.append(Performance(speech, track, coeffs, translated, expression))

    first = performances[0]
    retime = retimed = plan.add(Retime(config.retime), timeline, first.translated, first.coeffs, first.track)
    if edited is not None:
        retime = plan.add(EditRetime(Params()), edited, timeline, clip, retimed)

    paintings = [_paint(plan, config, video, clip, retime, each) for each in performances]
    frames: Ref[FrameStream] | None = None
    for person, painting in zip(performances, paintings, strict=True):
        others = () if frames is None else (frames,)
        frames = plan.add(Blend(config.blend), video, clip, person.track, retime, painting.mouths, *others)
    assert frames is not None  # noqa: S101 - told to the type checker; somebody speaks
    sound: Ref[SourceFile] | Ref[Sound] = voices[0]
    if not script.is_one_recording:
        mix = mix_params(config, script, script.heard(durations_s))
        beds = () if script.bed is None else (plan.source(script.bed),)
        sound = plan.add(Mix(mix), timeline, video, *beds, *voices)
    remux = config.remux
    if script.keeps_rest:
        remux = remux.model_copy(update={"copies_packets": True})
    if config.mark.is_on:
        mark = config.mark.model_copy(update={"is_throughout": not script.keeps_rest})
        frames = plan.add(Mark(mark), frames, retime, *(person.track for person in performances))
    dubbed = plan.add(Remux(remux), frames, sound, clip, timeline, video)
    return DubPlan(
        config=config,
        script=script,
        plan=plan,
        video=video,
        sound=sound,
        clip=clip,
        own_speech=own_speech,
        people=people,
        timeline=timeline,
        curves=edited,
        retimed=retimed,
        retime=retime,
        performances=tuple(performances),
        paintings=tuple(paintings),
        frames=frames,
        dubbed=dubbed,
    )


def _paint(
    plan: Plan,
    config: DubConfig,
    video: Ref[SourceFile],
    clip: Ref[Clip],
    retime: Ref[RetimeMap],
    person: Performance,
) -> Painting:
    """Plan a person's mouth, from the renderer to the frame's edge."""
    geometry = (video, clip, person.track, person.coeffs)
    adapted = plan.add(Adapt(config.adapt), *geometry) if _adapts(config) else None
    learned: tuple[Ref[AdaptedPainter] | Ref[PainterVerdict], ...] = () if adapted is None else (adapted,)
    if config.render.renderer == "hybrid" and config.render.is_checked:
        learned = (*learned, plan.add(CheckPainter(config.render), *geometry, *learned))
    mouths = rendered = plan.add(Render(config.render), *geometry, person.expression, retime, *learned)
    shown = (video, clip, person.track, retime)
    if config.teeth.is_on:
        mouths = plan.add(Teeth(config.teeth), *shown, mouths)
    toothed = mouths
    if config.deflicker.is_on:
        mouths = plan.add(Deflicker(config.deflicker), *shown, mouths)
    return Painting(adapted, rendered, toothed, mouths)


def _speech_of(
    plan: Plan, script: Script, speaker: int, clip: Ref[Clip], heard: list[Ref[Speech]]
) -> Ref[Speech]:
    """What a speaker says, where the film has it."""
    lines = script.lines_of(speaker)
    if not script.has_places:
        return heard[lines[0].voice]
    used = sorted({line.voice for line in lines})
    placed = [
        PlacedLine(voice=used.index(line.voice), start_s=line.start_s, end_s=line.end_s, from_s=line.from_s)
        for line in lines
    ]
    return plan.add(PlaceLines(PlaceParams(lines=tuple(placed))), clip, *(heard[voice] for voice in used))


def _adapts(config: DubConfig) -> bool:
    """Whether the renderer learns the target; only one of them can.

    Raises:
        ConfigError: It is asked of another.
    """
    if config.adapt.is_on and config.render.renderer != "hybrid":
        raise ConfigError(
            f"The renderer '{config.render.renderer}' cannot adapt to the video.",
            where="adapt.is_on",
            advice="Choose `--renderer hybrid`, or leave `--adapt` out.",
        )
    return config.adapt.is_on
