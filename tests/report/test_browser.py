"""Reports as people see them: in Chromium, without a window, from a file."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dubber.engine.execute import Run
from dubber.evaluation.metrics import psnr_db
from dubber.media.probe import probe
from dubber.media.reader import read_frames, read_frames_at
from dubber.report import IndexEntry, write, write_index
from dubber.types import UInt8
from tests.report.conftest import FACELESS, HOSTILE_NAME, Finished

playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")

pytestmark = pytest.mark.slow

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_FRAME_S = 1 / 25
_PATIENCE_S = 20


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if executable is None:
        pytest.skip("there is no Chromium here")
    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=executable, args=arguments)
        yield running
        running.close()


@dataclass
class Seen:
    """An open page, and what went on behind it."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def value(self, script: str) -> Any:
        return self.page.evaluate(script)

    def until(self, condition: str) -> None:
        """Wait; Playwright's own way would need the page's leave to evaluate words."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while not self.value(condition):
            assert time.monotonic() < deadline_s, condition
            self.page.wait_for_timeout(20)

    @property
    def time_s(self) -> float:
        return float(self.value("video.currentTime"))

    def is_at(self, time_s: float) -> bool:
        """Whether the player shows the frame of a time once it has come to rest."""
        self.until("!video.seeking && video.paused")
        return abs(self.time_s - time_s) < _FRAME_S

    def picture(self, side: str) -> UInt8:
        """(H, W, 3) uint8 RGB of a canvas."""
        url = self.value(f"find('{side}').toDataURL('image/png')")
        data = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
        return np.asarray(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


@contextmanager
def opened(browser: Any, path: Path, **options: Any) -> Iterator[Seen]:
    """Open a page; at the end nothing was complained of and nothing asked of a network."""
    context = browser.new_context(**options)
    seen = Seen(context.new_page())
    seen.page.on("console", lambda message: seen.complaints.append(message.text))
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.goto(path.as_uri())
    yield seen
    context.close()
    assert seen.complaints == []
    assert all(url.startswith(("data:", "file:")) for url in seen.requests)


@contextmanager
def opened_report(browser: Any, path: Path, **options: Any) -> Iterator[Seen]:
    with opened(browser, path, **options) as seen:
        seen.until("video.readyState >= 2 && !video.seeking")
        yield seen


def test_it_plays_both_halves_in_step(browser: Any, finished: Finished) -> None:
    with opened_report(browser, finished.page) as seen:
        assert seen.value("video.duration") == pytest.approx(1.6, abs=_FRAME_S)
        seen.page.click("#play")
        seen.until("video.currentTime > 0.3")
        seen.until("find('play').textContent === 'Pause'")
        seen.page.click("#play")
        seen.until("find('play').textContent === 'Play'")
        # Both canvases hold the frame that the text names: a cut of one from another frame would be seen.
        seen.until("!video.seeking")
        frame = int(seen.page.inner_text("#frame").split(",")[0].removeprefix("frame "))
        assert abs(frame * _FRAME_S - seen.time_s) <= 1.5 * _FRAME_S
        assert nearest_frame(finished, seen, "before", frame) == frame
        assert nearest_frame(finished, seen, "after", frame) == frame


def nearest_frame(finished: Finished, seen: Seen, side: str, frame: int) -> int:
    """The frame of source or dub, among those around one, that a canvas looks like."""
    around = [n for n in range(frame - 3, frame + 4) if 0 <= n < 40]
    if side == "before":
        source = probe(finished.clip.path)
        pictures = {
            n: each.rgb()
            for n, each in zip(around, read_frames_at(finished.clip.path, source, around), strict=True)
        }
    else:
        run = Run(finished.plan.plan, finished.runtime)
        path = run.get(finished.plan.dubbed).file.path
        pictures = {n: each.rgb() for n, each in enumerate(read_frames(path, probe(path))) if n in around}
    shown = seen.picture(side)
    found = {n: psnr_db(shown, rgb) for n, rgb in pictures.items()}
    best = max(found, key=lambda n: found[n])
    assert found[best] > 28
    return best


def test_a_click_on_a_warning_plays_from_there(browser: Any, finished: Finished) -> None:
    with opened_report(browser, finished.page) as seen:
        seen.page.click("#warnings [data-seek]")
        seen.until("!video.paused && !video.seeking")
        assert FACELESS.start * _FRAME_S <= seen.time_s < FACELESS.start * _FRAME_S + 0.5
        assert "passed through (no face)" in seen.page.inner_text("#frame")
        seen.until("video.ended || video.currentTime > 1.0")


def test_a_click_on_a_chart_or_a_moment_seeks(browser: Any, finished: Finished) -> None:
    with opened_report(browser, finished.page) as seen:
        strip = seen.page.locator("#strip")
        strip.click(position={"x": strip.bounding_box()["width"] / 2, "y": 40})
        assert seen.is_at(0.8)
        seen.page.select_option("#zoom", "5")  # longer than the film: no more is to be seen
        assert seen.value("strip.clientWidth === charts.clientWidth")
        seen.page.locator("#moments button").last.click()
        seen.until("video.currentTime >= 1.5")


def test_the_keyboard_does_it_all(browser: Any, finished: Finished) -> None:
    with opened_report(browser, finished.page) as seen:
        press = seen.page.keyboard.press
        press(".")
        assert seen.is_at(1.5 * _FRAME_S)
        press(".")
        press(",")
        assert seen.is_at(1.5 * _FRAME_S)
        press("ArrowRight")
        assert seen.is_at(1 + 1.5 * _FRAME_S)
        press("ArrowLeft")
        assert seen.is_at(1.5 * _FRAME_S)
        seen.page.focus("#scrub")  # elsewhere Home and End are the page's
        press("End")
        assert seen.is_at(1.6)
        press("Home")
        assert seen.is_at(0)
        press("Space")
        seen.until("!video.paused && video.currentTime > 0.1")
        press("Space")
        seen.until("video.paused")
        press("m")
        assert seen.value("video.muted") is True
        press("z")
        assert seen.value("find('before').height === film.closeUp[0]")


def test_a_range_is_looped(browser: Any, finished: Finished) -> None:
    with opened_report(browser, finished.page) as seen:
        seen.value("seek(0.4)")
        seen.page.click("#loop-from")
        seen.value("seek(0.7)")
        seen.page.click("#loop-to")
        assert seen.page.inner_text("#loop-said") == "Loop: 0:00.40 to 0:00.70"
        seen.value("video.addEventListener('seeking', () => { window.turns = (window.turns || 0) + 1; })")
        seen.page.click("#play")
        seen.until("window.turns >= 2")
        assert 0.4 - _FRAME_S <= seen.time_s <= 0.7 + 2 * _FRAME_S
        seen.page.click("#loop-off")
        seen.until("video.ended")


def test_a_loop_to_the_end_goes_round(browser: Any, finished: Finished) -> None:
    with opened_report(browser, finished.page) as seen:
        seen.value("seek(1.2)")
        seen.page.keyboard.press("[")
        assert seen.page.inner_text("#loop-said") == "Loop: 0:01.20 to 0:01.60"
        seen.value("video.addEventListener('ended', () => { window.turns = (window.turns || 0) + 1; })")
        seen.page.keyboard.press("Space")
        seen.until("window.turns >= 2")
        seen.page.keyboard.press("\\")
        seen.until("video.ended && video.paused")


def test_the_sources_sound_follows_the_picture(browser: Any, finished: Finished) -> None:
    with opened_report(browser, finished.page) as seen:
        seen.page.select_option("#sound", "source")
        seen.page.click("#play")
        seen.until("video.currentTime > 0.4")
        apart_s = seen.value("audio.currentTime - video.currentTime")
        assert abs(apart_s) < 0.15 and seen.value("video.muted && !audio.paused")


def test_names_do_nothing_but_stand_there(browser: Any, finished: Finished) -> None:
    with opened_report(browser, finished.page) as seen:
        shown = HOSTILE_NAME.replace("\udcff", "?").replace("\x07", "\ufffd")
        assert seen.page.locator("h1").text_content() == shown
        assert seen.page.locator("body img[src='x']").count() == 0


def test_controls_and_charts_have_names(browser: Any, finished: Finished) -> None:
    with opened_report(browser, finished.page) as seen:
        named = "(e) => (e.getAttribute('aria-label') || e.textContent || e.labels?.[0]?.textContent).trim()"
        for kind in ("button", "select", "canvas", "svg[role=img]", "input"):
            for each in seen.page.locator(f"#live {kind}").all():
                assert each.evaluate(named)
        assert seen.page.locator("table:not(:has(caption))").count() == 0
        assert seen.page.locator("main section:not([aria-labelledby])").count() == 0


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_any_width_in_any_light(browser: Any, finished: Finished, width: int, scheme: str) -> None:
    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    with opened_report(browser, finished.page, **options) as seen:
        assert seen.value("document.documentElement.scrollWidth") <= width
        picture = cv2.imdecode(np.frombuffer(seen.page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
        assert (picture[2, 2].mean() > 128) == (scheme == "light")


def test_a_film_beside_the_page_plays(
    browser: Any, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "MOST_EMBEDDED_BYTES", 0)
    page = tmp_path / "a #1 %2 é.html"
    finished.write(page)
    with opened_report(browser, page) as seen:
        seen.page.keyboard.press("Space")
        seen.until("video.currentTime > 0.3")
        assert len([url for url in seen.requests if url.endswith(".mp4")]) >= 1


def test_without_its_script_the_page_still_shows_the_film(browser: Any, finished: Finished) -> None:
    with opened(browser, finished.page, java_script_enabled=False) as seen:
        assert seen.page.locator("#film[controls]").is_visible()
        assert not seen.page.locator("#live").is_visible()
        assert seen.page.locator("#warnings").is_visible()


def test_an_index_is_sorted_searched_and_filtered(browser: Any, finished: Finished, tmp_path: Path) -> None:
    entries = [
        IndexEntry("b", "done", report=finished.page, warnings=("One.",), seconds=100),
        IndexEntry(HOSTILE_NAME, "failed", error="There is no video."),
        IndexEntry("a", "done", seconds=20),
    ]
    write_index(entries, tmp_path / "index.html")
    with opened(browser, tmp_path / "index.html") as seen:
        rows = seen.page.locator("#jobs tbody tr:visible")
        assert rows.count() == 3

        def names() -> list[str]:
            return [each[:1] for each in rows.locator("th").all_text_contents()]

        seen.page.get_by_role("button", name="Name").click()
        assert names() == ["<", "a", "b"]
        seen.page.get_by_role("button", name="Name").click()
        assert names() == ["b", "a", "<"]
        seen.page.get_by_role("button", name="Work").click()
        assert names() == ["a", "b", "<"]
        seen.page.select_option("#filter", "failed")
        assert names() == ["<"] and seen.page.inner_text("#counted") == "1 of 3 shown"
        seen.page.select_option("#filter", "all")
        seen.page.fill("#search", "ONE.")
        assert names() == ["b"]
        assert seen.page.locator("#jobs img").first.evaluate("(e) => e.naturalWidth > 0")
        seen.page.get_by_role("link", name="report").click()
        seen.until("document.getElementById('film').readyState >= 2")
