"""What `dubber eval` shows: tables of figures, a row per clip or variant."""

from __future__ import annotations

from typing import Any

from dubber.cli.console import escape, say, show_table

_Row = tuple[str, str, dict[str, Any], dict[str, Any]]
"""Name, frames, metrics, metrics of the baselines by name."""


def show_clips(document: dict[str, Any]) -> None:
    """A row per clip and one of medians."""
    rows = [
        *(
            (clip["clip"], str(clip["frames"]), clip["metrics"], clip["baselines"])
            for clip in document["clips"]
        ),
        ("median", "", document["median"], document["median_baselines"]),
    ]
    _show_tables(rows, {**_PICTURE_TABLES, **_REMADE_TABLE, **_SPEECH_TABLES})


def show_pair(document: dict[str, Any]) -> None:
    """One made video against the filmed one."""
    _show_tables([(document["made"], str(document["frames"]), document["metrics"], {})], _PICTURE_TABLES)


def show_ablation(document: dict[str, Any], *, is_renderer: bool) -> None:
    """A row per variant: medians of clips of both lengths; and which variants are missing.

    Args:
        document: What was measured.
        is_renderer: Whether the renderer was taken apart, not the translator.
    """
    for length, title in _LENGTHS.items():
        rows: list[_Row] = [
            (variant["name"], "", variant[length], variant[length]) for variant in document["variants"]
        ]
        tables = _RENDERER_TABLES if is_renderer else _TRANSLATOR_TABLES
        _show_tables(rows, {f"{title}: {what}": tables[what] for what in tables}, ("", ""))
    for variant in document["variants"]:
        if variant["missing"] is not None:
            say(escape(f"{variant['name']}: {variant['missing']}"))


def _show_tables(
    rows: list[_Row],
    tables: dict[str, dict[str, tuple[str, str]]],
    heading: tuple[str, str] = ("clip", "frames"),
) -> None:
    """Every table of which a row has a number."""
    for title, columns in tables.items():
        if any(key in metrics for _, _, metrics, _ in rows for side, key in columns.values() if not side):
            show_table(
                title,
                [*heading, *columns],
                [
                    [
                        name,
                        frames,
                        *(_number({"": metrics, **others}[side].get(key)) for side, key in columns.values()),
                    ]
                    for name, frames, metrics, others in rows
                ],
            )


_PICTURE_TABLES = {
    "Pictures: PSNR in dB and SSIM, by region": {
        "frame": ("", "frame_psnr_db"),
        "crop": ("", "crop_psnr_db"),
        "mouth": ("", "mouth_psnr_db"),
        "frame SSIM": ("", "frame_ssim"),
        "crop SSIM": ("", "crop_ssim"),
        "mouth SSIM": ("", "mouth_ssim"),
    },
    "The made pixels against the filmed ones; 1 is as filmed": {
        "sharpness": ("", "sharpness_ratio"),
        "lips' sharpness": ("", "lips_sharpness_ratio"),
        "seam": ("", "seam_index"),
        "soft seam": ("", "soft_seam_index"),
        "flicker": ("", "flicker_index"),
        "soft flicker": ("", "soft_flicker_index"),
    },
    "Seen by a tracker: 39 landmarks and LMD in px of the 384 crop; mouth opening; lips in silence": {
        "E_ldmk": ("", "rendered_landmark_error_px"),
        "LMD": ("", "rendered_lmd_px"),
        "opening r": ("", "rendered_opening_correlation"),
        "lag": ("", "rendered_av_lag_frames"),
        "swing": ("", "rendered_opening_amplitude_ratio"),
        "in silence": ("", "rendered_motion_in_silence"),
        "filmed": ("", "filmed_motion_in_silence"),
    },
    "By your networks": {
        "LSE-D": ("", "lse_d"),
        "filmed": ("", "filmed_lse_d"),
        "LSE-C": ("", "lse_c"),
        "filmed LSE-C": ("", "filmed_lse_c"),
        "offset": ("", "sync_offset_frames"),
        "CSIM": ("", "csim"),
        "FID": ("", "fid"),
        "VGG": ("", "vgg_distance"),
    },
}

_REMADE_TABLE = {
    "Mouth box, PSNR in dB": {
        "dubber": ("", "mouth_psnr_db"),
        "mean mouth": ("mean_mouth", "mouth_psnr_db"),
        "frozen": ("frozen", "mouth_psnr_db"),
        "re-made px": ("", "remade_psnr_db"),
        "bare patch": ("", "patch_psnr_db"),
    },
}

_SPEECH_TABLES = {
    "Shape: px of the 384 crop; E_exp in standard deviations of the face model": {
        "E_ldmk": ("", "landmark_error_px"),
        "mean mouth": ("mean_mouth", "landmark_error_px"),
        "frozen": ("frozen", "landmark_error_px"),
        "LMD": ("", "lmd_px"),
        "E_exp": ("", "expression_error"),
        "mean mouth's": ("mean_mouth", "expression_error"),
    },
    "Motion: the mouth's opening against the truth; lips in silence against speech": {
        "opening r": ("", "mouth_opening_correlation"),
        "loudness": ("loudness", "mouth_opening_correlation"),
        "lag": ("", "av_lag_frames"),
        "swing": ("", "opening_amplitude_ratio"),
        "in silence": ("", "motion_in_silence"),
        "filmed": ("", "true_motion_in_silence"),
        "no sound": ("", "motion_without_sound"),
    },
}

_LENGTHS = {"long": "Clips, medians", "short": "Shorter clips, medians"}

_TRANSLATOR_TABLES = {
    "shape and motion": {
        "E_exp": ("", "expression_error"),
        "E_ldmk": ("", "landmark_error_px"),
        "LMD": ("", "lmd_px"),
        "opening r": ("", "mouth_opening_correlation"),
        "lag": ("", "av_lag_frames"),
        "swing": ("", "opening_amplitude_ratio"),
    },
}

_RENDERER_TABLES = {
    "mouth box; seen landmarks in px of the 384 crop": {
        "PSNR": ("", "mouth_psnr_db"),
        "SSIM": ("", "mouth_ssim"),
        "re-made": ("", "remade_psnr_db"),
        "patch": ("", "patch_psnr_db"),
        "E_ldmk": ("", "rendered_landmark_error_px"),
    },
    "the made pixels against the filmed ones; 1 is as filmed": {
        "sharp": ("", "sharpness_ratio"),
        "lips": ("", "lips_sharpness_ratio"),
        "seam": ("", "seam_index"),
        "soft": ("", "soft_seam_index"),
        "flicker": ("", "flicker_index"),
        "soft fl.": ("", "soft_flicker_index"),
    },
}
"""Title; heading of each column; whose number it is ("" for dubber's own) and its key."""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
