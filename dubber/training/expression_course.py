"""The course of training the expression network, step by step.

1.  Each clip's face is fitted; its coefficients, as deviations from the clip's mean and brought to a common
    liveliness, are turned into modes (principal axes of what lips and jaw do).
2.  The encoder learns the sounds of speech from synthetic voices (`phone_pretraining`).
3.  Many clips' sound is late. A network is trained on all; where its mouth agrees best with the picture is
    the clip's delay. Taken out, the next network is sharper, and so are its estimates.
4.  Where identity is removed (`ExpressionTraining.recipe`), the remover is trained, together with a
    translator, against classifiers of the speakers (`identity`).
5.  The members that ship are trained on the corrected clips and, after step 4, the cleaned features.

Index letters: F feature steps, C features, K numbers per frame, Z modes, B a batch, L answered steps, S
samples.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dubber.models.expression import ExpressionNet, listen
from dubber.models.morphable import LinearFaceModel
from dubber.models.speech_net import RUN_UP, ConvTranslator, SpeechEncoder
from dubber.ops import mfcc
from dubber.ops.sync import at_media_times, sound_delay
from dubber.training.expression_settings import ExpressionTraining
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
from dubber.training.speech_data import Lesson, Lessons, TalkingClip, variants
from dubber.training.targets import deviations, make_modes, mouth_target
from dubber.types import Float32

_LEAST_AGREEMENT = 0.4
"""Correlation of mouth openings below which a clip's sound says nothing about its delay."""

_NUM_BABBLERS = 40
_PHONE_BATCH = 32


class Course:
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
        heard_F, seen_F = modes_FZ @ opening_Z, seen_FZ @ opening_Z
        out.append(sound_delay(heard_F, seen_F, is_known_F, mfcc.RATE_HZ, least_agreement=_LEAST_AGREEMENT))
    return out
