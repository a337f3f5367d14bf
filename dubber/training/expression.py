"""`dubber train expression`: the network that turns speech into expression, from talking clips.

1.  Each clip's face is fitted; its coefficients, as deviations from the clip's mean and brought to a common
    liveliness, are turned into modes (principal axes of what lips and jaw do).
2.  The encoder learns the sounds of speech from synthetic voices (`phone_pretraining`).
3.  Many clips' sound is late. A network is trained on all; where its mouth agrees best with the picture is
    the clip's delay. Taken out, the next network is sharper, and so are its estimates.
4.  The identity remover is trained, together with a translator, against a classifier of the speakers
    (`identity`).
5.  The members that ship are trained on the corrected clips and the cleaned features.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dubber.engine.device import torch_threads
from dubber.engine.progress import Progress, SilentProgress
from dubber.engine.stage import Runtime
from dubber.engine.weights import WeightEntry
from dubber.errors import ConfigError
from dubber.models.expression import ExpressionNet, listen
from dubber.models.morphable import LinearFaceModel
from dubber.models.speech_net import RUN_UP, ConvTranslator, LstmTranslator, SpeechEncoder
from dubber.ops import mfcc
from dubber.ops.sync import at_media_times, best_lag
from dubber.stages.translate import FACE_MODEL, WEIGHTS
from dubber.training.dataset import provenance
from dubber.training.identity import (
    IdentityTask,
    ProbeReport,
    SpeakerClassifier,
    SpeakerWindows,
    accuracy,
    train_classifier,
)
from dubber.training.loop import Loop, Optimisation
from dubber.training.phone_pretraining import PhoneTask, phone_recordings
from dubber.training.release import save_weight
from dubber.training.speech_data import Lesson, Lessons, TalkingClip, talking_clips, variants
from dubber.training.targets import TargetName, deviations, make_modes, mouth_target
from dubber.types import Float32

TRAIN_STAGE = "train expression"
_MAX_DELAY_S = 0.4
_MIN_AGREEMENT = 0.4
_NUM_BABBLERS = 40
_PHONE_BATCH = 32
_OWN = ("translator", "variant", "target", "members", "iterations", "identity")
"""Settings, by how they begin, in which translators and variants differ."""

_LEAST_STEPS = 8000
"""Samples: clips with less than half a second of sound are left out."""


@dataclass(frozen=True)
class ExpressionTraining:
    """How to train; see `recipe` for what made the weights that ship.

    Attributes:
        translator: Key of `dubber.models.speech_net.TRANSLATORS`.
        variant: Name in `dubber.training.variants`; empty: the recipe of the weights that ship.
        target: What is predicted; see `dubber.training.targets`.
        members: Networks that are averaged.
        iterations: Steps of each member.
        phone_seconds: Synthetic speech to learn sounds from.
        phone_iterations: Steps of learning sounds; 0: none, the encoder starts from nothing.
        delay_iterations: Steps of the network of each delay round.
        delay_rounds: Times the clips' delays are estimated.
        classifier_iterations: Steps of each classifier of the speakers.
        identity_rounds: Rounds of removing identity, each with one more judge; 0: none, voices are heard as
            they are.
        identity_iterations: Steps of each.
        identity_weight: Of the judges' certainty beside the error of the mouth.
        identity_keep: Weight of what the remover changes.
        num_bases: Bases of the identity remover.
        batch_size: Runs of features per step.
        length: Answered steps per run.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Of AdamW.
        jitter: Random gain and shift of the features.
        num_variants: Copies of each clip in other voices, rooms and channels, the clip itself counted.
        seed: Of everything.
    """

    translator: str = "lstm"
    variant: str = ""
    target: TargetName = "expression"
    members: int = 4
    iterations: int = 250
    phone_seconds: float = 4800.0
    phone_iterations: int = 1000
    delay_iterations: int = 200
    delay_rounds: int = 2
    classifier_iterations: int = 300
    identity_rounds: int = 4
    identity_iterations: int = 100
    identity_weight: float = 1.0
    identity_keep: float = 0.02
    num_bases: int = 12
    batch_size: int = 24
    length: int = 160
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    jitter: float = 0.2
    num_variants: int = 6
    seed: int = 0

    @classmethod
    def recipe(cls, translator: str) -> ExpressionTraining:
        """What made the weights that ship.

        `lstm` is EBT's translator and has its identity remover; `conv` is Meta Talk's, which has none, and
        hears better without (docs/results.md).

        Args:
            translator: Key of `dubber.models.speech_net.TRANSLATORS`.
        """
        return cls(translator=translator, identity_rounds=4 if translator == LstmTranslator.name else 0)

    @property
    def label(self) -> str:
        """Names what translators and variants share; their own checkpoints carry their own names."""
        shared = {name: value for name, value in asdict(self).items() if not name.startswith(_OWN)}
        return "-".join(str(value) for value in shared.values())

    def own_name(self, name: str) -> str:
        """A checkpoint's name, which tells whatever `label` does not."""
        own = {
            field: value
            for field, value in asdict(self).items()
            if field.startswith(_OWN) and field not in ("variant", "members")
        }
        digest = hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()
        return f"{self.translator}-{name}-{digest[:8]}"

    @property
    def num_steps(self) -> int:
        """Iterations of all networks together."""
        rounds = self.identity_rounds
        identity = rounds and rounds * self.identity_iterations + (rounds + 1) * self.classifier_iterations
        delays = self.delay_rounds * self.delay_iterations
        return self.phone_iterations + delays + identity + self.members * self.iterations


