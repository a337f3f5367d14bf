"""What the figures of a finished dub mean, in plain words.

The bounds were set by what was measured on real footage (docs/quality.md, which has the table): good dubs and
filmed mouths lie on one side of them, dubs that were spoiled on purpose on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from dubber.evaluation.measures import Measures

Verdict = Literal["good", "fair", "poor", "unknown"]

NATURAL_LEAD_MS = 50.0
"""Filmed mouths move so long before the opening that dubber's network hears, and so do dubbed ones.

Source: docs/quality.md, the filmed clips' median; `TranslateParams.lead_ms`.
"""


@dataclass(frozen=True)
class Figure:
    """One number and what it means.

    Attributes:
        name: Short and fixed: sync, offset, intent, sharpness, seam, flicker, inside or
            untouched.
        value: The number; None where it has no meaning for the dub.
        unit: Of the number: "ms", "dB", "r" (a correlation, at most 1) or "x" (times the source's).
        verdict: Whether that is good.
        words: The same as a sentence.
    """

    name: str
    value: float | None
    unit: str
    verdict: Verdict
    words: str


@dataclass(frozen=True)
class Range:
    """Values that are as good as a verdict says."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Scale:
    """How a figure is judged.

    Attributes:
        name: Of the figure.
        unit: Of the figure.
        good: Values that need no attention.
        fair: Values that may be seen by who looks for them; all beyond are poor.
        words: A sentence for each verdict; "{value}" is the number.
        form: How the number is written.
    """

    name: str
    unit: str
    good: Range
    fair: Range
    words: Mapping[Verdict, str]
    form: Callable[[float], str]

    def judge(self, value: float | None) -> Figure:
        """The figure."""
        verdict: Verdict = "unknown"
        if value is not None:
            verdict = "good" if value in self.good else "fair" if value in self.fair else "poor"
        shown = "" if value is None else self.form(value)
        return Figure(self.name, value, self.unit, verdict, self.words[verdict].format(value=shown))


_ANY = float("inf")


def _apart(late_ms: float) -> str:
    """How far the mouth is from the voice, in words."""
    whole_ms = round(late_ms)
    if not whole_ms:
        return "within 1 ms"
    return f"{abs(whole_ms)} ms {'late' if whole_ms > 0 else 'early'}"


SCALES: dict[str, Scale] = {
    "voice_correlation": Scale(
        "sync",
        "r",
        Range(0.45, 1),
        Range(0.3, 1),
        {
            "good": "The mouth follows the voice closely ({value} of 1).",
            "fair": "The mouth follows the voice loosely ({value} of 1): watch a few sentences.",
            "poor": "The mouth hardly follows the voice ({value} of 1).",
            "unknown": "Whether the mouth follows the voice cannot be told: too little speech is seen.",
        },
        "{:.2f}".format,
    ),
    "voice_late_ms": Scale(
        "offset",
        "ms",
        Range(-125, 45),
        Range(-185, 90),
        {
            "good": "Mouth and voice come together ({value}).",
            "fair": "The mouth comes {value}; who looks for it sees it.",
            "poor": "The mouth comes {value}: correct it with `--av-offset-ms`.",
            "unknown": "Whether mouth and voice come together cannot be told.",
        },
        _apart,
    ),
    "wanted_correlation": Scale(
        "intent",
        "r",
        Range(0.8, 1),
        Range(0.6, 1),
        {
            "good": "The picture shows the mouth that was asked for ({value} of 1).",
            "fair": "The picture shows roughly the mouth that was asked for ({value} of 1).",
            "poor": "The picture does not show the mouth that was asked for ({value} of 1).",
            "unknown": "Whether the picture shows the mouth that was asked for cannot be told.",
        },
        "{:.2f}".format,
    ),
    "sharpness_ratio": Scale(
        "sharpness",
        "x",
        Range(0.6, 1.7),
        Range(0.4, 2.5),
        {
            "good": "The mouth is about as sharp as the footage ({value} times its detail; 1 is the same).",
            "fair": "The mouth differs a little in sharpness from the footage ({value} times its detail).",
            "poor": "The mouth stands out from the footage: it has {value} times its detail.",
            "unknown": "Sharpness cannot be told: no mouth was made.",
        },
        "{:.2f}".format,
    ),
    "soft_seam_index": Scale(
        "seam",
        "x",
        Range(0, 1.2),
        Range(0, 1.5),
        {
            "good": "No edge shows around the mouth ({value} times the footage's own).",
            "fair": "A faint edge may show around the mouth ({value} times the footage's own).",
            "poor": "An edge shows around the mouth ({value} times the footage's own).",
            "unknown": "Edges cannot be told: no mouth was made.",
        },
        "{:.2f}".format,
    ),
    "soft_flicker_index": Scale(
        "flicker",
        "x",
        Range(0, 1.4),
        Range(0, 2.0),
        {
            "good": "The mouth is about as steady as the footage, or steadier ({value} times its flicker).",
            "fair": "The mouth flickers a little more than the footage ({value} times its own).",
            "poor": "The mouth flickers ({value} times the footage's own).",
            "unknown": "Flicker cannot be told: no three frames in a row were dubbed.",
        },
        "{:.2f}".format,
    ),
    "inside_unrest_ratio": Scale(
        "inside",
        "x",
        Range(0, 1.3),
        Range(0, 1.65),
        {
            "good": "Teeth and tongue hold together as in the footage ({value} times its unrest).",
            "fair": "Teeth or tongue change shape at times ({value} times the footage's unrest).",
            "poor": "Teeth or tongue look torn or melted ({value} times the footage's unrest).",
            "unknown": "Whether teeth and tongue hold together cannot be told: too few open mouths are seen.",
        },
        "{:.2f}".format,
    ),
    "untouched_psnr_db": Scale(
        "untouched",
        "dB",
        Range(42, _ANY),
        Range(36, _ANY),
        {
            "good": "Beside the mouth nothing is changed that could be seen ({value}).",
            "fair": "Coding costs some of the picture beside the mouth ({value}); lower `--crf` keeps more.",
            "poor": "Coding costs much of the picture beside the mouth ({value}): choose a lower `--crf`.",
            "unknown": "What lies beside the mouth was not compared: no mouth was made.",
        },
        "{:.0f} dB".format,
    ),
}
"""By measure, in the order of their importance.

Source: sync of docs/quality.md, between filmed mouths with their own voice and with another's; offset:
ITU-R BT.1359-1, thresholds of detection (+45, -125 ms) and of acceptance (+90, -185 ms) for sound that comes
before, or after, its picture; the others of docs/quality.md.
"""


def judged(measures: Measures) -> tuple[Figure, ...]:
    """The figures of what was measured; "unknown" where a measure is missing.

    Args:
        measures: By the names of `SCALES`.
    """
    return tuple(scale.judge(measures.get(name)) for name, scale in SCALES.items())
