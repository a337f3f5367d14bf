from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dubber.errors import MediaError
from dubber.media.edits import SENTENCE, Edits, changed_ranges, edits_in, read_edits, untouched_ranges
from dubber.media.mux import mux
from dubber.media.mux_job import Words
from dubber.media.stream_plan import StreamPlan
from dubber.media.streams import source_streams
from dubber.types import Timeline
from tests.media.clips import write_clip, write_tone


def timeline(num_frames: int) -> Timeline:
    """At 25 frames a second, beginning at 2 s; the last one is shown for 60 ms."""
    pts_N = np.arange(50, 50 + num_frames, dtype=np.int64) * 40
    return Timeline("cut_off", pts_N, int(pts_N[-1]) + 60, Fraction(1, 1000), np.arange(num_frames), 1.0)


def test_ranges_begin_and_end_with_the_frames_that_were_changed() -> None:
    is_changed_N = np.zeros(10, np.bool_)
    assert changed_ranges(is_changed_N, timeline(10)) == ()
    is_changed_N[[0, 1, 5, 9]] = True
    assert changed_ranges(is_changed_N, timeline(10)) == ((0.0, 0.08), (0.2, 0.24), (0.36, 0.42))
    assert changed_ranges(np.ones(10, np.bool_), timeline(10)) == ((0.0, 0.42),)


def test_of_very_many_ranges_the_nearest_are_joined_and_none_is_lost() -> None:
    is_changed_N = np.arange(3000) % 2 == 0
    is_changed_N[1000:1100] = False
    ranges = changed_ranges(is_changed_N, timeline(3000))
    assert len(ranges) == 400
    frames_s = timeline(3000).times_s_N
    inside = np.zeros(3000, np.bool_)
    for start, end in ranges:
        inside |= (frames_s > start - 1e-4) & (frames_s < end - 1e-4)
    assert inside[is_changed_N].all()
    assert not inside[1001:1099].any()  # the widest gap stays one
    assert len(Edits(dubber="1", duration_s=120.0, pictures=ranges, sound=ranges).line()) < 20_000


def test_of_very_many_untouched_ranges_the_longest_are_told_and_nothing_more() -> None:
    is_untouched_N = np.arange(3000) % 3 == 0
    is_untouched_N[1000:1100] = True
    ranges = untouched_ranges(is_untouched_N, timeline(3000))
    assert len(ranges) == 100 and list(ranges) == sorted(ranges)
    assert (39.96, 44.0) in ranges
    told_s = sum(end - start for start, end in ranges)
    assert told_s == pytest.approx(4.04 + 99 * 0.04)  # none is joined with what lies between


def test_a_line_is_read_back_whoever_wrote_around_it() -> None:
    edits = Edits(
        dubber="1.2", duration_s=3.5, pictures=((0.1, 0.2),), mark="ИИ", consent='Zoë "Z"\n{}; #=\\'
    )
    line = edits.line()
    assert line.isascii() and "\n" not in line and line.startswith(SENTENCE)
    assert edits_in(f"Shot on a phone\n{line}\nmore") == (edits,)
    assert edits_in("Shot on a phone") == ()


@pytest.mark.parametrize(
    "data", ["", " {", " {}", ' {"dubber":1}', ' {"dubber":"1","duration_s":1e999}', " []"]
)
def test_a_sentence_without_its_data_still_tells_of_an_edit(data: str) -> None:
    assert edits_in(SENTENCE + data) == (Edits(dubber="", duration_s=0.0),)


def test_what_later_versions_add_is_passed_over() -> None:
    assert edits_in(SENTENCE + ' {"dubber":"9","duration_s":1,"new":[1]}') == (
        Edits(dubber="9", duration_s=1.0),
    )


def test_a_film_that_is_edited_twice_says_both(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [512 * n for n in range(12)])
    tone = write_tone(tmp_path / "t.wav", 0.48)
    passes = [Edits(dubber=str(n), duration_s=0.48, sound=((0.1 * n, 0.4),)) for n in (1, 2)]
    for n, edits in enumerate(passes):
        source = source_streams(path, Fraction(0))
        output = tmp_path / f"pass{n}.mp4"
        words = Words(edits=edits)
        mux(path, tone, output, heard_s=0.48, output_s=0.48, source=source, streams=StreamPlan(), words=words)
        path = output
    assert read_edits(path) == tuple(passes)
    with pytest.raises(MediaError):
        read_edits(tmp_path / "absent.mp4")
