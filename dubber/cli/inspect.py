"""`dubber methods`: what can be chosen."""

from __future__ import annotations

from dubber.cli import options as o
from dubber.cli.console import print_json, show_table


def methods(json: o.Json = False) -> None:
    """List the interchangeable parts: renderers, translators, length modes."""
    from dubber.stages.methods import METHODS

    rows = [
        [method.part, method.name, "yes" if method.is_default else "", method.summary] for method in METHODS
    ]
    if json:
        keys = ("part", "name", "default", "summary")
        print_json({"methods": [dict(zip(keys, row, strict=True)) for row in rows]})
    else:
        show_table("Methods", ["part", "name", "default", "what it does"], rows)