class _Course:
    """One training, step by step; see the module.

    Args:
        clips: To learn from.
        model: The face model that the clips were fitted with.
        settings: See `ExpressionTraining`.
        loop: Trains and keeps checkpoints.
        face_model_sha256: Goes into the weights.
    """

    def __init__(
        self,
        clips: list[TalkingClip],
        model: LinearFaceModel,
        settings: ExpressionTraining,
        loop: Loop,
        face_model_sha256: str,
    ) -> None:
        self.settings, self.loop = settings, loop
        target = mouth_target(settings.target, model)
        # From here on nobody asks what the numbers are: the metric tells what they do.
        clips = [replace(clip, expression_TK=target.numbers(clip)) for clip in clips]
        encode_KZ, decode_ZK, std_Z, lively = make_modes(clips, target.metric_KD)
        self.opening_Z = decode_ZK @ target.opening_K
        babblers = [clip.samples_S for clip in clips[:_NUM_BABBLERS]]
        self.lessons = [
            Lesson(
                variants(clip.samples_S, settings.num_variants, settings.seed + index, babblers),
                deviations(clip) @ encode_KZ / live,
                clip,
            )
            for index, (clip, live) in enumerate(zip(clips, lively, strict=True))
        ]
        steps_FC = np.concatenate(
            [heard.features.steps_FC for lesson in self.lessons for heard in lesson.heard]
        )
        digest = list(bytes.fromhex(face_model_sha256)) or [0] * 32
        self.feature_mean_C = steps_FC.mean(axis=0)
        self.feature_std_C = np.maximum(steps_FC.std(axis=0), 1e-3)
        self._buffers = {
            "feature_mean_C": torch.from_numpy(self.feature_mean_C),
            "feature_std_C": torch.from_numpy(self.feature_std_C),
            "mode_std_Z": torch.from_numpy(std_Z),
            "encode_KZ": torch.from_numpy(encode_KZ),
            "decode_ZK": torch.from_numpy(decode_ZK),
            "face_model_sha256": torch.tensor(digest, dtype=torch.uint8),
        }
        self.encoder_state: dict[str, Tensor] = {}

    def fresh(self, translator: str, seed: int, *, members: int = 1, num_bases: int = 0) -> ExpressionNet:
        """A network that knows the sounds, and nothing else."""
        torch.manual_seed(seed)
        num_coefficients, num_modes = self._buffers["encode_KZ"].shape
        net = ExpressionNet(
            translator, mfcc.NUM_FEATURES, num_modes, num_coefficients, members=members, num_bases=num_bases
        )
        net.load_state_dict({**net.state_dict(), **self._buffers})
        if self.encoder_state:
            for member in net.members:
                member.get_submodule("encoder").load_state_dict(self.encoder_state)
        return net

    def learn_sounds(self) -> float | None:
        """Step 2; the share of held-out sounds that are named."""
        settings = self.settings
        if not settings.phone_iterations:
            return None
        torch.manual_seed(settings.seed)
        scale = (self.feature_mean_C, self.feature_std_C)
        task = PhoneTask(
            SpeechEncoder(mfcc.NUM_FEATURES),
            phone_recordings(settings.phone_seconds, settings.seed),
            *scale,
        )
        device = self.loop.device
        how = Optimisation(settings.phone_iterations, 1.5 * settings.learning_rate, settings.weight_decay)
        self.loop.train(
            "phones",
            task,
            lambda rng: task.loss(_PHONE_BATCH, rng, settings.jitter, device),
            how,
            settings.seed,
        )
        self.encoder_state = {name: value.cpu() for name, value in task.encoder.state_dict().items()}
        unheard = phone_recordings(settings.phone_seconds / 12, settings.seed + 1)
        held_out = PhoneTask(task.encoder, unheard, *scale)
        held_out.classes, held_out.targets = task.classes, task.targets
        return held_out.eval().accuracy(settings.seed, device)

    def find_delays(self) -> list[tuple[float, float]]:
        """Step 3: each clip's agreement and the delay of its sound in seconds."""
        settings = self.settings
        late = [(0.0, 0.0)] * len(self.lessons)
        for index in range(settings.delay_rounds):
            net = self.fresh(ConvTranslator.name, settings.seed)
            self.train(f"delay{index}-{settings.target}", net, late, settings.delay_iterations, settings.seed)
            late = estimate_delays(net, self.lessons, self.opening_Z, self.loop.device)
        return late

    def remove_identity(
        self, late: list[tuple[float, float]]
    ) -> tuple[dict[str, Tensor], ProbeReport | None]:
        """Step 4: the remover's state, empty where there is none, and what a fresh probe tells."""
        settings = self.settings
        windows = SpeakerWindows(self.lessons, RUN_UP)
        if not settings.identity_rounds or len(windows.speakers) < 2:
            return {}, None
        net = self.fresh(settings.translator, settings.seed, num_bases=settings.num_bases)
        lessons, seed, device = self.corrected(net, late), settings.seed, self.loop.device

        def classifier(name: str, seed: int, *, is_clean: bool) -> SpeakerClassifier:
            many = settings.classifier_iterations
            return train_classifier(
                self.loop, name, net, windows, is_clean=is_clean, iterations=many, seed=seed
            )

        judges = [classifier("speakers", seed, is_clean=False)]
        before = accuracy(judges[0], net, windows, device, is_clean=False)
        name = settings.own_name("identity")
        how = Optimisation(settings.identity_iterations, settings.learning_rate, settings.weight_decay)
        for index in range(settings.identity_rounds):
            task = IdentityTask(net, judges, windows, keep=settings.identity_keep)

            def loss(rng: np.random.Generator, task: IdentityTask = task) -> Tensor:
                told = settings.identity_weight * task.loss(rng, device)
                return mouth_error(net, lessons, settings, rng, device) + told

            self.loop.train(f"{name}-{index}", task, loss, how, seed + index)
            judges.append(classifier(f"{name}-{index}-judge", seed + 1 + index, is_clean=True))
        after = accuracy(judges[-1], net, windows, device, is_clean=True)
        state = {name: value.cpu() for name, value in net.remover.state_dict().items()}
        return state, ProbeReport(before, after, 1 / len(windows.speakers))

    def train_members(
        self, late: list[tuple[float, float]], remover_state: dict[str, Tensor]
    ) -> ExpressionNet:
        """Step 5: the network that ships."""
        settings = self.settings
        num_bases = settings.num_bases if remover_state else 0
        whole = self.fresh(settings.translator, settings.seed, members=settings.members, num_bases=num_bases)
        for index in range(settings.members):
            seed = settings.seed + 1 + index
            net = self.fresh(settings.translator, seed, num_bases=num_bases)
            net.remover.load_state_dict(remover_state)
            net.remover.requires_grad_(False)
            self.train(settings.own_name(f"member{index}"), net, late, settings.iterations, seed)
            whole.members[index].load_state_dict(net.members[0].cpu().state_dict())
        whole.remover.load_state_dict(remover_state)
        return whole.eval()

    def train(
        self, name: str, net: ExpressionNet, late: list[tuple[float, float]], iterations: int, seed: int
    ) -> None:
        """Train a network's translators on the clips."""
        settings = self.settings
        lessons = self.corrected(net, late)
        self.loop.train(
            name,
            net,
            lambda rng: mouth_error(net, lessons, settings, rng, self.loop.device),
            Optimisation(iterations, settings.learning_rate, settings.weight_decay),
            seed,
        )

    def corrected(self, net: ExpressionNet, late: list[tuple[float, float]]) -> Lessons:
        """The clips with their delays taken out."""
        return Lessons(
            self.lessons,
            [delay for _, delay in late],
            before=net.before,
            after=net.after,
            length=self.settings.length,
        )


