"""Every reader of files that come from elsewhere, each with a small valid specimen to damage.

Specimens are made at run time. Readers go as far as a run would: all frames, all sound, all fields.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from dubber.batch.pairing import pair_folder
from dubber.cli.options import build_config
from dubber.config import DubConfig
from dubber.engine.key import file_sha256
from dubber.engine.mapped import map_arrays
from dubber.engine.stage import Stage
from dubber.engine.store import Store
from dubber.engine.weights import WeightsFolder
from dubber.errors import MediaError
from dubber.evaluation.user_networks import UserNetworks
from dubber.media.audio import audio_info, iterate_speech
from dubber.media.extent import video_extent
from dubber.media.loudness import listen
from dubber.media.mux import find_ffmpeg
from dubber.media.patches import PatchWriter, read_patches
from dubber.media.probe import probe
from dubber.media.reader import read_frames, read_frames_at
from dubber.media.sampling import pictures_at, spread_ticks
from dubber.media.splice_plan import plan_splice
from dubber.media.streams import cover_pictures, source_streams
from dubber.media.survey import survey
from dubber.models.expression import ExpressionNet
from dubber.models.frame_painter import FramePainter
from dubber.models.hybrid import HybridPainter
from dubber.models.morphable import LinearFaceModel
from dubber.models.user_weights import read_state
from dubber.script import read_script
from dubber.training.dataset import read_manifest
from dubber.training.face_files import bfm2017, read_face_file, to_linear_face_model
from dubber.training.face_import import tracker_mean_face
from dubber.training.release import save_weight
from dubber.types import StoredFile


@dataclass(frozen=True)
class Reader:
    """A reader and what it reads.

    Attributes:
        name: For the table.
        write: Writes a valid specimen into an empty folder.
        read: Reads the specimen in a folder.
        is_text: Whether a person may have written the file.
    """

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]
    is_text: bool = False


def _only(folder: Path) -> Path:
    return next(path for path in sorted(folder.iterdir()))


# Videos and sound -----------------------------------------------------------------------------------------

_PICTURE = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=25:duration=0.8"]
_SOUND = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=16000:duration=0.8"]
_VIDEOS = {
    "mp4": ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "8", "-bf", "2", "-c:a", "aac"],
    "mov": ["-c:v", "mpeg4", "-c:a", "pcm_s16le"],
    "mkv": ["-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-g", "8", "-c:a", "flac"],
    "webm": ["-c:v", "libvpx", "-g", "8", "-c:a", "libvorbis"],
    "avi": ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "libmp3lame"],
    "ts": ["-c:v", "mpeg2video", "-g", "8", "-c:a", "mp2"],
}
_SOUNDS = {
    "wav": ["-c:a", "pcm_s16le"],
    "flac": ["-c:a", "flac"],
    "mp3": ["-c:a", "libmp3lame"],
    "m4a": ["-c:a", "aac"],
    "ogg": ["-c:a", "libvorbis"],
}


def _ffmpeg(path: Path, *arguments: str) -> None:
    command = [find_ffmpeg(), "-nostdin", "-y", "-loglevel", "error", *arguments, f"file:{path}"]
    subprocess.run(command, check=True, capture_output=True)


def _write_video(suffix: str) -> Callable[[Path], object]:
    return lambda folder: _ffmpeg(folder / f"clip.{suffix}", *_PICTURE, *_SOUND, *_VIDEOS[suffix])


def _write_sound(suffix: str) -> Callable[[Path], object]:
    return lambda folder: _ffmpeg(folder / f"line.{suffix}", *_SOUND, *_SOUNDS[suffix])


def _read_video(folder: Path) -> object:
    path = _only(folder)
    with suppress(MediaError):  # each reader for itself: one's refusal must not hide another's fall
        video_extent(path)
    with suppress(MediaError):
        _read_sound(folder)
    with suppress(MediaError):
        streams = source_streams(path, Fraction(0))
        cover_pictures(path, [each.index for each in streams.others])
    with suppress(MediaError):
        facts, index = survey(path)
        deque(pictures_at(path, index, spread_ticks(facts, index, 4)), maxlen=0)
    clip = probe(path)
    is_changed_T = np.arange(clip.num_frames) < 4
    spliced = plan_splice(path, clip, is_changed_T, "libx264")
    count = sum(1 for _ in read_frames(path, clip))
    last = list(range(clip.num_frames))[::-3][:9]
    return spliced, count, sum(1 for _ in read_frames_at(path, clip, last))


def _read_sound(folder: Path) -> object:
    path = _only(folder)
    with suppress(MediaError):
        listen(path, 5.0)
    return audio_info(path), sum(len(chunk) for chunk in iterate_speech(path))


# Settings, jobs and lists ---------------------------------------------------------------------------------


def _write_config(folder: Path) -> None:
    document = DubConfig().model_dump(mode="json")
    lines = []
    for stage, values in document.items():
        lines.append(f"[{stage}]")
        lines += [f"{name} = {json.dumps(value)}" for name, value in values.items() if value is not None]
    (folder / "dub.toml").write_text("\n".join(lines) + "\n")


def _write_settings(folder: Path) -> None:
    settings = ["render.renderer=copy", "remux.crf=18", "translate.mouth_gain=1.5", "render.is_checked=false"]
    (folder / "settings").write_text("\n".join(settings))


def _read_settings(folder: Path) -> object:
    text = _only(folder).read_bytes().decode("utf-8", "surrogateescape")
    return build_config(None, text.split("\n"))


def _write_jobs(folder: Path) -> None:
    (folder / "names").write_text("a.mp4\na.wav\nb.mov\nb.flac\nnotes.txt\nc d.mkv\nc d.ogg")


def _read_jobs(folder: Path) -> object:
    """A folder with files of these names."""
    names, jobs = _only(folder).read_bytes().split(b"\n"), folder / "jobs"
    jobs.mkdir()
    for name in names:
        with suppress(OSError, ValueError):  # names that no disk takes
            (jobs / Path(name.replace(b"/", b"_").decode("utf-8", "surrogateescape")).name).touch()
    found = pair_folder(jobs)
    for row in found.rows:
        files = [
            Path(row.options["video"]),
            Path(row.options["audio"]),
            folder / "out" / row.options["output"],
        ]
        if [file.parent for file in files] != [jobs, jobs, folder / "out"]:
            raise AssertionError(f"{row} leaves its folder")
    return found


def _write_script(name: str) -> Callable[[Path], object]:
    line = {"speaker": 1, "start": 0.5, "end": 2.0, "audio": "a.wav", "start_in_audio": 0.25}
    toml = "[[line]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in line.items())
    texts = {
        "toml": f'[speakers]\n1 = "largest"\n\n{toml}\n{toml}',
        "json": json.dumps({"speakers": {"1": "largest"}, "line": [line, line]}),
        "rttm": "SPEAKER film 1 0.50 1.50 <NA> <NA> 1 <NA> <NA>\n" * 2,
    }
    return lambda folder: (folder / f"script.{name}").write_text(texts[name])


def _read_script(folder: Path) -> object:
    script = read_script(_only(folder), folder / "all.wav")
    for voice in script.voices:
        if folder.resolve() not in voice.resolve().parents:
            raise AssertionError(f"{voice} lies outside")
    return script.resolved([10.0] * len(script.voices))


def _write_clip_list(folder: Path) -> None:
    rows = "a.mp4,train,ann,own\nb.mp4,dev,bob,\nsub/c.mp4,train,carl,\n"
    (folder / "clips.csv").write_text("file,split,speaker,rights\n" + rows)


# Weights --------------------------------------------------------------------------------------------------


def _write_weight(name: str, arrays: dict[str, Any], folder: Path) -> None:
    entry = {
        "kind": "network",
        "licence": "MIT",
        "is_commercial_use_allowed": True,
        "training_data": "none",
        "recipe": "none",
        "description": "",
    }
    save_weight(folder, name, arrays, entry)


def _read_weight(load: Callable[[Any], object]) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        weights = WeightsFolder(folder)
        with suppress(OSError):
            _trust(folder)
        return [load(weights.open(name)) for name in weights.manifest]

    return read


def _trust(folder: Path) -> None:
    """Put the damaged file's own checksum into the manifest: somebody gave both away."""
    manifest = folder / "manifest.toml"
    lines = manifest.read_bytes().split(b"\n")
    weight = next(folder.glob("*.safetensors"))
    digest = f'sha256 = "{file_sha256(weight)}"'.encode()
    manifest.write_bytes(b"\n".join(digest if line.startswith(b"sha256 =") else line for line in lines))


