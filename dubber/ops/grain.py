"""Give rendered pictures the sharpness and the noise of the film they are put into.

Detail is measured as the mean square of luma's Laplacian L, in two zones: skin that both pictures show, and
lips, whose detail is edges. A patch g that has less of it than the film is sharpened, g + k b with
b = g - blur(g); the energy of that, <Lg, Lg> + 2 k <Lg, Lb> + k^2 <Lb, Lb>, says which k reaches the film's.
What k's bound leaves missing on skin is made up by noise. Nothing is taken away, and nothing is added beyond
the film's level.

Index letters: Z = 2 zones (skin, lips).
"""

from __future__ import annotations

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
        rng: np.random.Generator,
    ) -> UInt8:
        """Sharpen a picture and give it noise, as far as it lacks them.

        Args:
            patch_HW: (H, W) uint8 luma, rendered.
            film_HW: (H, W) uint8 luma of the film, aligned with the patch.
            is_skin_HW: (H, W) bool, where both show skin.
            is_lips_HW: (H, W) bool, where either shows lips or what lies between them.
            rng: Where noise comes from.

        Returns:
            (H, W) uint8; the patch as it is where nothing is missing, or where too little was seen to tell.
        """
        patch = patch_HW.astype(np.float32)
        detail = _detail(patch)
        of_film, of_patch, of_detail = (
            cv2.Laplacian(each, cv2.CV_32F) for each in (film_HW, patch_HW, detail)
        )
        for zone, is_zone_HW in enumerate((is_skin_HW, is_lips_HW)):
            count = int(is_zone_HW.sum())
            if count >= _MIN_PIXELS:
                f, g, b = (values[is_zone_HW] for values in (of_film, of_patch, of_detail))
                self._remember(zone, np.array([f @ f, g @ g, g @ b, b @ b], np.float64) / count)
        (skin_gain, skin_missing), (lips_gain, _) = (self._needed(zone) for zone in (0, 1))
        if skin_gain == lips_gain == skin_missing == 0:
            return patch_HW
        lips_HW = cv2.GaussianBlur(is_lips_HW.astype(np.float32), (0, 0), 2 * _BLUR_PX)
        change = (skin_gain + (lips_gain - skin_gain) * lips_HW) * detail
        if skin_missing > 0:
            noise = _detail(rng.standard_normal(patch_HW.shape, np.float32))
            energy = float(np.square(cv2.Laplacian(noise, cv2.CV_32F)).mean())
            amount = min(np.sqrt(skin_missing / energy), _MAX_NOISE / float(noise.std()))
            change += np.float32(amount) * noise
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
        gain = min((np.sqrt(cross**2 + detail * missing) - cross) / detail, _MAX_GAIN)
        return np.float32(gain), max(missing - 2 * gain * cross - gain**2 * detail, 0.0)


def _detail(luma_HW: Float32) -> Float32:
    """(H, W) float32, what a blur takes away."""
    return np.asarray(luma_HW - cv2.GaussianBlur(luma_HW, (0, 0), _BLUR_PX), np.float32)
