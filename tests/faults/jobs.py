"""Small dubs whose every byte is known, and what must be true of a cache after whatever happened."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dubber.engine.key import file_sha256
from dubber.engine.store import ENTRY_NAME, Store
from tests.synth import make_clip, talking_sound, write_wav

NUM_FRAMES = 24
SEGMENT_FRAMES = 8
"""So that a short run writes several files of patches."""


@dataclass(frozen=True)
class Job:
    """A dub.

    Attributes:
        video: Somebody talks.
        audio: Other speech.
        renderer: The one that makes the mouths.
    """

    video: Path
    audio: Path
    renderer: str

    @property
    def name(self) -> str:
        """A name for its output."""
        return f"{self.video.stem}-{self.audio.stem}-{self.renderer}"

    def output(self, folder: Path) -> Path:
        """Its output in a folder."""
        return folder / f"{self.name}.mp4"

    def arguments(self, output: Path, cache: Path) -> list[str]:
        """Of the command `dubber`."""
        inputs = ["run", str(self.video), str(self.audio), "-o", str(output), "--cache", str(cache)]
        return [*inputs, "--renderer", self.renderer, "--device", "cpu", "--quiet"]


def make_jobs(folder: Path, renderers: tuple[str, ...], *, num_videos: int = 2) -> list[Job]:
    """Jobs that share videos and speech, so that their caches overlap.

    Args:
        folder: For the files.
        renderers: One job each for every pair of video and speech.
        num_videos: Videos, and as many voices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = named_jobs(folder, renderers, num_videos=num_videos)
    for n in range(num_videos):
        make_clip(folder / f"talk{n}.mp4", num_frames=NUM_FRAMES, seed=n)
        write_wav(folder / f"line{n}.wav", talking_sound(NUM_FRAMES / 25, seed=3 + n))
    return jobs


def named_jobs(folder: Path, renderers: tuple[str, ...], *, num_videos: int = 2) -> list[Job]:
    """What `make_jobs` makes, if it was made already."""
    return [
        Job(folder / f"talk{video}.mp4", folder / f"line{line}.wav", renderer)
        for video in range(num_videos)
        for line in range(num_videos)
        for renderer in renderers
    ]


def dubber_command(*arguments: str, before: str = "") -> list[str]:
    """The command line that runs dubber, with short segments.

    Args:
        *arguments: Of the command `dubber`.
        before: Python that is run first, which may put a fault in the place of something.
    """
    program = (
        "import sys\n"
        "from dubber.cli.app import main\n"
        "from dubber.stages import mouth_segments\n"
        f"mouth_segments.SEGMENT_FRAMES = {SEGMENT_FRAMES}\n{before}\nmain()\n"
    )
    return [sys.executable, "-c", program, *arguments]


def faults_of_cache(root: Path, *, is_idle: bool = True) -> list[str]:
    """What is wrong with a cache.

    Args:
        root: The cache.
        is_idle: No run uses it, and the last of each job was finished.
    """
    store = Store(root)
    found = [
        f"{folder} is no whole entry"
        for folder in (root / "entries").glob("*/*")
        if not (folder / ENTRY_NAME).is_file()
    ]
    for entry in store.entries():
        folder = store.entry_dir(entry.key)
        for name, digest in entry.document["files"].items():
            if file_sha256(folder / name) != digest:
                found.append(f"{folder / name} is not what was stored")
    if is_idle:
        store.sweep()
        found += [f"{path} was left" for path in (root / "tmp").glob("*")]
        found += [f"{path} was left" for path in (root / "work").glob("*/*")]
        found += [f"{path} was left" for path in (root / "sources").glob("*.part")]
    return found


def finished_bytes(job: Job, folder: Path) -> bytes:
    """The output of a run that nothing disturbed.

    Args:
        job: What is run.
        folder: For its cache and its output.
    """
    output = folder / "dubbed.mp4"
    subprocess.run(dubber_command(*job.arguments(output, folder / "cache")), check=True)
    return output.read_bytes()
