"""Give rendered pictures the sharpness and the noise of the film they are put into.

Detail is measured as the mean square of luma's Laplacian L, in two zones: skin that both pictures show, and
lips, whose detail is edges. A patch g that has less of it than the film is sharpened, g + k b with
b = g - blur(g); the energy of that, <Lg, Lg> + 2 k <Lg, Lb> + k^2 <Lb, Lb>, says which k reaches the film's.
What k's bound leaves missing on skin is made up by noise. Nothing is taken away, and nothing is added beyond
the film's level.

Index letters: Z = 2 zones (skin, lips).
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from dubber.types import Bool, Float32, Float64, UInt8

_BLUR_PX = 1.0
"""Standard deviation of the blur, px of the picture: sharpening works on the finest detail."""

_MAX_GAIN = 1.2
"""Bound of k: more would show the renderer's own faults, block edges and halos."""

_MAX_NOISE = 3.0
"""Standard deviation of the noise, levels, at most: more is not the film's grain but a misjudged region."""

_MIN_PIXELS = 150

_ROOM_PX = 64
"""Noise is drawn once, as a larger square of which each picture takes another piece."""

_MEMORY_FRAMES = 50
"""A mouth's detail changes with what it says; over so many frames film and patches say much the same."""


class GrainMatcher:
    """Brings the detail of pictures, in order, to the level of the film's.

    Args:
        strength: 0..1, the part of the missing energy that is made up.
    """

    def __init__(self, strength: float) -> None:
        self._strength = strength
        # Running means of the film's energy, <Lg,Lg>, <Lg,Lb> and <Lb,Lb>.
        self._energies_Z4 = np.zeros((2, 4))
        self._num_seen_Z = [0, 0]

    def match(
        self,
        patch_HW: UInt8,
        film_HW: UInt8,
        is_skin_HW: Bool,
        is_lips_HW: Bool,
        number: int,
    ) -> UInt8:
        """Sharpen a picture and give it noise, as far as it lacks them.

        Args:
            patch_HW: (H, W) uint8 luma, rendered.
            film_HW: (H, W) uint8 luma of the film, aligned with the patch.
            is_skin_HW: (H, W) bool, where both show skin.
            is_lips_HW: (H, W) bool, where either shows lips or what lies between them.
            number: Of the picture; neighbours get other noise.

        Returns:
            (H, W) uint8; the patch as it is where nothing is missing, or where too little was seen to tell.
        """
        detail = _detail(patch_HW.astype(np.float32))
        of_film, of_patch, of_detail = (
            np.asarray(cv2.Laplacian(values, depth)).ravel()
            for values, depth in ((film_HW, cv2.CV_16S), (patch_HW, cv2.CV_16S), (detail, cv2.CV_32F))
        )
        for zone, is_zone_HW in enumerate((is_skin_HW, is_lips_HW)):
            places = np.flatnonzero(is_zone_HW)
            if len(places) >= _MIN_PIXELS:
                f, g, b = (values[places].astype(np.float32) for values in (of_film, of_patch, of_detail))
                self._remember(zone, np.array([f @ f, g @ g, g @ b, b @ b], np.float64) / len(places))
        (skin_gain, skin_missing), (lips_gain, _) = (self._needed(zone) for zone in (0, 1))
        if skin_gain == lips_gain == skin_missing == 0:
            return patch_HW
        lips_HW = cv2.GaussianBlur(is_lips_HW.astype(np.float32), (0, 0), 2 * _BLUR_PX)
        change = detail * (skin_gain + (lips_gain - skin_gain) * lips_HW)
        if skin_missing > 0:
            noise, deviation = _noise_texture(max(patch_HW.shape))
            amount = min(np.sqrt(skin_missing), _MAX_NOISE / deviation)
            change += np.float32(amount) * noise[_piece(number, patch_HW.shape, len(noise))]
        return np.asarray(cv2.add(patch_HW, change, dtype=cv2.CV_8U), np.uint8)

    def _remember(self, zone: int, energies_4: Float64) -> None:
        self._num_seen_Z[zone] += 1
        share = 1 / min(self._num_seen_Z[zone], _MEMORY_FRAMES)
        self._energies_Z4[zone] += share * (energies_4 - self._energies_Z4[zone])

    def _needed(self, zone: int) -> tuple[np.float32, float]:
        """The gain k of a zone, and the energy that it leaves missing."""
        film, patch, cross, detail = self._energies_Z4[zone].tolist()
        missing = self._strength * (film - patch)
        if missing <= 0 or detail <= 0:
            return np.float32(0), 0.0
        gain = (np.sqrt(cross**2 + detail * missing) - cross) / detail
        if gain <= _MAX_GAIN:
            return np.float32(gain), 0.0
        return np.float32(_MAX_GAIN), max(missing - 2 * _MAX_GAIN * cross - _MAX_GAIN**2 * detail, 0.0)


def _detail(luma_HW: Float32) -> Float32:
    """(H, W) float32, what a blur takes away."""
    return np.asarray(luma_HW - cv2.GaussianBlur(luma_HW, (0, 0), _BLUR_PX), np.float32)


def _noise_texture(longest_px: int) -> tuple[Float32, float]:
    """A square of noise with room for pieces of a length, and its standard deviation."""
    return _noise_square(1 << (longest_px + _ROOM_PX).bit_length())


@lru_cache(maxsize=2)
def _noise_square(side_px: int) -> tuple[Float32, float]:
    """(side, side) float32 high-passed normal noise whose Laplacian has the mean square 1."""
    noise_HW = _detail(np.random.default_rng(0).standard_normal((side_px, side_px), np.float32))
    noise_HW /= np.float32(np.sqrt(np.square(cv2.Laplacian(noise_HW, cv2.CV_32F)).mean()))
    return noise_HW, float(noise_HW.std())


def _piece(number: int, size: tuple[int, ...], side_px: int) -> tuple[slice, slice]:
    """Rows and columns of the texture that a picture gets: neighbours in time far from each other.

    Source: Roberts 2018, "The Unreasonable Effectiveness of Quasirandom Sequences", R2.
    """
    starts = [int(number * step % 1 * (side_px - length)) for step, length in zip(_R2, size, strict=True)]
    return slice(starts[0], starts[0] + size[0]), slice(starts[1], starts[1] + size[1])


_R2 = (0.7548776662466927, 0.5698402909980532)