def _write_manifest(folder: Path) -> None:
    _write_weight("tiny", {"a": np.zeros(2, np.float32)}, folder)


def _read_manifest(folder: Path) -> object:
    weights = WeightsFolder(folder)
    opened = []
    for name in weights.manifest:
        if folder.resolve() not in weights.path(name).resolve().parents:
            raise AssertionError(f"the manifest leads out of its folder, to {weights.path(name)}")
        opened.append(weights.open(name))
    return opened


def _expression_arrays() -> dict[str, Any]:
    return ExpressionNet("lstm", 28, 5, 4, members=1, num_bases=3, width=8, hidden=6).to_arrays()


def _face_arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    model = LinearFaceModel(
        name="face",
        mean_V3=rng.normal(size=(30, 3)).astype(np.float32),
        identity_KV3=rng.normal(size=(2, 30, 3)).astype(np.float32),
        expression_KV3=rng.normal(size=(3, 30, 3)).astype(np.float32),
        triangles_F3=np.arange(30, dtype=np.int32).reshape(-1, 3),
        landmark_sets={name: np.arange(9, dtype=np.int32) for name in ("tracker", "mouth_jaw", "rigid")},
    )
    return model.to_arrays()


def _write_state(folder: Path) -> None:
    import torch

    state = {"conv.weight": torch.zeros(4, 3, 3, 3), "conv.bias": torch.zeros(4)}
    torch.save(state, folder / "network.pt")


