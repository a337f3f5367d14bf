"""Time of the steps between tracking and rendering, per frame and as a ratio to a plain matrix product.

    python benchmarks/speed.py [--frames 3000]

The film is made: the face model's own, turning its head and speaking, with noise. The ratio is to a product
of two 256 x 256 matrices in double precision, timed just before and after on one core, so that runs on
different or busy machines can be compared.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from dubber.engine.device import torch_threads
from dubber.engine.weights import WeightsFolder, default_weights_dir
from dubber.models.expression import ExpressionNet, TargetRange
from dubber.models.fitting import FaceFitter
from dubber.models.morphable import LinearFaceModel, project_TL2
from dubber.ops.align import similarity_scale, similarity_to_mean_face
from dubber.ops.mfcc import SAMPLE_RATE_HZ
from dubber.ops.pose import rotation_matrices
from dubber.stages.fit import FACE_MODEL, FitParams, fit_track, landmark_weights
from dubber.stages.listening import RATE_HZ, at_steps, predicted, smoothed
from dubber.stages.translate import WEIGHTS
from dubber.types import FaceTrack

FPS = 25


@dataclass(frozen=True)
class Timing:
    """One line of the result.

    Attributes:
        name: The step.
        ms_per_frame: Milliseconds per frame of video.
        ratio: That in products of the reference.
    """

    name: str
    ms_per_frame: float
    ratio: float


@threadpool_limits.wrap(limits=1, user_api="blas")
def product_ms(size: int = 256, repeats: int = 50) -> float:
    """Median milliseconds of one matrix product."""
    matrix = np.random.default_rng(0).normal(size=(size, size))
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - started)
    return float(np.median(times) * 1e3)


def timed(name: str, step: Callable[[], object], num_frames: int) -> Timing:
    """Run a step three times and keep the fastest."""
    reference = [product_ms()]
    times = []
    for _ in range(3):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    reference.append(product_ms())
    ms = min(times) / num_frames * 1e3
    return Timing(name, ms, ms / min(reference))


def made_track(model: LinearFaceModel, num_frames: int) -> FaceTrack:
    """A head that turns while its mouth speaks, with 0.7 px of noise."""
    rng = np.random.default_rng(1)
    now = np.arange(num_frames)
    phase, speed = rng.uniform(0, 6, model.num_expression), rng.uniform(0.3, 0.9, model.num_expression)
    expression = np.sin(now[:, None] * speed + phase).astype(np.float32)
    identity = rng.normal(size=model.num_identity).astype(np.float32)
    turn = np.deg2rad([6, 20, 5]) * np.sin(now[:, None] / [9, 21, 15])
    scale = (150 + 10 * np.sin(now / 30)).astype(np.float32)
    shift = np.stack([300 + 30 * np.sin(now / 17), np.full(num_frames, 250.0)], axis=1).astype(np.float32)
    rotation = turn.astype(np.float32)
    xy = project_TL2(model, identity, expression, rotation, scale, shift)
    turned = model.vertices_TV3(identity, expression) @ np.swapaxes(rotation_matrices(rotation), 1, 2)
    landmarks = np.concatenate([xy, turned[..., 2:] * scale[:, None, None]], axis=-1)
    landmarks = (landmarks + rng.normal(0, 0.7, landmarks.shape)).astype(np.float32)
    return FaceTrack(
        boxes_T4=np.zeros((num_frames, 4), np.float32),
        landmarks_TL3=landmarks,
        scores_T=np.ones(num_frames, np.float32),
        is_usable_T=np.ones(num_frames, bool),
        shot_id_T=np.zeros(num_frames, np.int32),
        identity_id_T=np.zeros(num_frames, np.int32),
        similarity_T23=similarity_to_mean_face(landmarks),
        why_not_T=np.zeros(num_frames, np.int8),
    )


def fit_timing(num_frames: int) -> Timing:
    """Fitting the face model, identity included."""
    model = LinearFaceModel.from_weight(WeightsFolder(default_weights_dir()).open(FACE_MODEL))
    track, params = made_track(model, num_frames), FitParams()
    usable = np.arange(num_frames, dtype=np.int32)
    fitter = FaceFitter(model, landmark_weights(track.landmarks_TL3.shape[1], params))

    def fit() -> None:
        identity, poses = fit_track(fitter, track, usable, params)
        fitter.residual_px(track.landmarks_TL3, similarity_scale(track.similarity_T23), identity, poses)

    return timed("fit", fit, num_frames)


def translate_timing(num_frames: int, translator: str) -> Timing:
    """Features, network, and reading it off, of speech as long as the frames; voice activity aside."""
    net = ExpressionNet.from_weight(WeightsFolder(default_weights_dir()).open(WEIGHTS[translator]))
    rng = np.random.default_rng(2)
    times_s = np.arange(round(num_frames / FPS * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    syllables = np.maximum(np.sin(2 * np.pi * 4 * times_s), 0)
    samples = (0.1 * syllables * rng.standard_normal(len(times_s))).astype(np.float32)
    own = rng.standard_normal((500, net.num_coefficients)).astype(np.float32)
    reach = TargetRange.measured(net, own)

    def translate() -> None:
        with torch_threads(1):
            deviation = smoothed(predicted(net, samples, reach, torch.device("cpu")), 5)
            net.decode(reach.limited(at_steps(deviation, np.arange(num_frames) / FPS * RATE_HZ)))

    return timed(translator, translate, num_frames)


def main() -> None:
    """Print a line per step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=3000)
    options = parser.parse_args()
    results = [fit_timing(options.frames)]
    results += [translate_timing(options.frames, translator) for translator in WEIGHTS]
    for result in results:
        print(f"{result.name:12s} {result.ms_per_frame:6.3f} ms per frame   {result.ratio:6.2f} products")


if __name__ == "__main__":
    main()
