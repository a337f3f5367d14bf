"""Building pages that what stands in them cannot break."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser

from dubber.report.html import data_block, document, escape, join, name_of, prose, read_data_block, tag
from tests.report.conftest import HOSTILE_NAME


def test_text_is_escaped_wherever_it_stands() -> None:
    made = tag("p", "<b>", [tag("i", '"&')], title="\"><script>alert('1')")
    expected = '<p title="&quot;&gt;&lt;script&gt;alert(&#x27;1&#x27;)">&lt;b&gt;<i>&quot;&amp;</i></p>'
    assert made == expected


def test_what_is_to_be_typed_looks_so() -> None:
    assert join(prose("Use `--crf <n>`.")) == "Use <code>--crf &lt;n&gt;</code>."
    assert join(prose("a`b<c")) == "a`b&lt;c"


def test_attributes() -> None:
    made = tag("input", class_="a", aria_label="b", hidden=True, disabled=False, data_x=None, value=3)
    assert made == '<input class="a" aria-label="b" hidden value="3">'


def test_what_no_page_may_hold_is_replaced() -> None:
    assert escape("a\x00\x07\udcffb") == "a\ufffd\ufffd?b"
    assert name_of("x") == "<bdi>x</bdi>"


def test_a_data_block_cannot_be_left_and_is_read_back() -> None:
    block = data_block("known", {"name": HOSTILE_NAME, "more": [1, None]})
    assert block.count("<") == 2  # its own two tags
    assert read_data_block(f"<p>{block}</p>", "known") == {"name": HOSTILE_NAME, "more": [1, None]}
    assert read_data_block(block, "other") is None
    assert read_data_block('<script type="application/json" id="known">{</script>', "known") is None


class _Elements(HTMLParser):
    """Collects the texts of a page's scripts and styles, and the attributes of all its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self.attributes: list[tuple[str, str | None]] = []
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self._open in self.texts:
            self.texts[self._open].append(data)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


def test_the_policy_allows_the_pages_own_script_and_style_alone() -> None:
    found = _Elements(document(HOSTILE_NAME, "index.js", tag("p", HOSTILE_NAME)))
    [policy] = [
        value for name, value in found.attributes if name == "content" and "default-src" in str(value)
    ]
    sources = dict(part.strip().split(" ", 1) for part in str(policy).split(";"))
    assert sources["default-src"] == "'none'"
    for kind in ("script", "style"):
        [text] = found.texts[kind]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert sources[f"{kind}-src"] == f"'sha256-{digest}'"
    names = {name for name, _ in found.attributes}
    assert not {name for name in names if name.startswith("on")}
    assert "style" not in names