def _write_safe_state(folder: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"conv.weight": np.zeros((4, 3), np.float32)}, folder / "network.safetensors")


def _read_user_network(option: str) -> Callable[[Path], object]:
    return lambda folder: UserNetworks(**{option: _only(folder)}).check()


def _write_onnx(folder: Path) -> None:
    from tests.evaluation.test_user_networks import write_embedding_network

    write_embedding_network(folder / "face.onnx")


# Published face models ------------------------------------------------------------------------------------


def _write_ict(folder: Path) -> None:
    from tests.training.published import make_truth, write_ict

    write_ict(folder, make_truth(units=9.0, num_identity=1, num_expression=2))


def _write_bfm2009(expressions: str) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        from tests.training.published import make_truth, write_bfm2009

        write_bfm2009(folder, make_truth(units=90000.0), expressions)

    return write


def _write_bfm2017(folder: Path) -> None:
    from tests.training.published import make_truth, write_bfm2017

    write_bfm2017(folder / "model.h5", make_truth(units=87.0), bfm2017.LANDMARKS)


def _write_landmark_list(folder: Path) -> None:
    (folder / "points.json").write_text(json.dumps(list(range(68))))


def _read_face(file_format: str, name: str = "") -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        path = folder / name if name else folder
        return to_linear_face_model(read_face_file(path, file_format), tracker_mean_face())

    return read


def _read_landmark_list(folder: Path) -> object:
    from dubber.training.face_files import read_landmarks

    return read_landmarks(_only(folder))


# The cache ------------------------------------------------------------------------------------------------


def _write_entries(folder: Path) -> None:
    """Entries of a cache, one for each type of artefact, in one folder: `entries`."""
    with PatchWriter(folder / "patches.mkv", (16, 24)) as patches:
        for _ in range(3):
            patches.write(np.zeros((16, 24, 3), np.uint8))
    for number, value in enumerate(_artefacts()):
        store = Store(folder)
        with store.writing(_key(number), {"stage": "x"}) as writer:
            shutil.copy(folder / "patches.mkv", writer.folder)
            writer.save(_with_files(value, writer.folder))
    shutil.rmtree(folder / "tmp")


def _key(number: int) -> str:
    return f"{number:02x}" * 32


def _artefacts() -> list[Any]:
    """An artefact of each type that stages store, with made-up values."""
    types = {stage.output_type for stage in _stages() if stage.is_stored}
    return [_example(each) for each in sorted(types, key=lambda each: each.__name__)]


