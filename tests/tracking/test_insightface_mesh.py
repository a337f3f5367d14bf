"""SCRFD's boxes and points, and who a face is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dubber.errors import WeightsError
from dubber.ops.landmarks import EYE_LEFT, EYE_RIGHT, NOSE_TIP
from dubber.tracking.base import RgbPicture
from dubber.tracking.following import LOOK_EVERY_FRAMES
from dubber.tracking.insightface_mesh import InsightfaceTracker
from dubber.tracking.scrfd import Scrfd
from tests.conftest import real_model
from tests.synth import portrait
from tests.tracking.networks import write_adding_network, write_embedding_network

pytest.importorskip("onnxruntime")

DETECTOR = "insightface/scrfd_500m.onnx"


class WithoutPoints:
    """A session whose network does not tell points."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def run(self, names: None, inputs: dict[str, Any]) -> list[Any]:
        return [output for output in self._session.run(names, inputs) if output.shape[-1] != 10]


def test_points_lie_on_the_eyes_and_the_nose() -> None:
    detector = Scrfd(real_model(DETECTOR))
    (face,) = detector.detect(portrait().image)
    truth_L2 = portrait().landmarks_L3[:, :2]
    truth_32 = [truth_L2[EYE_RIGHT].mean(0), truth_L2[EYE_LEFT].mean(0), truth_L2[NOSE_TIP]]
    assert face.points_52 is not None
    np.testing.assert_allclose(face.points_52[:3], truth_32, atol=0.06 * np.ptp(truth_L2[:, 0]))
    assert (face.box_4[:2] < face.points_52.min(0)).all() and (face.box_4[2:] > face.points_52.max(0)).all()


def test_a_network_that_tells_no_points_gives_the_same_boxes() -> None:
    detector = Scrfd(real_model(DETECTOR))
    (with_points,) = detector.detect(portrait().image)
    detector._session = WithoutPoints(detector._session)
    (face,) = detector.detect(portrait().image)
    np.testing.assert_array_equal(face.box_4, with_points.box_4)
    assert face.points_52 is None


def test_a_face_is_recognised_when_the_picture_is_searched(tmp_path: Path) -> None:
    network = write_embedding_network(tmp_path / "w600k.onnx", size=512)
    picture = RgbPicture(portrait().image)
    mirrored = RgbPicture(np.ascontiguousarray(portrait().image[:, ::-1]))
    with InsightfaceTracker(real_model(DETECTOR), network) as tracker:
        seen = [tracker.track(picture, n / 25)[0].embedding_E for n in range(LOOK_EVERY_FRAMES + 1)]
        tracker.reset()
        other = tracker.track(mirrored, 1.0)[0].embedding_E
    assert [embedding is not None for embedding in seen] == [True, *[False] * (LOOK_EVERY_FRAMES - 1), True]
    first, later = seen[0], seen[-1]
    assert first is not None and later is not None and other is not None
    assert first.shape == (512,) and first.dtype == np.float32
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    assert first @ later > 0.999 > first @ other


def test_without_a_recogniser_nobody_is_recognised() -> None:
    with InsightfaceTracker(real_model(DETECTOR)) as tracker:
        (face,) = tracker.track(RgbPicture(portrait().image), 0.0)
    assert face.embedding_E is None


def test_other_networks_are_refused(tmp_path: Path) -> None:
    other = write_adding_network(tmp_path / "add.onnx")
    with pytest.raises(WeightsError, match="no SCRFD"):
        Scrfd(other)
    with pytest.raises(WeightsError, match="no ArcFace"):
        InsightfaceTracker(real_model(DETECTOR), other)
    with pytest.raises(WeightsError, match="48 numbers instead of 512"):
        InsightfaceTracker(real_model(DETECTOR), write_embedding_network(tmp_path / "small.onnx"))
