"""The page about one run, section by section."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dubber.engine.execute import StageReport
from dubber.evaluation.coverage import State, Stretch
from dubber.evaluation.quality import LEAST_AGREEMENT, Quality
from dubber.evaluation.quality_verdicts import NATURAL_LEAD_MS
from dubber.outcome import REASONS, DubResult
from dubber.report import charts
from dubber.report.clock import clock
from dubber.report.curves import Curve, MouthCurves
from dubber.report.facts import Rows
from dubber.report.html import FOOT, Child, Markup, data_block, document, name_of, prose, tag
from dubber.report.pictures import Moment
from dubber.report.player import Film, player
from dubber.report.summary import SUMMARY, Summary, data_url, summary_document, verdict_list


@dataclass(frozen=True)
class SpeakerTrack:
    """One speaker over the output's time.

    Attributes:
        name: Who; empty where there is one only.
        stretches: What was done.
        curves: Speech and mouth.
        seen: The mouth's opening as tracked in the finished file, px of the 384 crop; None where it was not.
    """

    name: str
    stretches: tuple[Stretch, ...]
    curves: MouthCurves
    seen: Curve | None


@dataclass(frozen=True)
class Contents:
    """All that a page shows.

    Attributes:
        summary: What a batch's index shows of it.
        result: The run's.
        film: Source and dub.
        tracks: Each speaker.
        quality: Measured on the finished file.
        outcome: See `facts.result_rows`, and so on.
    """

    summary: Summary
    result: DubResult
    film: Film
    tracks: tuple[SpeakerTrack, ...]
    quality: Quality
    outcome: Rows
    asked: Rows
    settings: Rows
    labels: Rows
    weights: Rows
    versions: Rows


def report_page(contents: Contents) -> str:
    """The page as HTML."""
    result, summary = contents.result, contents.summary
    heading = tag(
        "header",
        tag("a", "To the player", href="#player", class_="skip"),
        tag("h1", name_of(summary.name)),
        tag(
            "p",
            f"{result.num_dubbed_frames} of {result.num_frames} frames dubbed · "
            f"{clock(result.duration_s)} · {_work(result)} · "
            f"{_counted(len(_notes(result)), 'warning')}",
            class_="quiet",
        ),
        verdict_list(summary.verdicts),
    )
    main = tag(
        "main",
        _section("player", "Before and after", player(contents.film, _timeline(contents))),
        _section("warnings", "Warnings", _warnings(result)),
        _section("quality", "Quality", _quality(contents.quality)),
        _section("moments", "Moments", _moments(contents.film)),
        _section("outcome", "The result", _rows_table("What was made", contents.outcome)),
        _section("asked", "What was asked", _asked(contents)),
        _section("label", "Label and consent", _rows_table("What the file says of itself", contents.labels)),
        _section("stages", "Time of each stage", _stages(result.stages)),
        _section("made-with", "Made with", _made_with(contents)),
    )
    foot = tag("footer", tag("p", FOOT))
    return document(
        f"{summary.name} – dubber report",
        "report.js",
        [heading, main, foot, data_block(SUMMARY, summary_document(summary))],
    )


def rows_table(caption: str, header: Sequence[str], rows: Rows) -> Markup:
    """A table whose first column names the row."""
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in header])) if header else None
    body = [
        tag("tr", tag("th", first, scope="row"), [tag("td", tag("bdi", cell)) for cell in rest])
        for first, *rest in rows
    ]
    table = tag(
        "table",
        tag("caption", caption),
        head,
        tag("tbody", body),
        class_="stacked" if header else "stacked facts",
    )
    return tag("div", table, class_="wide")


def _rows_table(caption: str, rows: Rows) -> Markup:
    return rows_table(caption, (), rows)


def _section(identifier: str, title: str, content: Child) -> Markup:
    name = f"{identifier}-title"
    return tag("section", tag("h2", title, id=name), content, id=identifier, aria_labelledby=name)


def _counted(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"


def _timeline(contents: Contents) -> Markup:
    """Charts over time, one above the other; the player's script moves a line through them."""
    duration_s = contents.result.duration_s
    rows: list[Child] = []
    for track in contents.tracks:
        rows += [tag("p", name_of(track.name), class_="who")] if track.name else []
        rows += [
            charts.coverage_bar(track.stretches, duration_s),
            charts.curve_chart(track.curves, track.seen, duration_s),
        ]
    strip = tag(
        "div",
        rows,
        tag("div", id="axis", class_="axis", aria_hidden="true"),
        tag("div", id="loop-shade", class_="shade", hidden=True),
        tag("div", id="head", class_="head"),
        id="strip",
        class_="strip",
    )
    shown: list[State] = [each.state for track in contents.tracks for each in track.stretches]
    has_seen = any(track.seen is not None for track in contents.tracks)
    return Markup(
        tag("h3", "Over time")
        + tag(
            "div",
            strip,
            id="charts",
            class_="charts",
            tabindex="0",
            role="group",
            aria_label="Charts over time",
        )
        + charts.legend(shown)
        + charts.curve_legend(has_seen=has_seen)
        + tag("details", tag("summary", "The same as a table"), _stretch_table(contents.tracks))
    )