def _stages() -> list[type[Stage[Any]]]:
    found, pending = [], [Stage]
    while pending:
        below = pending.pop().__subclasses__()
        found += [each for each in below if each.__module__.startswith("dubber.")]
        pending += below
    return found


def _example(hint: Any) -> Any:
    if hint is StoredFile:
        return StoredFile(Path("patches.mkv"))
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        return hint(**{field.name: _example(hints[field.name]) for field in fields(hint)})
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is np.ndarray:
        return np.ones((4, 3), np.float32)
    if origin is Literal:
        return arguments[0]
    if origin in (Union, UnionType):
        return _example(arguments[0])
    if origin is tuple:
        return () if Ellipsis in arguments else tuple(_example(each) for each in arguments)
    return {bool: True, int: 8, float: 0.5, str: "text", Fraction: Fraction(1, 25)}[hint]


def _with_files(value: Any, folder: Path) -> Any:
    """The artefact with the entry's one file wherever it has files."""
    hints = get_type_hints(type(value))
    file = StoredFile(folder / "patches.mkv")
    single = {name: file for name, hint in hints.items() if hint is StoredFile}
    several = {name: (file,) for name, hint in hints.items() if StoredFile in get_args(hint)}
    return replace(value, **single, **several)


def _read_entries(folder: Path) -> object:
    """Unverified, as a peek reads them, then verified; then arrays and patches by themselves."""
    store = Store(folder)
    store.entries()
    found = [
        store.load(_key(number), type(value), is_verified=is_verified)
        for number, value in enumerate(_artefacts())
        for is_verified in (False, True)
    ]
    for path in folder.rglob("*.safetensors"):
        # As it is documented; of these the store makes a miss.
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            map_arrays(path)
    return found, sum(1 for _ in read_patches([folder / "patches.mkv"]))


def readers() -> list[Reader]:
    """All of them."""
    hybrid = HybridPainter(2, 4, 3).to_arrays()
    frame = FramePainter(3, 4, 3).to_arrays()
    return [
        *(Reader(f"video {suffix}", _write_video(suffix), _read_video) for suffix in _VIDEOS),
        *(Reader(f"sound {suffix}", _write_sound(suffix), _read_sound) for suffix in _SOUNDS),
        Reader("config", _write_config, lambda folder: DubConfig.from_toml(_only(folder)), is_text=True),
        Reader("--set", _write_settings, _read_settings, is_text=True),
        Reader("batch folder", _write_jobs, _read_jobs, is_text=True),
        Reader(
            "clip list", _write_clip_list, lambda folder: read_manifest(_only(folder), None), is_text=True
        ),
        *(
            Reader(f"script {kind}", _write_script(kind), _read_script, is_text=True)
            for kind in ("toml", "json", "rttm")
        ),
        Reader("weights manifest", _write_manifest, _read_manifest, is_text=True),
        Reader(
            "expression weights",
            lambda folder: _write_weight("expression", _expression_arrays(), folder),
            _read_weight(ExpressionNet.from_weight),
        ),
        Reader(
            "hybrid weights",
            lambda folder: _write_weight("renderer_hybrid", hybrid, folder),
            _read_weight(HybridPainter.from_weight),
        ),
        Reader(
            "frame painter weights",
            lambda folder: _write_weight("renderer_unet", frame, folder),
            _read_weight(FramePainter.from_weight),
        ),
        Reader(
            "face model weights",
            lambda folder: _write_weight("face_model", _face_arrays(), folder),
            _read_weight(LinearFaceModel.from_weight),
        ),
        Reader("user .pt", _write_state, lambda folder: read_state(_only(folder), "a network")),
        Reader("user .safetensors", _write_safe_state, lambda folder: read_state(_only(folder), "a network")),
        Reader("user .onnx", _write_onnx, _read_user_network("arcface")),
        Reader("ict", _write_ict, _read_face("ict"), is_text=True),
        Reader("bfm2009", _write_bfm2009("3ddfa"), _read_face("bfm2009")),
        Reader("bfm2009 guo", _write_bfm2009("guo"), _read_face("bfm2009")),
        Reader("bfm2017", _write_bfm2017, _read_face("bfm2017", "model.h5")),
        Reader("landmark list", _write_landmark_list, _read_landmark_list, is_text=True),
        Reader("cache entries", _write_entries, _read_entries, is_text=True),
    ]