def mouth_error(
    net: ExpressionNet,
    lessons: Lessons,
    settings: ExpressionTraining,
    rng: np.random.Generator,
    device: torch.device,
) -> Tensor:
    """Squared error of the modes, as a share of their usual variance, on a drawn batch.

    The modes are orthonormal under the metric of `make_modes`; so this is, exactly, the squared error of the
    39 landmarks that the face model makes of the coefficients, plus a small squared error of the coefficients
    themselves.

    Source: EBT, Audio-to-Expression Translation Network: expression and shape term.
    """
    batch = lessons.draw(settings.batch_size, rng, settings.jitter)
    features, wanted, weight = (torch.from_numpy(array).to(device) for array in batch)
    error_BL = ((net(features) - wanted) ** 2).sum(dim=-1)
    error: Tensor = (error_BL * weight).sum() / weight.sum().clamp(min=1) / (net.mode_std_Z**2).sum()
    return error


def estimate_delays(
    net: ExpressionNet, lessons: list[Lesson], opening_Z: Float32, device: torch.device
) -> list[tuple[float, float]]:
    """By how much each clip's sound comes after its picture.

    Args:
        net: Trained.
        lessons: The clips.
        opening_Z: (Z,) what the modes do to the mouth's opening.
        device: Where the network runs.

    Returns:
        For each clip the correlation of mouth opening, and the delay in seconds; 0 where they hardly agree.
    """
    out = []
    for lesson in lessons:
        heard = lesson.heard[0]
        chunks = listen(net, heard.features.steps_FC, heard.features.silence_C, device)
        modes_FZ = np.concatenate([modes_fZ for modes_fZ, _ in chunks])
        seen_FZ, is_known_F = at_media_times(
            heard.media_s_F, lesson.clip.times_s_T, lesson.modes_TZ, lesson.clip.is_usable_T
        )
        reach = round(_MAX_DELAY_S * mfcc.RATE_HZ)
        agreement, lag = best_lag(
            modes_FZ @ opening_Z, seen_FZ @ opening_Z, reach, is_truth_known_N=is_known_F
        )
        is_sure = agreement >= _MIN_AGREEMENT and abs(lag) < reach
        out.append((agreement, lag / mfcc.RATE_HZ if is_sure else 0.0))
    return out