def _stretch_table(tracks: Sequence[SpeakerTrack]) -> Markup:
    rows = [
        (
            f"{clock(each.start_s)} to {clock(each.end_s)}",
            f"{track.name}: {each.words}" if track.name else each.words,
            f"{each.start} to {each.stop - 1}",
            _mean_opening(track.curves.wanted, each),
        )
        for track in tracks
        for each in track.stretches
    ]
    header = ("Time", "What was done", "Frames", "Mean wanted opening, px")
    kept = tuple(rows[:MOST_ROWS])
    table = rows_table("What was done to the mouth, and how wide it was to open", header, kept)
    left_out = len(rows) - len(kept)
    return (
        table
        if not left_out
        else Markup(table + tag("p", f"{left_out} more are not listed.", class_="quiet"))
    )


MOST_ROWS = 500
"""Of a list: beyond it nobody reads, and a page of a long film stays small."""


def _mean_opening(curve: Curve, stretch: Stretch) -> str:
    is_in_B = (curve.times_s_B >= stretch.start_s) & (curve.times_s_B < stretch.end_s)
    known = curve.values_B[is_in_B & np.isfinite(curve.values_B)]
    return f"{known.mean():.1f}" if len(known) else "–"


def _notes(result: DubResult) -> list[str]:
    return [*result.warnings, *(REASONS[each.why] for each in result.passed_through)]


def _warnings(result: DubResult) -> Child:
    if not _notes(result):
        return tag("p", "There were none.")
    said = [tag("li", prose(warning)) for warning in result.warnings]
    spans = [
        tag(
            "li",
            tag(
                "button",
                f"{clock(each.start_s)} to {clock(each.end_s)}",
                type="button",
                data_seek=_seek(each.start_s),
                aria_label=f"Play from {clock(each.start_s)}: left as it was, {REASONS[each.why]}",
            ),
            tag("span", f"left as it was: {REASONS[each.why]}"),
        )
        for each in result.passed_through[:MOST_ROWS]
    ]
    left_out = len(result.passed_through) - len(spans)
    return [
        tag("ul", said, class_="said") if said else None,
        tag("ul", spans, class_="spans") if spans else None,
        tag("p", f"{left_out} more are not listed.", class_="quiet") if left_out else None,
    ]


def _seek(time_s: float) -> str:
    """A place that the player goes to: just inside its frame."""
    return f"{time_s + 0.001:.4f}"


def _quality(quality: Quality) -> Child:
    rows = [
        tag(
            "tr",
            tag("th", each.name.capitalize(), scope="row"),
            tag("td", tag("span", each.verdict, class_=f"verdict {each.verdict}")),
            tag("td", _value(each.value, each.unit), class_="number"),
            tag("td", prose(each.words)),
        )
        for each in quality.figures
    ]
    names = {"Figure": None, "Verdict": None, "Value": "number", "In words": None}
    header = [tag("th", name, scope="col", class_=kind) for name, kind in names.items()]
    caption = f"Measured in the finished file: {quality.num_frames_seen} of its frames were looked at"
    head = tag("thead", tag("tr", header))
    table = tag("table", tag("caption", caption), head, tag("tbody", rows), class_="stacked")
    return [tag("div", table, class_="wide"), _offsets(quality)]


