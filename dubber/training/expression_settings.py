"""How the expression network is trained: numbers, and the names of the checkpoints that follow from them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dubber.training.targets import TargetName

IDENTITY_ROUNDS = {"conv": 0, "lstm": 4}
"""Rounds of removing identity, by translator: `lstm` is EBT's and has its identity remover; `conv` is Meta
Talk's, which has none, and hears no worse without (docs/results.md)."""

_OWN = ("translator", "variant", "target", "members", "iterations", "identity")
"""Settings, by how they begin, in which translators and variants differ."""


@dataclass(frozen=True)
class ExpressionTraining:
    """How to train; the defaults made `conv` as it ships, see `recipe` for both.

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

    translator: str = "conv"
    variant: str = ""
    target: TargetName = "expression"
    members: int = 4
    iterations: int = 250
    phone_seconds: float = 4800.0
    phone_iterations: int = 1000
    delay_iterations: int = 200
    delay_rounds: int = 2
    classifier_iterations: int = 300
    identity_rounds: int = 0
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

        Args:
            translator: Key of `dubber.models.speech_net.TRANSLATORS`.
        """
        return cls(translator=translator, identity_rounds=IDENTITY_ROUNDS[translator])

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
