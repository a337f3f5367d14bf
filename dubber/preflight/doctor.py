"""Is this installation all right? Everything that a run relies on, tried, without network.

What it says is meant for bug reports: nothing personal is in it but paths, and the home folder is written ~.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args
from uuid import uuid4

from dubber import __version__
from dubber.engine.device import choose_device, convolution_dtype
from dubber.engine.disk import free_bytes, human_bytes
from dubber.engine.store import Store
from dubber.errors import DeviceError, DubberError, OutputFolderError, ToolMissingError, WeightsError

if TYPE_CHECKING:
    from dubber.engine.stage import Runtime

State = Literal["ok", "absent", "warning", "problem"]

_NEEDED = {
    "numpy": "numpy",
    "scipy": "scipy",
    "cv2": "opencv-python",
    "torch": "torch",
    "mediapipe": "mediapipe",
    "av": "av",
    "silero_vad": "silero-vad",
    "librosa": "librosa",
    "soundfile": "soundfile",
}
"""Modules and the packages that bring them; others may too, such as opencv-python-headless."""

_OPTIONAL = {
    "onnxruntime": "needed for `--tracker insightface` and `dubber eval --arcface`",
    "h5py": "needed to import Basel Face Models of 2017 and 2019",
    "pocketsphinx": "needed for `dubber eval phones`",
}
_LITTLE_ROOM_BYTES = 2 * 10**9


@dataclass(frozen=True)
class Line:
    """One thing looked at.

    Attributes:
        name: What it is.
        state: "ok"; "absent": optional, and not there; "warning": a run works, but look at it; "problem": it
            does not.
        text: What was found.
        advice: What to do; "" where nothing is to be done.
        exit_code: What a run would end with for a problem; else 0.
    """

    name: str
    state: State
    text: str
    advice: str = ""
    exit_code: int = 0


def examine(runtime: Runtime) -> Iterator[Line]:
    """Look at the installation, one thing after the other.

    Args:
        runtime: Whose cache, weights and device are looked at.

    Yields:
        What was found, cheap things first. A thing that cannot even be looked at is a problem of its own.
    """
    yield Line("dubber", "ok", __version__)
    yield Line("python", "ok", f"{platform.python_version()} in {_shown(Path(sys.prefix))}")
    yield Line("system", "ok", f"{platform.system()} {platform.release()} {platform.machine()}, {_cores()}")
    parts: tuple[Callable[[Runtime], Iterator[Line]], ...] = (
        _packages,
        _trackers,
        _processor,
        _devices,
        _ffmpeg,
        _encoders,
        _weights,
        _cache,
    )
    for part in parts:
        try:
            yield from part(runtime)
        except DubberError as error:
            yield _problem(part.__name__.strip("_"), error)
        except ImportError as error:
            broken = ToolMissingError(f"It cannot be loaded: {error}.", advice="Install dubber again.")
            yield _problem(part.__name__.strip("_"), broken)


def _problem(name: str, error: DubberError) -> Line:
    where = f"{_shown(Path(error.where))}: " if error.where else ""
    return Line(name, "problem", f"{where}{error.message}", error.advice, error.exit_code)


def _packages(runtime: Runtime) -> Iterator[Line]:  # noqa: ARG001 - all parts take it
    owners = metadata.packages_distributions()
    for module, package in _NEEDED.items():
        if util.find_spec(module) is None:
            missing = ToolMissingError("It is not installed.", advice=f"Run `pip install {package}`.")
            yield _problem(package, missing)
        else:
            yield Line(package, "ok", _version(module, owners))
    for module, purpose in _OPTIONAL.items():
        if util.find_spec(module) is None:
            yield Line(module, "absent", f"not installed ({purpose})", f"pip install {module}")
        else:
            yield Line(module, "ok", _version(module, owners))


def _version(module: str, owners: Mapping[str, Sequence[str]]) -> str:
    """The version of an installed module, and who brings it where that has another name.

    Args:
        module: Its name.
        owners: Packages that bring each module.
    """
    brought = []
    for package in sorted(set(owners.get(module, ()))):
        with suppress(metadata.PackageNotFoundError):
            is_same = package.replace("_", "-").lower() == module.replace("_", "-")
            brought.append(metadata.version(package) + ("" if is_same else f" ({package})"))
    return ", ".join(brought) or str(getattr(import_module(module), "__version__", "of unknown version"))


def _trackers(runtime: Runtime) -> Iterator[Line]:  # noqa: ARG001 - all parts take it
    """Models of the user's own, for trackers besides the default one."""
    from dubber.tracking.backends import TrackerName, model_files

    for name in get_args(TrackerName):
        try:
            files = model_files(name)
            yield Line(f"tracker {name}", "ok", ", ".join(map(_shown, files)) or "comes with dubber")
        except DubberError as error:
            yield Line(f"tracker {name}", "absent", error.message, error.advice)


