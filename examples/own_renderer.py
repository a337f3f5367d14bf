"""A renderer of one's own: the median of the five filmed mouths whose lips are opened most alike.

dubber run examples/speaker.mp4 examples/line.wav --renderer examples/own_renderer.py:MedianRenderer
"""

import numpy as np

from dubber.ops.exemplar_warp import doubled, warp_exemplars
from dubber.stages.renderers import FaceCrops, PatchRenderer

UPPER_LIP, LOWER_LIP, CORNERS = 14, 18, [0, 6]  # of the 39 landmarks: inner lips, corners of the mouth


def lips(points_nP2):
    """(n, 2) how far the lips and the mouth's corners are apart, px."""
    opening_n2 = points_nP2[:, LOWER_LIP] - points_nP2[:, UPPER_LIP]
    width_n2 = points_nP2[:, CORNERS[1]] - points_nP2[:, CORNERS[0]]
    return np.stack([np.linalg.norm(opening_n2, axis=1), np.linalg.norm(width_n2, axis=1)], axis=1)


class MedianRenderer(PatchRenderer):
    """Needs no network, and no order of the frames."""

    version = 1

    def __init__(self, job):
        super().__init__(job)
        frames_B, _ = job.lenders.bank  # source frames that may lend their mouth
        apart_NB = lips(job.wanted_NP2)[:, None] - lips(job.lenders.landmarks(frames_B))
        nearest_N5 = np.argsort(np.linalg.norm(apart_NB, axis=2), axis=1, kind="stable")[:, :5]
        self.chosen_N5 = frames_B[nearest_N5]
        self.crops = FaceCrops.of(job.ctx, job.video, job.clip, job.lenders.similarity_T23, job.crop_size_px)
        self.crops.want(np.unique(self.chosen_N5).tolist())

    def patch(self, n, filmed_HW3):
        """(H, W, 3) uint8: filmed mouths, bent onto the wanted lips and jaw."""
        frames = self.chosen_N5[n]
        pictures = [doubled(self.crops.read(frame)) for frame in frames.tolist()]
        points_KP2 = self.job.lenders.landmarks(frames)
        bent = warp_exemplars(
            pictures, self.job.wanted_NP2[n], points_KP2, self.job.patch_size, unit_px=self.job.unit_px
        )
        return np.median(bent, axis=0).astype(np.uint8)