def train_expression(
    clips: list[TalkingClip],
    model: LinearFaceModel,
    folder: Path,
    *,
    settings: ExpressionTraining | None = None,
    device: torch.device | None = None,
    progress: Progress | None = None,
    face_model_sha256: str = "",
) -> tuple[ExpressionNet, dict[str, Any]]:
    """Train the network.

    Args:
        clips: To learn from.
        model: The face model that the clips were fitted with.
        folder: Checkpoints and the curve; a run that finds its own goes on from there.
        settings: See `ExpressionTraining`.
        device: Where; the CPU by default.
        progress: Is told of each iteration.
        face_model_sha256: Goes into the weights, so that they are not used with another face model.

    Returns:
        The network, and a report: each clip's delay and agreement, how many sounds are named, and how well a
        fresh probe tells speakers apart before and after the identity remover.

    Raises:
        ConfigError: No clip has enough frames, or espeak-ng is needed and missing.
    """
    settings, device = settings or ExpressionTraining(), device or torch.device("cpu")
    progress = progress or SilentProgress()
    clips = [clip for clip in clips if clip.is_usable_T.sum() >= 25 and len(clip.samples_S) >= _LEAST_STEPS]
    if not clips:
        raise ConfigError("No clip has a second of speech and a face: there is nothing to learn from.")
    progress.start(TRAIN_STAGE, settings.num_steps)
    course = _Course(clips, model, settings, Loop(folder, device, progress, TRAIN_STAGE), face_model_sha256)
    named = course.learn_sounds()
    late = course.find_delays()
    remover_state, probe = course.remove_identity(late)
    net = course.train_members(late, remover_state)
    report = {
        "settings": asdict(settings),
        "phones_named": named,
        "speaker_probe": asdict(probe) if probe else None,
        "clips": {
            clip.name: {"delay_s": delay, "correlation": round(agreement, 3)}
            for clip, (agreement, delay) in zip(clips, late, strict=True)
        },
    }
    name = "-".join(filter(None, ("report", settings.variant, settings.translator)))
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    return net, report


