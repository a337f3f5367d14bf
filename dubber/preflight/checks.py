"""All checks one after the other: `quick` before every run, `check` when the user asks."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dubber.engine.disk import check_space, free_bytes
from dubber.engine.execute import Run, missing_stages
from dubber.engine.sources import FileStamp
from dubber.engine.store import Store
from dubber.errors import DubberError, OutputFolderError
from dubber.output import check_encoding, check_output, container_of
from dubber.pipeline import DubPlan, plan_dub
from dubber.preflight.cost import CostFacts, machine_speed, run_seconds
from dubber.preflight.faces import FaceFacts, face_findings, look_for_faces
from dubber.preflight.findings import Finding, caught, failure
from dubber.preflight.footage import footage_findings, stream_findings
from dubber.preflight.length import LengthFacts, length_findings, matched_lengths
from dubber.preflight.speech import SpeechFacts, listened, speech_findings, speech_header
from dubber.stages.demux import check_dubbable
from dubber.stages.disk_need import DiskNeed, disk_need
from dubber.stages.timeline import SetLength

if TYPE_CHECKING:
    from dubber.config import DubConfig
    from dubber.engine.stage import Runtime
    from dubber.media.survey import SeekIndex, VideoFacts
    from dubber.script import Script
    from dubber.types import LengthMode, Timeline

_HASHED_BYTES = 256 * 2**20
"""The checksum of a larger file takes long; where no run has left it, nothing of the file is in the cache."""


@dataclass(frozen=True)
class Request:
    """What is to be done.

    Attributes:
        video: A person talking.
        said: Who says what when; see `script.whole` for one person and one recording.
        output: Where the result goes.
        config: Parameters of the stages.
        runtime: Cache and weights.
        is_overwrite: Whether an existing output may be replaced.
    """

    video: Path
    said: Script
    output: Path
    config: DubConfig
    runtime: Runtime
    is_overwrite: bool = False


@dataclass(frozen=True)
class Preflight:
    """What is known before a run.

    Attributes:
        request: What was asked.
        findings: What stands against it or is good to know; what ends a run first comes first.
        footage: The video; None where it cannot be read.
        voices: The recordings, those that can be read.
        length: The output's length; None where one of both is not known.
        faces: None where they were not looked at.
        cost: None where it was not asked for, or cannot be told.
        seconds: What looking took.
    """

    request: Request
    findings: tuple[Finding, ...]
    footage: VideoFacts | None = None
    voices: tuple[SpeechFacts, ...] = ()
    length: LengthFacts | None = None
    faces: FaceFacts | None = None
    cost: CostFacts | None = None
    seconds: float = 0.0

    def failure(self, *, is_strict: bool = False) -> DubberError | None:
        """See `findings.failure`."""
        return failure(self.findings, is_strict=is_strict)


def quick(request: Request) -> Preflight:
    """Find out in a moment what would end a run, and what its user may not have meant.

    Only headers and one picture are read; nothing is listened to and nobody looked for.

    Args:
        request: The run to come.
    """
    return _Checks(request).quick()


def check(request: Request) -> Preflight:
    """Find out all that can be known in some seconds: `quick`, and the speech, the faces, the time it takes.

    Args:
        request: The run to come.
    """
    return _Checks(request).all()


class _Checks:
    """The checks, and what they found so far."""

    def __init__(self, request: Request) -> None:
        self._started_s = time.perf_counter()
        self._found: list[Finding] = []
        self._request = request
        self._index: SeekIndex | None = None
        self._footage: VideoFacts | None = None
        self._voices: list[SpeechFacts] = []
        self._length: LengthFacts | None = None
        self._timeline: Timeline | None = None
        self._planned: tuple[DubPlan, Store, DiskNeed] | None = None

    def quick(self) -> Preflight:
        self._look_at_files()
        self._look_at_plan()
        self._look_at_output()
        return self._told(None, None)

    def all(self) -> Preflight:
        self._look_at_files()
        self._look_at_plan()
        self._look_at_output()
        self._listen()
        faces = self._look_for_faces()
        return self._told(faces, self._cost(faces))

    def _told(self, faces: FaceFacts | None, cost: CostFacts | None) -> Preflight:
        order = ("error", "warning", "info")
        return Preflight(
            request=self._request,
            findings=tuple(sorted(self._found, key=lambda finding: order.index(finding.level))),
            footage=self._footage,
            voices=tuple(self._voices),
            length=self._length,
            faces=faces,
            cost=cost,
            seconds=round(time.perf_counter() - self._started_s, 3),
        )

    def _look_at_files(self) -> None:
        from dubber.media.survey import survey

        with caught(self._found, "video"):
            self._footage, self._index = survey(self._request.video)
            is_whole = self._request.config.demux.deinterlace
            clip = replace(self._index.clip, is_deinterlaced=is_whole)
            check_dubbable(clip, where=str(self._request.video))
        for voice in self._request.said.voices:
            with caught(self._found, "speech"):
                self._voices.append(speech_header(voice))
        if (bed := self._request.said.bed) is not None:
            with caught(self._found, "bed"):
                speech_header(bed)

    def _listen(self) -> None:
        for number, voice in enumerate(self._voices):
            with caught(self._found, "speech"):
                self._voices[number] = listened(voice)
                self._found += speech_findings(self._voices[number])

    def _look_at_length(self, mode: LengthMode) -> None:
        if self._index is None:
            return
        durations_s = [voice.duration_s for voice in self._voices]
        said = self._request.said.resolved(durations_s)
        self._length, self._timeline = matched_lengths(mode, self._index.clip, said, durations_s)
        self._found += length_findings(self._length, said)

    def _look_at_output(self) -> None:
        request = self._request
        with caught(self._found, "output"):
            container = container_of(request.output)
            request = replace(request, config=request.config.with_overrides({"remux.container": container}))
            self._request = request
            _check_output(request)
        with caught(self._found, "ffmpeg"):
            from dubber.media.mux import find_ffmpeg

            find_ffmpeg()
        with caught(self._found, "encoder"):
            check_encoding(request.config)
            if self._footage is not None and self._index is not None:
                clip = self._index.clip
                self._found += footage_findings(self._footage, clip, request.video, request.config)
        if self._index is not None and self._timeline is not None:
            with caught(self._found, "streams"):
                made = (self._index.clip, self._timeline)
                self._found += stream_findings(request.video, *made, request.config)

    def _look_at_plan(self) -> None:
        """Lengths, weights, and what is in the cache; only where all files can be read."""
        request = self._request
        if self._footage is None or any(finding.code in ("speech", "bed") for finding in self._found):
            return
        store = _PatientStore(request.runtime.cache_dir)
        with caught(self._found, "plan"):
            made = plan_dub(request.config, request.video, request.said, runtime=request.runtime, store=store)
            timeline = made.plan.nodes[made.timeline.index].stage
            self._look_at_length(timeline.params.mode if isinstance(timeline, SetLength) else "auto")
            Run(made.plan, request.runtime).check_weights(made.dubbed.index)
            need = disk_need(made.plan, store, made.dubbed.index)
            self._planned = made, store, need
            with caught(self._found, "disk-space"):
                folders = [(request.runtime.cache_dir, need.cache_bytes)]
                check_space([*folders, (request.output.parent, need.output_bytes)])

    def _look_for_faces(self) -> FaceFacts | None:
        if self._footage is None or self._index is None:
            return None
        request, faces = self._request, None
        if request.runtime.weights.is_commercial and self._planned is None:
            return None  # the tracker's model may be what is refused
        with caught(self._found, "faces"):
            faces = look_for_faces(request.video, self._footage, self._index, request.config)
            duration_s = self._footage.duration_s
            self._found += face_findings(faces, request.video, duration_s, request.config, request.said)
        return faces

    def _cost(self, faces: FaceFacts | None) -> CostFacts | None:
        if self._planned is None or self._footage is None or self._length is None:
            return None
        made, store, need = self._planned
        missing = missing_stages(made.plan, store, made.dubbed.index, set())
        nodes = [made.plan.nodes[index] for index in sorted(missing)]
        stages = [node.stage.name for node in nodes if node.stage is not None]
        speed = machine_speed()
        wall_s, cpu_s = run_seconds(stages, self._footage, self._length, faces, self._request.config, speed)
        free = free_bytes(self._request.runtime.cache_dir)
        kept = [node.key for node in made.plan.nodes if node.stage is not None and node.stage.is_stored]
        return CostFacts(
            seconds=float(f"{wall_s:.2g}"),
            cpu_s=float(f"{cpu_s:.2g}"),
            speed=round(speed, 2),
            stages_to_run=tuple(node.name for node in nodes),
            num_cached=sum(store.has(key) for key in kept),
            cache_bytes=need.cache_bytes,
            output_bytes=need.output_bytes,
            free_bytes=None if free == float("inf") else int(free),
        )


class _PatientStore(Store):
    """A cache that is not asked for checksums which take long to make."""

    def source_sha256(self, path: Path) -> tuple[str, FileStamp]:
        """The checksum, or for a large file that no run has seen, something that is nobody's checksum."""
        if path.is_file() and path.stat().st_size > _HASHED_BYTES and not self.knows_source(path):
            return hashlib.sha256(f"not known: {path.resolve()}".encode()).hexdigest(), FileStamp.of(path)
        return super().source_sha256(path)


def _check_output(request: Request) -> None:
    """As a run does, but no folder is made for a run that may never come.

    Raises:
        ConfigError: The output is one of the inputs, or its suffix is not known.
        OutputExistsError: It exists and may not be replaced.
        OutputFolderError: Its folder cannot be written.
    """
    output = request.output
    if output.parent.is_dir():
        inputs = (request.video, *request.said.files)
        check_output(output, inputs=inputs, is_overwrite=request.is_overwrite)
        return
    nearest = next(folder for folder in output.absolute().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise OutputFolderError("The output folder cannot be made.", where=str(output.parent))
