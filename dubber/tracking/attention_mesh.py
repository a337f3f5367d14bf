"""MediaPipe's attention mesh: dense landmarks in a region; its model lies inside the wheel."""

from __future__ import annotations

import numpy as np

from dubber.tracking.base import Picture
from dubber.tracking.regions import Region, Window
from dubber.types import NUM_TRACKER_LANDMARKS, Float32

MESH_SIDE_PX = 192
"""Side of the picture that the mesh's network takes."""

NUM_PASSES = 2
"""How often the mesh looks at a frame, the second time at the region that the first look tells: the face is
better framed, and the mean of both trembles less.
"""


class AttentionMesh:
    """The network; it remembers nothing. Made inside `quiet_native_stderr`."""

    def __init__(self) -> None:
        from mediapipe.framework.calculator_pb2 import CalculatorGraphConfig
        from mediapipe.framework.formats.rect_pb2 import NormalizedRect
        from mediapipe.python.solution_base import SolutionBase

        mesh = CalculatorGraphConfig.Node(
            calculator="FaceLandmarkCpu",
            input_stream=["IMAGE:image", "ROI:region"],
            input_side_packet=["WITH_ATTENTION:with_attention"],
            output_stream=["LANDMARKS:landmarks"],
        )
        graph = CalculatorGraphConfig(
            input_stream=["image", "region"],
            input_side_packet=["with_attention"],
            output_stream=["landmarks"],
            node=[mesh],
        )
        self._region_type = NormalizedRect
        self._graph = SolutionBase(
            graph_config=graph, side_inputs={"with_attention": True}, outputs=["landmarks"]
        )

        nothing = Window(np.zeros((64, 64, 3), np.uint8), np.zeros(2, np.float32), 1)
        self._landmarks_of(nothing, Region(np.full(2, 32, np.float32), 64, 0.0))

    def close(self) -> None:
        """Free the network."""
        self._graph.close()

    def landmarks(self, picture: Picture, region: Region) -> Float32 | None:
        """(L, 3) float32 landmarks of the face in a region, px of the picture; None where there is none."""
        window: Window | None = None
        passes: list[Float32] = []
        for _ in range(NUM_PASSES):
            if window is None or not window.holds(region):
                window = Window.around(picture, region, MESH_SIDE_PX)
            landmarks_L3 = None if window is None else self._landmarks_of(window, region)
            if landmarks_L3 is None:
                return None
            passes.append(landmarks_L3)
            region = Region.of_landmarks(landmarks_L3)
        return np.asarray(np.mean(passes, axis=0), np.float32)

    def _landmarks_of(self, window: Window, region: Region) -> Float32 | None:
        x, y = (region.centre_2 - window.corner_2) / window.side_px
        side = region.side_px / window.side_px
        place = self._region_type(x_center=x, y_center=y, width=side, height=side, rotation=region.turn)
        found = self._graph.process({"image": window.rgb_SS3, "region": place}).landmarks
        if found is None:
            return None
        points = [(point.x, point.y, point.z) for point in found.landmark[:NUM_TRACKER_LANDMARKS]]
        return window.to_picture(np.array(points, np.float32))
