"""The renderers' ablation on a synthetic clip, and its page on numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dubber import DubConfig
from dubber.engine.progress import SilentProgress
from dubber.engine.stage import Runtime
from dubber.errors import ConfigError, WeightsError
from dubber.evaluation import renderer_ablation
from dubber.evaluation.renderer_ablation import BASELINE, MAIN, UNSTEADY, RendererVariant, evaluate_renderers
from dubber.evaluation.results_pictures import pictures_page
from tests.synth import make_clip, make_wall_clip

EXEMPLAR = RendererVariant("warped", {"render.renderer": "exemplar"})
COPY = RendererVariant("copied", {"render.renderer": "copy"})


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    make_clip(tmp_path / "brief.mp4", num_frames=28, seed=2)
    make_clip(tmp_path / "talk.mp4", num_frames=48)
    make_wall_clip(tmp_path / "wall.mp4", num_frames=60)
    rows = "".join(f"{name}.mp4,dev,{name}\n" for name in ("brief", "talk", "wall"))
    path = tmp_path / "clips.csv"
    path.write_text("file,split,speaker\n" + rows)
    return path


def evaluate(
    manifest: Path, runtime: Runtime, variants: list[RendererVariant], **options: Any
) -> dict[str, Any]:
    return evaluate_renderers(
        manifest,
        "dev",
        variants=variants,
        config=DubConfig(),
        runtime=runtime,
        progress=SilentProgress(),
        **options,
    )


@pytest.mark.slow
def test_variants_are_measured_on_every_clip_that_can_be(manifest: Path, runtime: Runtime) -> None:
    document = evaluate(manifest, runtime, [EXEMPLAR, COPY])
    warped, copied = document["variants"]
    assert [clip["clip"] for clip in warped["clips"]] == ["talk", "brief"]  # long ones first
    assert [clip["frames"] for clip in warped["clips"]] == [12, 7]
    assert [clip["clip"] for clip in document["left_out"]] == ["wall"]
    # The null twin gives the source back: perfect, and no ratio departs from 1.
    for clip in copied["clips"]:
        assert clip["metrics"]["mouth_psnr_db"] == 100
        for name in ("sharpness_ratio", "lips_sharpness_ratio", "seam_index", "soft_seam_index"):
            assert clip["metrics"][name] == pytest.approx(1)
        for name in ("flicker_index", "soft_flicker_index"):
            assert clip["metrics"][name] == pytest.approx(1)
    assert 24 < warped["short"]["mouth_psnr_db"] < 60
    assert warped["long"] == {}  # both are short
    page = pictures_page(document, "dubber eval ablation")
    assert "## 2 clips under 10 s, medians" in page
    assert f"| warped | {warped['short']['mouth_psnr_db']:.1f} |" in page
    assert "| wall | " in page


@pytest.mark.slow
def test_short_clips_can_be_left_out(manifest: Path, runtime: Runtime) -> None:
    document = evaluate(manifest, runtime, [COPY], min_seconds=1.5)
    assert [clip["clip"] for clip in document["variants"][0]["clips"]] == ["talk"]
    with pytest.raises(ConfigError, match=r"No clip lasts 60 s; the longest has 2\.4 s"):
        evaluate(manifest, runtime, [COPY], min_seconds=60)


@pytest.mark.slow
def test_a_variant_without_weights_says_so(
    manifest: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = renderer_ablation.measure_pictures

    def without_weights(footage: Any, wanted: Any, config: DubConfig, *rest: Any, **named: Any) -> Any:
        if config.render.renderer == "exemplar":
            raise WeightsError("There are no weights 'renderer'.")
        return measure(footage, wanted, config, *rest, **named)

    monkeypatch.setattr(renderer_ablation, "measure_pictures", without_weights)
    document = evaluate(manifest, runtime, [EXEMPLAR, COPY], min_seconds=1.5)
    assert document["variants"][0]["missing"] == "There are no weights 'renderer'."
    assert document["variants"][1]["clips"]
    page = pictures_page(document, "dubber eval ablation")
    assert "| warped | There are no weights 'renderer'. |" in page
    assert "| copied | 100.0 |" in page


def test_the_page_compares_the_default_clip_by_clip() -> None:
    def variant(name: str, **metrics: float) -> dict[str, Any]:
        clip = {"clip": "a", "speaker": "x", "seconds": 30.0, "frames": 180, "metrics": metrics}
        return {"name": name, "missing": None, "long": metrics, "short": {}, "clips": [clip]}

    document = {
        "split": "dev",
        "min_seconds": 0.0,
        "variants": [
            variant(MAIN.name, mouth_psnr_db=31.0, mouth_ssim=0.951, flicker_index=0.9, sharpness_ratio=0.87),
            variant(UNSTEADY.name, mouth_psnr_db=31.2, flicker_index=1.2),
            variant(BASELINE.name, mouth_psnr_db=28.75),
        ],
        "left_out": [],
    }
    page = pictures_page(document, "dubber eval ablation --of renderer")
    assert "Made by `dubber eval ablation --of renderer`" in page
    assert "| a | 30 | 31.0 | 31.2 | 28.8 |" in page
    assert "| a | 30 | 180 | +2.2 | – | 0.75 | 31.0 | 0.951 | – | – | – | 0.87 |" in page


@pytest.mark.parametrize("variant", renderer_ablation.VARIANTS, ids=lambda variant: variant.name)
def test_the_variants_are_settings_that_exist(variant: RendererVariant) -> None:
    config = DubConfig().with_overrides(variant.overrides)
    assert config.render.renderer == variant.overrides["render.renderer"]
