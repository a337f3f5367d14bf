"""Sharp teeth for soft ones: the detail that a made mouth lacks comes from a filmed one.

Source: EBT Appendix F and Audio2Obama section 4.2: a high-pass map of the proxy is put on with an overlay
blend, upper and lower teeth each with their own lip's displacement. Measuring what is lacking, band by band,
and trusting the proxy only where it agrees with the mouth are dubber's own (method.md section 5, "Teeth").

Index letters: M = 39 mouth and jaw landmarks; H, W a box around the inner mouth; b frequency bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dubber.ops.inner_mouth import (
    LOWER_LIP,
    UPPER_LIP,
    inner_box,
    largest_channel,
    lip_depths,
    teeth_likeness,
)
from dubber.ops.registration import blurred, register, softened
from dubber.ops.teeth_proxy import inner_mouth_areas
from dubber.types import Float32, UInt8

_FLAT = 1e-12
_UNDEREXPOSED, _OVEREXPOSED = 12, 243


@dataclass(frozen=True)
class TeethTransfer:
    """How detail is transferred. Distances in px of a 384 crop; colours of 0..255.

    Attributes:
        min_area: Inner mouths of a smaller area, square px, are left as they are; from there the effect grows
            to its whole at twice the area.
        boost: At most this much of the proxy's detail is added.
        blur: Side of the box whose mean is the literal form's low pass.
        band_sigmas: Edges of the frequency bands, standard deviations of Gaussians.
        below_upper_lip: How far under the upper inner lip the region begins.
        above_lower_lip: How far above the lower inner lip it ends.
        feather: How far inside its edges the region reaches its whole effect.
        max_saturation: Teeth are less colourful than this.
        min_value: Teeth are brighter than this.
        search: The proxy may be moved by so many px from where its lips put it, to where it agrees best.
        agreement: Difference of the low-passed pictures at which the proxy is trusted by exp(-1/2).
        neighbours: Colours stay between those that the proxy has within so many px, and the mouth's own.
        is_literal: The paper's form: all detail above the box, times `boost`, wherever there are teeth.
    """

    min_area: float = 60.0
    boost: float = 1.0
    blur: float = 17.0
    band_sigmas: tuple[float, ...] = (1.0, 2.0, 4.0)
    below_upper_lip: float = 0.0
    above_lower_lip: float = 1.0
    feather: float = 2.0
    max_saturation: float = 150.0
    min_value: float = 60.0
    search: float = 1.5
    agreement: float = 50.0
    neighbours: float = 1.0
    is_literal: bool = False

    @property
    def margin(self) -> float:
        """How far around the inner mouth the filters see."""
        return max(self.blur / 2, 3 * self.band_sigmas[-1]) + self.search


@dataclass(frozen=True)
class Proxy:
    """A filmed mouth that lends detail.

    Attributes:
        patch: (h, w, 3) uint8 RGB, at the resolution of the patches.
        landmarks_M2: (39, 2) px of it.
        share: Its weight among the frame's proxies; they sum to at most one.
    """

    patch: UInt8
    landmarks_M2: Float32
    share: float


def transfer_teeth(
    patch: UInt8,
    landmarks_M2: Float32,
    proxies: Sequence[Proxy],
    unit_px: float,
    settings: TeethTransfer | None = None,
) -> UInt8:
    """Add the teeth's detail that a patch lacks.

    Args:
        patch: (h, w, 3) uint8 RGB.
        landmarks_M2: (39, 2) its mouth and jaw landmarks, px of it.
        proxies: Who lends; none changes nothing.
        unit_px: Pixels that a pixel of the 384 crop is.
        settings: How.

    Returns:
        (h, w, 3) uint8, the same object where nothing is to be done; outside the inner-lip polygon every byte
        is the patch's.
    """
    settings = settings or TeethTransfer()
    area = float(inner_mouth_areas(landmarks_M2[None], unit_px)[0])
    strength = min(area / settings.min_area - 1, 1.0)
    box = inner_box(landmarks_M2, patch.shape[:2], settings.margin * unit_px)
    if not proxies or strength <= 0 or box is None:
        return patch
    rows, columns = box
    image_HW3 = patch[rows, columns].astype(np.float32) / 255
    corner_2 = np.array([columns.start, rows.start], np.float32)
    depth_HW, between_HW = lip_depths(landmarks_M2 - corner_2, image_HW3.shape[:2])
    inside_HW = _ramp(depth_HW[0] - settings.below_upper_lip * unit_px, settings.feather * unit_px)
    inside_HW *= _ramp(depth_HW[1] - settings.above_lower_lip * unit_px, settings.feather * unit_px)
    if not inside_HW.any():
        return patch
    change_HW3 = np.zeros_like(image_HW3)
    for proxy in proxies:
        filmed_HW3 = aligned_proxy(
            image_HW3, landmarks_M2, proxy, box, between_HW, inside_HW, settings, unit_px
        )
        region_HW = inside_HW * _teeth(filmed_HW3, settings, unit_px)
        detail_HW3, trust_HW = _detail(image_HW3, filmed_HW3, region_HW, settings, unit_px)
        made_HW3 = overlay(image_HW3, detail_HW3)
        if not settings.is_literal:
            made_HW3 = within_neighbours(made_HW3, image_HW3, filmed_HW3, settings.neighbours * unit_px)
        change_HW3 += (proxy.share * strength) * (region_HW * trust_HW)[..., None] * (made_HW3 - image_HW3)
    result = patch.copy()
    result[rows, columns] = np.clip(np.rint((image_HW3 + change_HW3) * 255), 0, 255).astype(np.uint8)
    return result


def proxy_quality(patches: Sequence[UInt8], landmarks_TM2: Float32, unit_px: float) -> Float32:
    """How good frames are at lending: sharp, well exposed, and with teeth to be seen.

    Args:
        patches: T pictures of (h, w, 3) uint8 RGB; read one at a time.
        landmarks_TM2: (T, 39, 2) their landmarks, px of them.
        unit_px: Pixels that a pixel of the 384 crop is.

    Returns:
        (T,) float32 in 0..1: the share of well exposed pixels in the inner mouth, times the geometric mean of
        detail and of teeth, each relative to the best twentieth of the frames.
    """
    settings = TeethTransfer()
    measured_T3 = np.zeros((len(landmarks_TM2), 3), np.float32)
    for measured, patch, landmarks_M2 in zip(measured_T3, patches, landmarks_TM2, strict=True):
        box = inner_box(landmarks_M2, patch.shape[:2], settings.margin * unit_px)
        if box is None:
            continue
        rows, columns = box
        image_HW3 = patch[rows, columns].astype(np.float32) / 255
        corner_2 = np.array([columns.start, rows.start], np.float32)
        depths, _ = lip_depths(landmarks_M2 - corner_2, image_HW3.shape[:2])
        inside_HW = (depths > 0).all(0)
        if not inside_HW.any():
            continue
        teeth_HW = _teeth(image_HW3, settings, unit_px) * inside_HW
        luma_HW = cv2.cvtColor(image_HW3, cv2.COLOR_RGB2GRAY)
        fine_HW = luma_HW - cv2.GaussianBlur(luma_HW, (0, 0), settings.band_sigmas[0] * unit_px)
        levels = largest_channel(image_HW3)[inside_HW] * 255
        is_exposed = (levels > _UNDEREXPOSED) & (levels < _OVEREXPOSED)
        detail = np.sqrt((teeth_HW * fine_HW**2).sum() / max(float(teeth_HW.sum()), 1.0))
        measured[:] = detail, teeth_HW.sum() / unit_px**2, is_exposed.mean()
    if not len(measured_T3):
        return np.zeros(0, np.float32)
    best_2 = np.maximum(np.quantile(measured_T3[:, :2], 0.95, axis=0), 1e-6)
    detail_T, teeth_T = np.minimum(measured_T3[:, :2] / best_2, 1).T
    return np.asarray(np.sqrt(detail_T * teeth_T) * measured_T3[:, 2], np.float32)


def overlay(image_HW3: Float32, detail_HW3: Float32) -> Float32:
    """Overlay blend of a high-pass map.

    Args:
        image_HW3: (H, W, 3) float32 in 0..1.
        detail_HW3: (H, W, 3) float32 high-pass values around 0; H of the formula is these plus one half.

    Returns:
        (H, W, 3) float32 in 0..1: 2 I H below H = 1/2, 1 - 2 (1 - I) (1 - H) above; H = 1/2 changes nothing.

    Source: Audio2Obama section 4.2 as commonly implemented.
    """
    high = np.clip(detail_HW3, -0.5, 0.5)
    return np.asarray(image_HW3 + 2 * high * np.where(high < 0, image_HW3, 1 - image_HW3), np.float32)


def within_neighbours(made_HW3: Float32, image_HW3: Float32, filmed_HW3: Float32, reach_px: float) -> Float32:
    """Keep colours between those that the mouth has and those that the proxy has close by.

    An overlay doubles bright detail on dark ground: a tooth's edge that lies beside the made one would shine.

    Args:
        made_HW3: (H, W, 3) float32 what is bounded.
        image_HW3: (H, W, 3) float32 the mouth as it was.
        filmed_HW3: (H, W, 3) float32 the proxy.
        reach_px: How far around a pixel the proxy's colours count.

    Returns:
        (H, W, 3) float32.
    """
    side = 2 * round(reach_px) + 1
    kernel = np.ones((side, side), np.uint8)
    lowest = np.minimum(cv2.erode(filmed_HW3, kernel), image_HW3)
    highest = np.maximum(cv2.dilate(filmed_HW3, kernel), image_HW3)
    return np.asarray(np.clip(made_HW3, lowest, highest), np.float32)


def aligned_proxy(
    image_HW3: Float32,
    landmarks_M2: Float32,
    proxy: Proxy,
    box: tuple[slice, slice],
    between_HW: Float32,
    inside_HW: Float32,
    settings: TeethTransfer,
    unit_px: float,
) -> Float32:
    """The proxy's inner mouth, laid onto the patch's: upper and lower half each moved as a whole.

    Args:
        image_HW3: (H, W, 3) float32 the patch's box, 0..1.
        landmarks_M2: (39, 2) the patch's landmarks, px of the patch.
        proxy: Who lends.
        box: Rows and columns of the box in the patch.
        between_HW: (H, W) 0 at the upper lip, 1 at the lower.
        inside_HW: (H, W) weights of the pixels that shall agree.
        settings: Search range.
        unit_px: Pixels that a pixel of the 384 crop is.

    Returns:
        (H, W, 3) float32 RGB, 0..1.
    """
    halves = []
    for lip, weight_HW in ((UPPER_LIP, 1 - between_HW), (LOWER_LIP, between_HW)):
        shift_2 = (landmarks_M2[lip] - proxy.landmarks_M2[lip]).mean(0)
        weight_HW = np.asarray(inside_HW * (weight_HW > 0.5), np.float32)
        half_HW3 = _shifted(proxy.patch, shift_2, box)
        if settings.search > 0 and not settings.is_literal and weight_HW.sum() > 4:
            finer_2 = register(image_HW3, half_HW3, weight_HW, settings.search * unit_px, unit_px)
            half_HW3 = _shifted(proxy.patch, shift_2 + finer_2, box)
        halves.append(half_HW3)
    share_HW1 = np.clip((between_HW - 0.5) * 5 + 0.5, 0, 1)[..., None]
    return np.asarray(halves[0] + share_HW1 * (halves[1] - halves[0]), np.float32)


def _detail(
    image_HW3: Float32, filmed_HW3: Float32, region_HW: Float32, settings: TeethTransfer, unit_px: float
) -> tuple[Float32, Float32]:
    """The detail to be added, and how far it is to be trusted."""
    if settings.is_literal:
        side = 2 * int(settings.blur * unit_px / 2) + 1
        detail = settings.boost * (filmed_HW3 - cv2.blur(filmed_HW3, (side, side)))
        return np.asarray(detail, np.float32), np.ones_like(region_HW)
    detail_HW3 = np.zeros_like(image_HW3)
    image_low, filmed_low = image_HW3, filmed_HW3
    weight_HW = region_HW / max(float(region_HW.sum()), 1e-6)
    for sigma in settings.band_sigmas:
        image_band, filmed_band = image_low, filmed_low
        image_low, filmed_low = (blurred(picture, sigma * unit_px) for picture in (image_HW3, filmed_HW3))
        image_band, filmed_band = image_band - image_low, filmed_band - filmed_low
        detail_HW3 += settings.boost * band_deficit(image_band, filmed_band, weight_HW) * filmed_band
    apart_HW = largest_channel(np.abs(image_low - filmed_low))
    apart = (apart_HW * (255 / max(settings.agreement, 1e-3))) ** 2
    similar = max(0.0, _correlation(*softened(image_HW3, filmed_HW3, unit_px), weight_HW))
    return detail_HW3, np.asarray(similar * np.exp(-0.5 * apart), np.float32)


def _correlation(first_HW: Float32, second_HW: Float32, weight_HW: Float32) -> float:
    """Pearson correlation under weights that sum to one; 0 where a picture is flat."""
    first = first_HW - np.float32((weight_HW * first_HW).sum())
    second = second_HW - np.float32((weight_HW * second_HW).sum())
    spread = float((weight_HW * first**2).sum()) * float((weight_HW * second**2).sum())
    return float((weight_HW * first * second).sum()) / np.sqrt(spread) if spread > _FLAT else 0.0


def band_deficit(image_HW3: Float32, filmed_HW3: Float32, weight_HW: Float32) -> float:
    """How much of the proxy's band makes the mouth's as strong as the proxy's.

    Args:
        image_HW3: (H, W, 3) float32, one frequency band of the made mouth.
        filmed_HW3: (H, W, 3) float32, the same of the proxy.
        weight_HW: (H, W) float32, sums to one.

    Returns:
        g in 0..1 with |a + g b| = |b|, a the made and b the filmed band: with r = |a| / |b| and c their
        correlation, g^2 + 2 g r c + r^2 = 1. 0 where the mouth is as detailed as the proxy.
    """
    weighted_HW3 = weight_HW[..., None] * filmed_HW3
    filmed, both = (float(np.vdot(weighted_HW3, other)) for other in (filmed_HW3, image_HW3))
    own = float(np.vdot(weight_HW[..., None] * image_HW3, image_HW3))
    if filmed <= 1e-10 or own >= filmed:
        return 0.0
    along = both / filmed
    return float(np.clip(np.sqrt(along**2 + 1 - own / filmed) - along, 0, 1))


def _shifted(patch: UInt8, shift_2: Float32, box: tuple[slice, slice]) -> Float32:
    """A box of a patch that was moved by some px, 0..1."""
    rows, columns = box
    matrix = np.array([[1, 0, shift_2[0] - columns.start], [0, 1, shift_2[1] - rows.start]], np.float64)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    moved = cv2.warpAffine(patch, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return moved.astype(np.float32) / 255


def _teeth(image_HW3: Float32, settings: TeethTransfer, unit_px: float) -> Float32:
    """(H, W) where a picture shows teeth, 0..1."""
    return teeth_likeness(
        image_HW3,
        min_value=settings.min_value,
        max_saturation=settings.max_saturation,
        feather_px=settings.feather * unit_px,
    )


def _ramp(distance_HW: Float32, width: float) -> Float32:
    """0 at and below 0, 1 from `width` on."""
    return np.asarray(np.clip(distance_HW / max(width, 1e-6), 0, 1), np.float32)