def _processor(runtime: Runtime) -> Iterator[Line]:
    import torch

    dtype = str(convolution_dtype(torch.device("cpu"))).removeprefix("torch.")
    threads = f"torch would use {torch.get_num_threads()} threads, a run uses {runtime.threads or 'those'}"
    yield Line("processor", "ok", f"{_processor_name()}; convolutions in {dtype}; {threads}")


def _devices(runtime: Runtime) -> Iterator[Line]:
    for wish in ("cuda", "mps"):
        with suppress(DeviceError):
            choose_device(wish)
            yield Line(wish, "ok", "there")
    device = runtime.device
    dtype = str(convolution_dtype(device.torch_device())).removeprefix("torch.")
    yield Line("device", "ok", f"a run uses {device.kind} ({device.reason}), convolutions in {dtype}")


def _ffmpeg(runtime: Runtime) -> Iterator[Line]:  # noqa: ARG001 - all parts take it
    from dubber.media.mux import find_ffmpeg, run_ffmpeg
    from dubber.media.survey import ffmpeg_libraries

    yield Line("FFmpeg in PyAV", "ok", ffmpeg_libraries())
    executable = find_ffmpeg()
    run_ffmpeg([executable, "-hide_banner", "-loglevel", "error", "-version"])
    yield Line("ffmpeg", "ok", _shown(Path(executable)))


def _encoders(runtime: Runtime) -> Iterator[Line]:  # noqa: ARG001 - all parts take it
    from dubber.media.encoders import FORMATS, trial_failure
    from dubber.media.encoding import EncodeOptions

    for name, encoders in FORMATS.items():
        failures = {codec: trial_failure(EncodeOptions(codec)) for codec in encoders}
        working = [codec for codec, failure in failures.items() if failure is None]
        text = f"{', '.join(working) or 'none'} (of {', '.join(encoders)})"
        if working:
            yield Line(f"{name} encoders", "ok", text)
        else:
            yield Line(
                f"{name} encoders", "warning", text, "Reinstall PyAV: `pip install --force-reinstall av`."
            )


def _weights(runtime: Runtime) -> Iterator[Line]:
    folder = runtime.weights
    wrong = []
    for name in folder.manifest:
        try:
            folder.verify(name)
        except WeightsError as error:
            wrong.append(name)
            yield _problem(f"weights {name}", error)
    num_good = len(folder.manifest) - len(wrong)
    yield Line("weights", "ok", f"{num_good} of {len(folder.manifest)} verified in {_shown(folder.root)}")


def _cache(runtime: Runtime) -> Iterator[Line]:
    root = runtime.cache_dir
    store = Store(root)
    _check_writable(root)
    entries = store.entries()
    size = human_bytes(sum(entry.num_bytes for entry in entries))
    yield Line("cache", "ok", f"{_shown(root)}: {len(entries)} entries, {size}")
    left = [path for folder in ("tmp", "work") for path in (root / folder).glob("*")]
    if left:
        num_bytes = sum(file.stat().st_size for path in left for file in path.rglob("*") if file.is_file())
        text = f"{len(left)} folders of unfinished runs, {human_bytes(num_bytes)}"
        advice = "The same runs go on from there; if they are not wanted any more: `dubber cache prune`."
        yield Line("unfinished", "warning", text, advice)
    free = free_bytes(root)
    is_low = free < _LITTLE_ROOM_BYTES
    advice = "Free some space, or choose another disk with `--cache DIR`." if is_low else ""
    yield Line(
        "free space", "warning" if is_low else "ok", f"{human_bytes(free)} on the cache's disk", advice
    )


def _check_writable(root: Path) -> None:
    """Raises: OutputFolderError."""
    probe = root / f".{uuid4().hex}.part"
    is_new = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        if is_new:
            root.rmdir()
    except OSError as error:
        raise OutputFolderError(
            f"The cache folder cannot be written ({error.strerror}).",
            where=str(root),
            advice="Choose another with `--cache DIR` or the variable DUBBER_CACHE.",
        ) from error


def _processor_name() -> str:
    with suppress(OSError):
        for text in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if text.startswith("model name"):
                return text.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> str:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{usable} of {os.cpu_count()} cores"


def _shown(path: Path) -> str:
    """A path without the user's name in it."""
    with suppress(ValueError, RuntimeError):
        return f"~/{path.relative_to(Path.home())}"
    return str(path)
