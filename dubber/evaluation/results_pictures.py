"""The renderers' ablation as a page: docs/results_pictures.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dubber.evaluation.footage import HELD_OUT_SHARE
from dubber.evaluation.measures import Measures
from dubber.evaluation.page import cell, number, table
from dubber.evaluation.renderer_ablation import BASELINE, ENOUGH_S, MAIN, UNSTEADY

_COLUMNS: dict[str, tuple[str, str]] = {
    "PSNR": ("mouth_psnr_db", "{:.1f}"),
    "SSIM": ("mouth_ssim", "{:.3f}"),
    "re-made": ("remade_psnr_db", "{:.1f}"),
    "patch": ("patch_psnr_db", "{:.1f}"),
    "patch SSIM": ("patch_ssim", "{:.3f}"),
    "sharp": ("sharpness_ratio", "{:.2f}"),
    "lips sharp": ("lips_sharpness_ratio", "{:.2f}"),
    "seam": ("seam_index", "{:.2f}"),
    "soft seam": ("soft_seam_index", "{:.2f}"),
    "flicker": ("flicker_index", "{:.2f}"),
    "soft flicker": ("soft_flicker_index", "{:.2f}"),
    "seen E_ldmk": ("rendered_landmark_error_px", "{:.2f}"),
    "seen opening r": ("rendered_opening_correlation", "{:.2f}"),
}
"""Heading; key and form of the number."""

_INTRODUCTION = (
    "The last {held_out:.0%} of each clip, hidden from dubber, are made again with the mouths they truly "
    "show (their tracked landmarks) and compared, before any encode, with what was filmed. "
    "[method.md](method.md), section Measures, defines the measures. PSNR (dB) and SSIM are of the mouth "
    "box; re-made: PSNR over the changed pixels of the box alone; patch: what the renderer and the finishing "
    "made, before it is blended: the hybrid painter is shown what surrounds the lower face and gives it "
    "back, so between renderers re-made is the fair number. Sharpness, seam and flicker are ratios to the "
    "filmed picture at the same place, 1 is as filmed. The last columns are what a tracker sees: 39 "
    "landmarks in px of the 384 crop, and the correlation of the mouth's opening. A dash: it has no meaning "
    "there."
)

_EXAMPLE = (
    "![Source frames above, the same moments of the dubbed video below](images/before_after.jpg)\n\n"
    "*The example clip with the example line, `make demo`: before and after. The clips that were measured "
    "are of other people and not shown.*"
)


def pictures_page(document: dict[str, Any], command: str) -> str:
    """Write the page.

    Args:
        document: What `dubber.evaluation.renderer_ablation.evaluate_renderers` found.
        command: The command that makes the page.

    Returns:
        Markdown.
    """
    variants = document["variants"]
    clips = next(variant["clips"] for variant in variants if variant["clips"])
    num_long = sum(clip["seconds"] >= ENOUGH_S for clip in clips)
    sections = [
        "# Results: pictures",
        f"Made by `{command}`; do not edit. " + _INTRODUCTION.format(held_out=HELD_OUT_SHARE),
        _EXAMPLE,
    ]
    for key, count, which in (
        ("long", num_long, f"of {ENOUGH_S:.0f} s and more"),
        ("short", len(clips) - num_long, f"under {ENOUGH_S:.0f} s"),
    ):
        if count:
            rows = [
                [cell(variant["name"]), *_numbers(variant[key], variant["missing"])] for variant in variants
            ]
            noun = "clip" if count == 1 else "clips"
            sections.append(f"## {count} {noun} {which}, medians\n\n" + table(["", *_COLUMNS], rows))
    sections.append("## Clip by clip: mouth box, PSNR in dB\n\n" + _by_clip(variants, clips))
    main = next((v for v in variants if v["name"] == MAIN.name and v["clips"]), None)
    if main is not None:
        sections.append(f"## Clip by clip: {MAIN.name}\n\n" + _main_table(main, variants))
    if document["left_out"]:
        rows = [[cell(clip["clip"]), cell(clip["reason"])] for clip in document["left_out"]]
        sections.append("## Left out\n\n" + table(["clip", "why"], rows))
    return "\n\n".join(sections) + "\n"


def _by_clip(variants: Sequence[dict[str, Any]], clips: Sequence[dict[str, Any]]) -> str:
    """A row per clip, a column per variant that was measured."""
    measured = [variant for variant in variants if variant["clips"]]
    rows = [
        [
            cell(clip["clip"]),
            f"{clip['seconds']:.0f}",
            *(number(_metric(variant, clip["clip"], "mouth_psnr_db"), "{:.1f}") for variant in measured),
        ]
        for clip in clips
    ]
    return table(["clip", "s", *(cell(variant["name"]) for variant in measured)], rows)


def _main_table(main: dict[str, Any], variants: Sequence[dict[str, Any]]) -> str:
    """The default's numbers for each clip, beside what the exemplar and the unsteady variant have there."""
    others = {variant["name"]: variant for variant in variants}
    baseline, unsteady = others.get(BASELINE.name), others.get(UNSTEADY.name)
    rows = []
    for clip in main["clips"]:
        name, metrics = clip["clip"], clip["metrics"]
        gains = [_gain(metrics, baseline, name, key) for key in ("mouth_psnr_db", "remade_psnr_db")]
        flicker = metrics.get("flicker_index")
        unsteady_flicker = None if unsteady is None else _metric(unsteady, name, "flicker_index")
        steadier = flicker / unsteady_flicker if flicker is not None and unsteady_flicker else None
        rows.append(
            [
                cell(name),
                f"{clip['seconds']:.0f}",
                str(clip["frames"]),
                *(number(gain, "{:+.1f}") for gain in gains),
                number(steadier, "{:.2f}"),
                *_numbers(metrics, None),
            ]
        )
    header = [
        *(
            "clip",
            "s",
            "frames measured",
            f"PSNR over {BASELINE.name}",
            f"re-made over {BASELINE.name}",
            "flicker over that without deflicker",
        ),
        *_COLUMNS,
    ]
    return table(header, rows)


def _gain(metrics: Measures, other: dict[str, Any] | None, clip_name: str, key: str) -> float | None:
    mine, theirs = metrics.get(key), None if other is None else _metric(other, clip_name, key)
    return None if mine is None or theirs is None else mine - theirs


def _metric(variant: dict[str, Any], clip_name: str, key: str) -> float | None:
    for clip in variant["clips"]:
        if clip["clip"] == clip_name:
            value: float | None = clip["metrics"].get(key)
            return value
    return None


def _numbers(measures: dict[str, float | None], missing: str | None) -> list[str]:
    if missing is not None:
        return [cell(missing), *[""] * (len(_COLUMNS) - 1)]
    return [number(measures.get(key), form) for key, form in _COLUMNS.values()]