_FORMS: dict[str, Callable[[float], str]] = {
    "r": "{:.2f} of 1".format,
    "x": "{:.2f} times".format,
    "ms": lambda value: f"{round(value):+d} ms",  # "+0", never "-0"
    "dB": "{:.0f} dB".format,
}
"""How numbers of each unit are written."""


def _value(value: float | None, unit: str) -> str:
    return "–" if value is None else _FORMS[unit](value)


def _offsets(quality: Quality) -> Child:
    offset = quality.av_offset
    best = None if offset is None else offset.voice or offset.wanted
    if offset is None or best is None:
        return tag("p", "Too little visible speech for a plot of the offset between picture and sound.")
    has_voice = offset.voice is not None
    natural_ms = NATURAL_LEAD_MS if has_voice else 0.0  # filmed mouths are that early, and not to be blamed
    late_ms, curve = offset.offsets_s_L * 1000 + natural_ms, offset.voice_L if has_voice else offset.wanted_L
    is_sure = best[0] >= LEAST_AGREEMENT
    note = "The agreement is low everywhere: its largest value says nothing of an offset."
    return [
        tag("h3", "Picture against sound"),
        charts.offset_plot(late_ms, curve, (best[1] * 1000 + natural_ms, best[0]) if is_sure else None),
        None if is_sure else tag("p", note, class_="quiet"),
    ]


def _moments(film: Film) -> Child:
    if not film.moments:
        return tag("p", "Nothing was dubbed.")
    note = tag("p", "Above the source, below the dub. A click plays from there.", class_="quiet")
    return [note, tag("ul", [tag("li", _moment(each)) for each in film.moments], class_="moments")]


def _moment(moment: Moment) -> Markup:
    height, width = moment.size
    pictures = [
        tag("img", src=data_url("image/jpeg", jpeg), alt=said, width=width, height=height)
        for jpeg, said in ((moment.before, "The source's mouth"), (moment.after, "The dub's mouth"))
    ]
    at = clock(moment.time_s)
    said = f"Play from {at}, frame {moment.n}"
    return tag(
        "button", pictures, tag("span", at), type="button", data_seek=_seek(moment.time_s), aria_label=said
    )


def _asked(contents: Contents) -> Child:
    header = ("Setting", "Value", "Default")
    return [
        _rows_table("Files and lines", contents.asked),
        rows_table("Settings that are not the defaults", header, contents.settings)
        if contents.settings
        else tag("p", "All settings are the defaults."),
    ]


def _stages(stages: Sequence[StageReport]) -> Child:
    longest_s = max([stage.seconds for stage in stages if not stage.is_hit], default=0.0) or 1.0
    rows = [tag("tr", *_stage_cells(stage, longest_s)) for stage in stages]
    names = {"Stage": None, "Seconds": "number", "Processor seconds": "number", "Share of the longest": None}
    header = [tag("th", name, scope="col", class_=kind) for name, kind in names.items()]
    caption = "Stages work beside each other: their times do not add up to the run's"
    if _is_all_known(stages):
        caption = "An earlier run had done all of them; this one took what they had made from the cache"
    return tag(
        "div",
        tag("table", tag("caption", caption), tag("thead", tag("tr", header)), tag("tbody", rows)),
        class_="wide",
    )


def _work(result: DubResult) -> str:
    """What the run took, in words."""
    if _is_all_known(result.stages):
        return "made by an earlier run, taken from the cache"
    return f"{result.seconds:.0f} s of work"


def _is_all_known(stages: Sequence[StageReport]) -> bool:
    """Whether the cache had everything."""
    return all(stage.is_hit for stage in stages)


def _stage_cells(stage: StageReport, longest_s: float) -> Iterator[Markup]:
    yield tag("th", stage.name, scope="row")
    if stage.is_hit:
        yield tag("td", "from the cache", class_="quiet", colspan=3)
        return
    yield tag("td", f"{stage.seconds:.1f}", class_="number")
    yield tag("td", f"{stage.cpu_s:.1f}", class_="number")
    yield tag("td", charts.share_bar(stage.seconds / longest_s))


def _made_with(contents: Contents) -> Child:
    header = ("Weights", "Licence", "Commercial use", "sha256")
    return [
        rows_table("Weights that the stages read", header, contents.weights),
        rows_table("Versions", ("Program", "Version"), contents.versions),
    ]