def weight_entry(
    translator: str, clips: list[TalkingClip], face_model: WeightEntry, variant: str = ""
) -> dict[str, Any]:
    """The manifest's row for weights learned from clips.

    Args:
        translator: Which.
        clips: What taught it.
        face_model: The face model that the clips were fitted with: its terms go on.
        variant: Name in `dubber.training.variants`, if it is one.
    """
    options = f"--translator {translator}" + (f" --variant {variant}" if variant else "")
    speakers = len({clip.speaker for clip in clips})
    rights = provenance(clip.rights for clip in clips)
    return {
        "kind": "expression network",
        "licence": face_model.licence,
        "is_commercial_use_allowed": face_model.is_commercial_use_allowed,
        "training_data": f"{len(clips)} talking clips of {speakers} people ({rights}); synthetic speech",
        "recipe": f"dubber train expression --clips CSV {options}",
        "description": f"Speech to expression coefficients, translator {translator}",
    }


def _digest(clips: list[TalkingClip]) -> str:
    """Tells clips apart by what is heard and seen in them: other clips, other checkpoints."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.name}\0{clip.speaker}\0".encode())
        for array in (clip.samples_S, clip.times_s_T, clip.expression_TK, clip.is_usable_T):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]


def train_from_clips(
    manifest: Path,
    out: Path,
    runtime: Runtime,
    progress: Progress | None = None,
    *,
    settings: ExpressionTraining | None = None,
    teacher: Path | None = None,
) -> dict[str, float]:
    """Train on the `train` rows of a manifest and list the result among the weights.

    Args:
        manifest: CSV with the columns file, split and speaker, and perhaps rights.
        out: Weights folder; the checkpoints go to the cache.
        runtime: Names cache, device and the weights folder that holds the face model.
        progress: Is told how far it is.
        settings: See `ExpressionTraining`.
        teacher: CSV of the same form, all of whose rows are clips that another lip-sync system made: its
            mouths teach too (Meta Talk's pseudo labels).

    Returns:
        Measures: clips, speakers, frames, clips whose sound was late by 40 ms or more, the median correlation
        of mouth openings on the clips it learned from, the share of sounds named, the fresh probe's accuracy
        before and after, and its chance. Each clip's delay lies in a report beside the checkpoints.

    Raises:
        ConfigError: The manifest cannot be used, or espeak-ng is needed and missing.
        WeightsError: There is no face model yet.
        OutputFolderError: The weights folder cannot be written.
    """
    progress = progress or SilentProgress()
    model = LinearFaceModel.from_weight(runtime.weights.open(FACE_MODEL))
    face_entry = runtime.weights.entry(FACE_MODEL)
    clips = list(talking_clips(manifest, runtime, progress, "train"))
    if teacher is not None:
        clips += list(talking_clips(teacher, runtime, progress, None))
    settings = settings or ExpressionTraining.recipe(ConvTranslator.name)
    label = f"{face_entry.sha256[:12]}-{_digest(clips)}-{settings.label}"
    with torch_threads(runtime.threads):
        net, report = train_expression(
            clips,
            model,
            runtime.cache_dir / "training" / "expression" / label,
            settings=settings,
            device=runtime.device.torch_device(),
            progress=progress,
            face_model_sha256=face_entry.sha256,
        )
    entry = weight_entry(settings.translator, clips, face_entry, settings.variant)
    save_weight(out, WEIGHTS[settings.translator], net.to_arrays(), entry)
    rows = list(report["clips"].values())
    probe = report["speaker_probe"] or {}
    return {
        "train_clips": float(len(rows)),
        "train_speakers": float(len({clip.speaker for clip in clips})),
        "train_frames": float(sum(clip.is_usable_T.sum() for clip in clips)),
        "late_clips": float(sum(abs(row["delay_s"]) >= 0.04 for row in rows)),
        "train_correlation": float(np.median([row["correlation"] for row in rows])),
        **({"phones_named": report["phones_named"]} if report["phones_named"] else {}),
        **{f"speaker_probe_{name}": value for name, value in probe.items()},
    }
