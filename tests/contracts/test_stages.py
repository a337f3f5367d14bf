"""What every stage promises, whoever writes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from dubber import DubConfig
from dubber.engine.stage import Runtime
from dubber.pipeline import plan_dub
from tests.synth import EXAMPLES

CONFIG = DubConfig()


def stages(runtime: Runtime) -> list:
    plan = plan_dub(CONFIG, EXAMPLES / "speaker.mp4", EXAMPLES / "line.wav", runtime=runtime).plan
    return [node.stage for node in plan.nodes if node.stage is not None]


def test_names_are_unique_and_versions_count_from_one(runtime: Runtime) -> None:
    made = stages(runtime)
    assert len({stage.name for stage in made}) == len(made) == 15
    assert all(stage.version >= 1 for stage in made)


def test_every_weight_a_stage_reads_is_listed_with_a_licence(runtime: Runtime) -> None:
    for stage in stages(runtime):
        for name in stage.weights():
            assert runtime.weights.entry(name).licence


@pytest.mark.parametrize("section", list(DubConfig.model_fields))
def test_parameters_are_frozen_documented_and_survive_json(section: str) -> None:
    params = getattr(CONFIG, section)
    assert type(params).model_validate_json(params.model_dump_json()) == params
    for name in type(params).model_fields:
        assert f"{name}:" in (type(params).__doc__ or ""), f"{section}.{name} has no description"
        with pytest.raises(ValidationError):
            setattr(params, name, getattr(params, name))


def test_every_parameter_is_part_of_the_key(runtime: Runtime) -> None:
    """Changing any stage's parameter changes the key of the finished file."""
    changes = {
        "length.mode": "loop",
        "track.min_face_px": 65.0,
        "fit.num_identity_frames": 31,
        "translate.mouth_gain": 0.8,
        "render.num_candidates": 31,
        "teeth.boost": 0.9,
        "deflicker.weight": 0.7,
        "blend.feather_px": 4.5,
        "remux.crf": 17,
    }
    keys = {
        plan_dub(config, EXAMPLES / "speaker.mp4", EXAMPLES / "line.wav", runtime=runtime).dubbed.key
        for config in [CONFIG, *(CONFIG.with_overrides({key: value}) for key, value in changes.items())]
    }
    assert len(keys) == len(changes) + 1


def test_planning_loads_no_heavy_library() -> None:
    """`dubber plan` and shell scripts around it answer at once."""
    heavy = ["torch", "cv2", "av", "librosa"]
    code = f"import sys, dubber.pipeline; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert result.stdout.strip() == "[]"
