"""A format's name becomes an encoder that has proved itself."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dubber.errors import ConfigError
from dubber.media import encoders, writer
from dubber.media.encoders import FORMATS, chosen_encoder, trial_failure
from dubber.media.encoding import EncodeOptions, encoder_options
from dubber.media.writer import VideoWriter
from tests.media.clips import cfr, clip_of, frame

CLIP = clip_of(cfr(8), Fraction(1, 12800), (96, 160))


@pytest.mark.parametrize("name", FORMATS)
def test_the_first_encoder_that_works_is_taken(name: str) -> None:
    chosen = chosen_encoder(EncodeOptions(name, crf=20), CLIP)
    assert (chosen.crf, chosen.preset) == (20, EncodeOptions().preset)
    before = FORMATS[name][: FORMATS[name].index(chosen.codec)]
    assert all(trial_failure(EncodeOptions(each), CLIP) for each in before)
    assert trial_failure(chosen, CLIP) is None


def test_an_encoders_own_name_is_not_questioned() -> None:
    options = EncodeOptions("h264_nvenc")
    assert chosen_encoder(options, CLIP) is options


def test_an_encoder_that_spoils_pictures_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        writer,
        "encoder_options",
        lambda options, hdr=None: (
            {"b": "30k", "qmin": "31"} if options.codec == "mpeg4" else encoder_options(options, hdr)
        ),
    )
    assert "dB" in (trial_failure(EncodeOptions("mpeg4"), CLIP) or "")
    monkeypatch.setitem(FORMATS, "any", ("libnone", "mpeg4", "libx264"))
    assert chosen_encoder(EncodeOptions("any"), CLIP).codec == "libx264"


def test_without_any_encoder_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoders.FORMATS, "any", ("libnone",))
    with pytest.raises(ConfigError, match="libnone"):
        chosen_encoder(EncodeOptions("any"), CLIP)


@pytest.mark.parametrize("size", [(96, 160), (97, 161)])
def test_formats_that_hardware_wants_hold_the_same_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    ticks = cfr(4)
    clip = clip_of(ticks, Fraction(1, 12800), size)
    decoded = []
    for name in ("yuv420p", "nv12"):
        monkeypatch.setattr(writer, "written_format", lambda *_, name=name: name)
        with VideoWriter(tmp_path / f"{name}.mp4", clip, clip.time_base) as output:
            for i, pts in enumerate(ticks):
                output.write(frame(i, size), pts)
        with av.open(str(tmp_path / f"{name}.mp4")) as container:
            decoded.append([each.to_ndarray(format="yuv420p") for each in container.decode(video=0)])
    np.testing.assert_array_equal(decoded[0], decoded[1])


def test_presets_are_said_in_the_encoders_words() -> None:
    presets = {
        codec: encoder_options(EncodeOptions(codec, preset="superfast")).get("preset")
        for codec in ("libx264", "h264_nvenc", "hevc_qsv")
    }
    assert presets == {"libx264": "superfast", "h264_nvenc": "p1", "hevc_qsv": "veryfast"}
    assert encoder_options(EncodeOptions("h264_nvenc", preset="p6"))["preset"] == "p6"
