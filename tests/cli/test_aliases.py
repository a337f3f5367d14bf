"""Command lines as people know them from other tools."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer.main

from dubber.cli.aliases import ALIASES, in_own_words
from dubber.cli.app import app
from dubber.errors import ConfigError
from tests.cli.command import dubber


@pytest.mark.parametrize(
    ("line", "own"),
    [
        ("--face a.mp4 --audio b.wav --outfile o.mp4", "a.mp4 --outfile o.mp4 b.wav"),
        ("--audio=b.wav --crf 20 --face=a.mp4", "a.mp4 --crf 20 b.wav"),
        ("a.mp4 --audio b.wav -q", "a.mp4 -q b.wav"),
        ("--face a.mp4 --audio b.wav --pads 0 20 0 0 --overwrite", "a.mp4 --overwrite b.wav"),
        ("--face a.mp4 --audio b.wav --resize_factor 1 --static False --nosmooth", "a.mp4 b.wav"),
        ("--face a.mp4 --audio b.wav --crop 0 -1 0 -1 --box -1 -1 -1 -1 --fps 25", "a.mp4 b.wav"),
        ("--face a.mp4 --audio b.wav --box 10 200 50 250", "a.mp4 --speaker 150,105@0 b.wav"),
        ("--video_path a.mp4 --audio_path b.wav --video_out_path o.mp4", "a.mp4 --output o.mp4 b.wav"),
        ("-s b.wav -t a.mp4 --output-path o.mp4 --processors lip_syncer", "a.mp4 --output o.mp4 b.wav"),
        ("--face a.mp4 --audio b.wav --re_preprocess", "a.mp4 --from demux b.wav"),
        ("a.mp4 b.wav --speaker 2 -o o.mp4", "a.mp4 b.wav --speaker 2 -o o.mp4"),
    ],
)
def test_flags_of_others_become_ours(line: str, own: str) -> None:
    rewritten = in_own_words(["run", *shlex.split(line)])
    assert rewritten.arguments == ["run", *shlex.split(own)]
    foreign = [each for each in shlex.split(line) if each.partition("=")[0] in ALIASES]
    assert len(rewritten.notes) == len(foreign)


@pytest.mark.parametrize(
    ("flags", "advice"),
    [
        ("--resize_factor 2", "scale the video first"),
        ("--out_height 480", "scale the video first"),
        ("--static True", "ffmpeg -loop 1"),
        ("--crop 0 300 0 300", "--speaker"),
        ("--exp_img smile", "as filmed"),
        ("--inference_config many.yaml", "dubber batch"),
        ("--processors face_swapper", "other tools"),
    ],
)
def test_what_is_not_to_be_had_is_refused_with_advice(flags: str, advice: str) -> None:
    result = dubber("run", "--face", "a.mp4", "--audio", "b.wav", *flags.split())
    assert result.returncode == 2
    assert flags.split()[0] in result.stderr
    assert advice in result.stderr


@pytest.mark.parametrize("flags", ["--face", "--box 1 2", "--pads"])
def test_values_must_follow(flags: str) -> None:
    with pytest.raises(ConfigError):
        in_own_words(["run", *flags.split()])


def test_it_is_said_what_becomes_of_them_unless_quiet(tmp_path: Path) -> None:
    line = ("run", "--face", tmp_path / "absent.mp4", "--audio", "b.wav", "--pads", "0", "10", "0", "0")
    loud, quiet = dubber(*line), dubber(*line, "-q")
    assert (loud.returncode, quiet.returncode) == (3, 3)
    assert "--pads 0 10 0 0: not needed. The mask follows the jaw" in loud.stderr
    assert "--pads" not in quiet.stderr


def test_other_commands_keep_their_words() -> None:
    line = ["eval", "self", "--face", "a.mp4"]
    assert in_own_words(line).arguments == line
    assert in_own_words([]).arguments == []


def test_no_option_of_ours_is_hidden() -> None:
    root = typer.main.get_command(app)
    params = root.commands["run"].params  # type: ignore[attr-defined]
    ours = {opt for param in params for opt in (*param.opts, *param.secondary_opts)}
    assert not ours & set(ALIASES)
    assert all(alias.becomes or alias.why for alias in ALIASES.values())
