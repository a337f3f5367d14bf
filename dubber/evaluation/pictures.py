"""Measures over pairs of pictures that need no network of the user's (method.md, Measures)."""

from __future__ import annotations

import statistics
from types import TracebackType

import numpy as np

from dubber.evaluation import motion
from dubber.evaluation.measures import Measures
from dubber.evaluation.metrics import coarse, psnr_db, seam_energy, sharpness, ssim, unrest
from dubber.evaluation.pairs import INSIDE, Pair
from dubber.ops.landmarks import MOUTH_JAW, mouth_opening
from dubber.tracking.base import RgbPicture
from dubber.tracking.mediapipe_mesh import MediapipeMeshTracker
from dubber.types import Bool, Float32, Float64


class Fidelity:
    """PSNR and SSIM of the full frame, the 384 crop and the mouth box; means over frames.

    `frame_`, `crop_` and `mouth_psnr_db`, and the same with `ssim`. A full frame in which only a mouth was
    changed scores high whatever the mouth is like: say which region a number is of.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {
            f"{region}_{name}": [] for region in ("frame", "crop", "mouth") for name in ("psnr_db", "ssim")
        }

    def add(self, pair: Pair) -> None:
        """Compare the three regions."""
        regions = {
            "frame": (pair.made, pair.filmed),
            "crop": (pair.made_crop, pair.filmed_crop),
            "mouth": (pair.made_crop[pair.mouth_box], pair.filmed_crop[pair.mouth_box]),
        }
        for region, (made, filmed) in regions.items():
            self._values[f"{region}_psnr_db"].append(psnr_db(made, filmed))
            self._values[f"{region}_ssim"].append(ssim(made, filmed))

    def measures(self) -> Measures:
        """Means over frames."""
        return {name: statistics.fmean(values) if values else None for name, values in self._values.items()}


class Detail:
    """Detail of the made picture over that of the filmed one (`metrics.sharpness`); 1 is as sharp.

    `sharpness_ratio`: where the mask is above one half. `lips_sharpness_ratio`: of the lips and what lies
    between them. Pixels that are the source's own would draw the ratio to 1, so none are counted. Taken at
    the picture's own resolution: the crop would hide what a large face lost.
    """

    def __init__(self) -> None:
        self._ratio, self._lips = _Ratio(), _Ratio()

    def add(self, pair: Pair) -> None:
        """Sum both sides."""
        part = pair.made_part
        self._ratio.add(*(sharpness(luma, part.is_made_hw) for luma in part.lumas))
        self._lips.add(*(sharpness(luma, part.is_lips_hw) for luma in part.lumas))

    def measures(self) -> Measures:
        """The ratios."""
        return {"sharpness_ratio": self._ratio.value(), "lips_sharpness_ratio": self._lips.value()}


class Seam:
    """Gradient energy across the mask's border, made over filmed (`metrics.seam_energy`); 1 is no seam.

    `seam_index`: of the picture as it is. `soft_seam_index`: without its finest detail, which shows steps of
    shade that a wide feather spreads too thin for the first.
    """

    def __init__(self) -> None:
        self._ratio, self._soft = _Ratio(), _Ratio()

    def add(self, pair: Pair) -> None:
        """Sum both sides."""
        self._ratio.add(*(seam_energy(luma, pair.mask_HW) for luma in pair.lumas))
        self._soft.add(*(seam_energy(coarse(luma), pair.mask_HW) for luma in pair.lumas))

    def measures(self) -> Measures:
        """The ratios."""
        return {"seam_index": self._ratio.value(), "soft_seam_index": self._soft.value()}


class Flicker:
    """Unrest of the made pixels over the filmed ones' (`metrics.unrest`), where the mask is above one half.

    `flicker_index`: of the picture as it is, noise and all. `soft_flicker_index`: without noise, which would
    hide textures and shades that pop.
    """

    def __init__(self) -> None:
        self._ratio, self._soft = _Ratio(), _Ratio()
        self._last: list[Pair] = []

    def add(self, pair: Pair) -> None:
        """Sum both sides once a frame has both its neighbours."""
        if self._last and pair.n != self._last[-1].n + 1:
            self._last = []
        self._last = [*self._last[-2:], pair]
        if len(self._last) < 3:
            return
        box = self._last[1].mouth_box
        is_made_HW = self._last[1].mask_HW[box] > INSIDE
        if not is_made_HW.any():
            return
        sides = zip(*(frame.lumas for frame in self._last), strict=True)
        residuals = [unrest(*(luma[box] for luma in side)) for side in sides]
        self._ratio.add(*(float(np.abs(residual_HW[is_made_HW]).mean()) for residual_HW in residuals))
        self._soft.add(*(float(np.abs(coarse(residual_HW)[is_made_HW]).mean()) for residual_HW in residuals))

    def measures(self) -> Measures:
        """The ratios."""
        return {"flicker_index": self._ratio.value(), "soft_flicker_index": self._soft.value()}


class SeenMouth:
    """What a tracker sees of the mouth in the made crops, against what it sees in the filmed ones.

    `rendered_landmark_error_px`, `rendered_lmd_px`, `rendered_lmd_sum_px`, `rendered_opening_correlation`,
    `rendered_av_lag_frames`, `rendered_opening_amplitude_ratio`, `rendered_motion_in_silence` and
    `filmed_motion_in_silence`: see `dubber.evaluation.motion`. The crop holds the head still but for the
    tracker's own tremble, which is in both.

    A context manager: the trackers hold native memory.

    Args:
        is_silent_T: (T,) bool, frames of the clip at which nobody speaks; None where that is not known.
        times_s_T: (T,) seconds.
    """

    def __init__(self, is_silent_T: Bool | None, times_s_T: Float64) -> None:
        self._is_silent_T, self._times_s_T = is_silent_T, times_s_T
        self._trackers = (MediapipeMeshTracker(), MediapipeMeshTracker())
        self._seen: dict[int, tuple[Float32, Float32]] = {}

    def __enter__(self) -> SeenMouth:
        for tracker in self._trackers:
            tracker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self._trackers:
            tracker.__exit__(kind, error, trace)

    def add(self, pair: Pair) -> None:
        """Track both crops."""
        crops = (pair.made_crop, pair.filmed_crop)
        found = [
            tracker.track(RgbPicture(crop), pair.time_s)
            for tracker, crop in zip(self._trackers, crops, strict=True)
        ]
        if all(found):
            made, filmed = (faces[0].landmarks_L3[MOUTH_JAW, :2] for faces in found)
            self._seen[pair.n] = (made, filmed)

    def measures(self) -> Measures:
        """The numbers; none where the tracker found no face."""
        if not self._seen:
            return {}
        made_TM2, filmed_TM2 = (
            np.zeros((len(self._times_s_T), len(MOUTH_JAW), 2), np.float32) for _ in range(2)
        )
        numbers = np.array(sorted(self._seen))
        for n in numbers:
            made_TM2[n], filmed_TM2[n] = self._seen[n]
        is_known_T = np.isin(np.arange(len(self._times_s_T)), numbers)
        opening_T, filmed_opening_T = mouth_opening(made_TM2), mouth_opening(filmed_TM2)
        correlation, lag = motion.lagged_correlation(opening_T, filmed_opening_T, is_known_T)
        return {
            "rendered_landmark_error_px": motion.landmark_error_px(made_TM2[numbers], filmed_TM2[numbers]),
            "rendered_lmd_px": motion.lmd_px(made_TM2[numbers], filmed_TM2[numbers]),
            "rendered_lmd_sum_px": motion.lmd_sum_px(made_TM2[numbers], filmed_TM2[numbers]),
            "rendered_opening_correlation": correlation,
            "rendered_av_lag_frames": lag,
            "rendered_opening_amplitude_ratio": motion.amplitude_ratio(
                opening_T[numbers], filmed_opening_T[numbers]
            ),
            "rendered_motion_in_silence": self._in_silence(made_TM2, is_known_T),
            "filmed_motion_in_silence": self._in_silence(filmed_TM2, is_known_T),
        }

    def _in_silence(self, landmarks_TM2: Float32, is_known_T: Bool) -> float | None:
        if self._is_silent_T is None:
            return None
        return motion.motion_in_silence(landmarks_TM2, self._times_s_T, self._is_silent_T, is_known_T)


class _Ratio:
    """Sum of the made side's energies over that of the filmed side's."""

    def __init__(self) -> None:
        self._made = self._filmed = 0.0

    def add(self, made: float, filmed: float) -> None:
        self._made += made
        self._filmed += filmed

    def value(self) -> float | None:
        return self._made / self._filmed if self._filmed > 0 else None
