"""What a shell is offered, by the protocol that the installed completion script speaks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer.main

from dubber.cli import completion
from dubber.cli.app import app


@pytest.mark.parametrize(
    ("command", "name", "incomplete", "offered"),
    [
        ("run", "preset", "b", {"balanced", "best"}),
        ("run", "renderer", "e", {"exemplar"}),
        ("run", "translator", "", {"conv", "lstm", "neutral"}),
        ("run", "tracker", "mediapipe-", {"mediapipe-tasks"}),
        ("run", "settings", "render.cr", {"render.crop_size_px="}),
        ("run", "from_stage", "fi", {"fit"}),
        ("run", "until_stage", "own", {"own_speech"}),
        ("run", "length", "re", {"remap", "retime"}),
        ("inspect", "stage", "tra", {"track", "translate"}),
        ("inspect", "stage", "s", {"sync"}),
        ("inspect", "stage", "demux", set()),
        ("weights fetch", "name", "mediapipe", {"mediapipe-face-landmarker"}),
    ],
)
def test_values_are_offered(command: str, name: str, incomplete: str, offered: set[str]) -> None:
    found = typer.main.get_command(app)
    for each in command.split():
        found = found.commands[each]  # type: ignore[attr-defined]
    [param] = [param for param in found.params if param.name == name]
    items = param.shell_complete(typer.Context(found), incomplete)
    assert {item.value for item in items} == offered


def test_the_shell_is_answered() -> None:
    environment = {
        "_DUBBER_COMPLETE": "complete_bash",
        "COMP_WORDS": "dubber run --preset ",
        "COMP_CWORD": "3",
    }
    program = "import sys; sys.argv[0] = 'dubber'; from dubber.cli.app import app; app(prog_name='dubber')"
    result = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert result.stdout.split() == ["fast", "balanced", "best"]


def test_stages_are_those_of_a_plan() -> None:
    assert {"demux", "people", "render", "remux"} <= {name for name, _ in completion.stages("")}
