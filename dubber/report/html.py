"""HTML and SVG that what stands in them cannot break: every text is escaped but what is markup already."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any, TypeAlias

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
FOOT = "Made by dubber on this computer. The page loads nothing from any network."
_VOID = frozenset({"img", "input", "meta", "br"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"
"""What may stand in an element: text, markup, and lists of them."""


def escape(text: object) -> Markup:
    """Text as HTML shows it; characters that no page may hold become replacement characters."""
    if isinstance(text, Markup):
        return text
    whole = str(text).encode("utf-8", "replace").decode("utf-8")  # names of files may hold lone surrogates
    return Markup(html.escape(_CONTROL.sub("\ufffd", whole), quote=True))


def join(children: Child) -> Markup:
    """Children one after the other."""
    if children is None:
        return Markup("")
    if isinstance(children, str):
        return escape(children)
    return Markup("".join(join(child) for child in children))


def tag(name: str, *children: Child, **attributes: object) -> Markup:
    """An element.

    Args:
        name: Its name.
        *children: What stands in it.
        **attributes: Names with underscores stand for names with hyphens, and one at the end is dropped
            (`class_`). True is an attribute without value; None and False are none.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def name_of(text: object) -> Markup:
    """A name that others chose: its direction of writing does not reach the text around it."""
    return tag("bdi", str(text))


def prose(text: str) -> Child:
    """A sentence whose words between backticks are to be typed."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a name with a backtick
        return text
    return [tag("code", part) if number % 2 else part for number, part in enumerate(parts)]


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(value)}"'


def data_block(identifier: str, document: Any) -> Markup:
    """A JSON document in a page, for its script and for `read_data_block`."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":  # nothing in it can end the element
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(f'<script type="application/json" id="{escape(identifier)}">{text}</script>')


def read_data_block(page: str, identifier: str) -> Any | None:
    """The document of `data_block` in a page; None where there is none that can be read."""
    found = re.search(
        rf'<script type="application/json" id="{re.escape(identifier)}">(.*?)</script>', page, re.DOTALL
    )
    try:
        return None if found is None else json.loads(found[1])
    except ValueError:
        return None


def document(title: str, script: str, body: Child) -> str:
    """A whole page that asks no network for anything: its style and script are in it, and no others may run.

    Args:
        title: What the window is called.
        script: Name of a script among the assets.
        body: What is seen.
    """
    style, code = asset("report.css"), asset(script)
    policy = (
        "default-src 'none'; img-src data:; media-src data: 'self' file:; "
        f"style-src '{_digest(style)}'; script-src '{_digest(code)}'; base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="referrer", content="no-referrer"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    page = tag("html", head, tag("body", body, tag("script", Markup(code))), lang="en")
    return f"<!doctype html>\n{page}\n"


@cache
def asset(name: str) -> str:
    """The text of one of the files that pages are made with."""
    return (resources.files("dubber.report") / "assets" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """A Content-Security-Policy source that allows this text and no other.

    Source: CSP Level 3, section 6.7.3.3.
    """
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
