"""The translators' ablation as a page: docs/results.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dubber.evaluation.ablation import SHORT_CLIP_S
from dubber.evaluation.footage import HELD_OUT_SHARE
from dubber.evaluation.page import cell, number, table

_COLUMNS: dict[str, tuple[str, str]] = {
    "E_exp": ("expression_error", "{:.2f}"),
    "E_ldmk": ("landmark_error_px", "{:.2f}"),
    "LMD": ("lmd_px", "{:.2f}"),
    "opening r": ("mouth_opening_correlation", "{:.2f}"),
    "lag": ("av_lag_frames", "{:+.1f}"),
    "swing": ("opening_amplitude_ratio", "{:.2f}"),
    "in silence": ("motion_in_silence", "{:.2f}"),
}
"""Heading; key and form of the number."""

_TRIVIAL = {"mean_mouth": "mean mouth", "frozen": "frozen mouth", "loudness": "loudness of the voice"}

_SHORT_NOTE = (
    "The last quarter of a sentence is its last word and the mouth coming to rest: less than a second, in "
    "which a frozen mouth is hard to beat. Read the table above first."
)

_PAPERS = (
    ("Everybody's Talkin' (arXiv:2001.05201), GRID, without audio identity removal", "0.84", "3.09"),
    ("Everybody's Talkin', GRID, with audio identity removal", "0.65", "2.24"),
)
"""Rows of published tables: the authors' numbers, on their clips, in their face model's scale."""


def results_page(document: dict[str, Any], command: str) -> str:
    """Write the page.

    Args:
        document: What `dubber.evaluation.ablation.evaluate_variants` found.
        command: The command that makes the page.

    Returns:
        Markdown.
    """
    variants = document["variants"]
    measured = next(variant for variant in variants if variant["clips"])
    clips = measured["clips"]
    num_short = sum(clip["seconds"] < SHORT_CLIP_S for clip in clips)
    sections = [
        "# Results",
        f"Made by `{command}`; do not edit. Each clip of the split `{document['split']}` is driven by its "
        f"own voice; the last {HELD_OUT_SHARE:.0%} of it, hidden from dubber, are compared with what was "
        "filmed. [method.md](method.md), section Measures, defines the measures: E_exp in standard "
        "deviations of dubber's face model; E_ldmk (39 landmarks) and LMD (20 mouth points, mean) in px of "
        "the 384 crop; opening r, the correlation of the mouth's opening with the truth at its best lag; "
        "that lag in frames, positive when late; swing, the ratio of the opening's standard deviations; in "
        "silence, the lips' speed in silence over that in speech. A dash: it has no meaning there, or no "
        "clip has such a part.",
        _medians_section(f"{len(clips) - num_short} clips, medians", variants, "long"),
    ]
    if num_short:
        title = f"{num_short} sentences under {SHORT_CLIP_S:.0f} s, medians"
        sections += [_medians_section(title, variants, "short"), _SHORT_NOTE]
    sections += [_papers_section(), _clips_section(measured)]
    if document["left_out"]:
        rows = [[cell(clip["clip"]), cell(clip["reason"])] for clip in document["left_out"]]
        sections.append("## Left out\n\n" + table(["clip", "why"], rows))
    return "\n\n".join(sections) + "\n"


def _medians_section(title: str, variants: Sequence[dict[str, Any]], length: str) -> str:
    rows = [
        [
            cell(_TRIVIAL.get(variant["name"], variant["name"])),
            *_numbers(variant[length], variant["missing"]),
        ]
        for variant in variants
    ]
    return f"## {title}\n\n" + table(["", *_COLUMNS], rows)


def _papers_section() -> str:
    return (
        "## The papers' own numbers\n\n"
        "Printed by their authors, measured on their clips, in the scale of another face model: E_exp does "
        "not compare with the tables above, E_ldmk only roughly.\n\n"
        + table(["", "E_exp", "E_ldmk"], [list(row) for row in _PAPERS])
    )


def _clips_section(variant: dict[str, Any]) -> str:
    rows = [
        [cell(clip["clip"]), f"{clip['seconds']:.0f}", str(clip["frames"]), *_numbers(clip["metrics"], None)]
        for clip in variant["clips"]
    ]
    header = ["clip", "s", "frames measured", *_COLUMNS]
    return f"## Clip by clip: {variant['name']}\n\n" + table(header, rows)


def _numbers(measures: dict[str, float | None], missing: str | None) -> list[str]:
    if missing is not None:
        return [cell(missing), *[""] * (len(_COLUMNS) - 1)]
    return [number(measures.get(key), form) for key, form in _COLUMNS.values()]
