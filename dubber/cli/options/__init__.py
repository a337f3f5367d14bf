"""Options that several commands share, said once, and what they come to.

A new option goes into the module of its group, and is known here by the name it has there.
"""

# ruff: noqa: F403

from __future__ import annotations

from dubber.cli.options.beside import *
from dubber.cli.options.encoding import *
from dubber.cli.options.method import *
from dubber.cli.options.running import *
from dubber.cli.options.settings import *
from dubber.cli.options.trust import *
from dubber.cli.options.who import *
from dubber.cli.said import build_script as build_script
