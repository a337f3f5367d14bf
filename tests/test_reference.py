"""What the documentation says of commands and settings is what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from dubber.cli.aliases import ALIASES
from dubber.cli.app import app
from dubber.cli.command_tables import commands_of
from dubber.cli.reference import write_reference
from dubber.config import setting_keys
from dubber.config_schema import stage_settings

PROJECT = Path(__file__).parent.parent
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
ROOT: Any = typer.main.get_command(app)
COMMANDS = dict(commands_of(ROOT))
FLAG = re.compile(r"(?<![\w./-])--?[a-zA-Z][\w-]*")


def flags_of(command: Any) -> set[str]:
    """Every spelling of a command's options."""
    return {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)} | {
        "--help",
        "-h",
    }


EVERY_FLAG = set(ALIASES).union(*map(flags_of, (ROOT, *COMMANDS.values())))
FLAGS_OF_OTHERS = {"--network", "--shm-size"}
"""docker's."""


def command_lines(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each `dubber ...` of a page that names a command, with the command's names."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    for line in (*lines, *spans):
        for call in re.findall(r"(?:^|[\s(])dubber ([a-z].*)", line):
            words = call.partition(" #")[0].split()
            names = next((tuple(words[:n]) for n in (3, 2, 1) if tuple(words[:n]) in COMMANDS), None)
            if names is not None:
                yield names, " ".join(words)


def test_the_reference_is_that_of_the_code(tmp_path: Path) -> None:
    write_reference(tmp_path)
    for made in tmp_path.iterdir():
        kept = PROJECT / "docs" / "reference" / made.name
        assert kept.read_text(encoding="utf-8") == made.read_text(encoding="utf-8"), "run `make reference`"


def test_every_command_and_option_says_what_it_does() -> None:
    for names, command in COMMANDS.items():
        assert command.help, names
        assert [param.name for param in command.params if not param.help] == [], names


def test_every_setting_says_what_it_means() -> None:
    settings = {
        f"{stage.stage}.{each.name}": each.meaning for stage in stage_settings() for each in stage.settings
    }
    assert list(settings) == setting_keys()
    assert [key for key, meaning in settings.items() if not meaning] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_flags_and_commands_in_the_docs_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for names, line in command_lines(text):
        known = flags_of(COMMANDS[names])
        if names == ("run",):
            known |= set(ALIASES)
        elif names == ("config", "show"):  # which takes those of the command that it is about
            known |= EVERY_FLAG
        unknown = set(FLAG.findall(line)) - known
        assert not unknown, f"{page.name}: dubber {line}"
    alone = {flag for span in re.findall(r"`(--[a-z][^`\n]*)`", text) for flag in FLAG.findall(span)}
    assert alone <= EVERY_FLAG | FLAGS_OF_OTHERS, page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_settings_in_the_docs_exist(page: Path) -> None:
    named = re.findall(r"--set ([a-z_]+\.[a-z_]+)", page.read_text(encoding="utf-8"))
    assert set(named) <= set(setting_keys())


def test_the_search_finds_what_is_wrong() -> None:
    text = (
        "`dubber eval self a.mp4 --nonsense`\n```sh\ndubber run a b --other \\\n  --crf 3 # --comment\n```\n"
    )
    found = {names: set(FLAG.findall(line)) for names, line in command_lines(text)}
    assert found == {("eval", "self"): {"--nonsense"}, ("run",): {"--other", "--crf"}}
