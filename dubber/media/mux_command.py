"""The argument list with which ffmpeg joins pictures, speech and a source's other streams.

Every input keeps its own clock (`-copyts`) and is moved by what lies before its time 0: nothing depends
on how a version of ffmpeg guesses where a file begins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from dubber.media import formats
from dubber.media.edits import PROVIDER, SENTENCE, edit_lines
from dubber.media.languages import is_three_letters
from dubber.media.mux_job import MuxJob
from dubber.media.stream_plan import KeptStream
from dubber.media.streams import Chapter, Kind

_MIN_LEAD_S = 0.01
"""Half a packet; the few ms before time 0 that a decoder needs are no sound to leave out."""

_MIN_OPUS_LEAD_S = 0.001

_MAX_CLAMPED_S = 0.5
"""Subtitles that are shown at most so long before the first picture are shown from the first picture on."""

_LETTERS: dict[Kind, str] = {
    "audio": "a",
    "subtitle": "s",
    "video": "v",
    "cover": "v",
    "data": "d",
    "attachment": "t",
}

_MOST_CHANNELS = 8
_LAYOUTS = "mono|stereo|5.1|7.1"
"""Channel layouts that all encoders take; others get the next larger one."""

_OF_CODING = (
    "encoder",
    "duration",
    "rotate",
    "timecode",
    "bps",
    "number_of_frames",
    "number_of_bytes",
    "alpha_mode",
)
"""Metadata that tell how a stream was coded, which is no longer so (names may end in a language)."""
_OF_CONTAINER = ("major_brand", "minor_version", "compatible_brands", "encoder", "timecode")
_OF_QUICKTIME_ONLY = ("handler_name", "vendor_id")


def mux_command(job: MuxJob) -> list[str]:
    """The argument list that makes a file without touching its pictures.

    Args:
        job: What is joined.
    """
    arguments = [job.executable, "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-copyts"]
    arguments += [
        *_inputs(job),
        "-map",
        "0:v:0",
        "-c:v:0",
        "copy",
        "-map",
        f"1:{job.sound.info.track}",
        *_speech(job),
    ]
    arguments += _kept_streams(job)
    arguments += _metadata(job)
    if job.has_alpha:
        arguments += ["-metadata:s:v:0", "alpha_mode=1"]
    if job.last_duration is not None and job.container in formats.QUICKTIME:
        # Of the durations MP4 is given it uses the last packet's only, so all may be set to that.
        arguments += ["-bsf:v:0", f"setts=pts=PTS:dts=DTS:duration={job.last_duration}"]
    if job.container in formats.QUICKTIME:
        arguments += ["-movflags", "+faststart" + ("+use_metadata_tags" if _has_apple_tags(job) else "")]
    if job.container == "ts":
        arguments += ["-muxdelay", "0", "-muxpreload", "0"]
    # Bit-exact: the same inputs give the same bytes, without dates and version strings.
    arguments += ["-fflags", "+bitexact", "-flags:a", "+bitexact", "-max_muxing_queue_size", "4096"]
    arguments += _end(job)
    return [*arguments, "-f", formats.MUXERS[job.container], f"file:{job.output}"]


def chapters_text(chapters: Iterable[Chapter]) -> str:
    """Chapters as FFmpeg's metadata files have them."""
    lines = [";FFMETADATA1"]
    for chapter in chapters:
        start, end = (round(seconds * 1_000_000) for seconds in (chapter.start_s, chapter.end_s))
        lines += ["[CHAPTER]", "TIMEBASE=1/1000000", f"START={start}", f"END={end}"]
        if chapter.title:
            escaped = "".join(f"\\{c}" if c in "=;#\\\n" else c for c in chapter.title)
            lines.append(f"title={escaped}")
    return "\n".join(lines) + "\n"


def _inputs(job: MuxJob) -> list[str]:
    arguments = ["-i", f"file:{job.video}"]
    arguments += ["-itsoffset", f"{-job.sound.info.zero_s:.9f}", "-i", f"file:{job.audio}"]
    if job.source is not None:
        arguments += ["-itsoffset", f"{-float(job.source.zero_s):.9f}", "-i", f"file:{job.source.path}"]
    if job.streams.chapters:
        arguments += ["-f", "ffmetadata", "-i", f"file:{job.chapters}"]
    return arguments


def _end(job: MuxJob) -> list[str]:
    """Where all streams end, if some would last longer than they should."""
    speech_s = job.sound.heard_s if job.sound.is_copied else None
    if speech_s is None and job.streams.until_s is None:
        return []
    lengths_s = (speech_s, job.streams.until_s, job.sound.output_s)
    return ["-t", f"{max(seconds for seconds in lengths_s if seconds is not None):.6f}"]


def _speech(job: MuxJob) -> list[str]:
    sound, info = job.sound, job.sound.info
    if sound.is_copied:
        arguments = _copied_audio(job, 0, info.codec, info.lead_s)
    else:
        cut = [] if sound.heard_s is None else [f"atrim=end={sound.heard_s:.6f}"]
        ends = [*cut, f"apad=whole_dur={sound.output_s:.6f}"]
        arguments = _encoded_audio(0, sound.codec, (info.codec, info.num_channels, info.sample_rate_hz), ends)
    language = _language(job, job.words.language)
    for name, value in (("language", language), ("title", job.words.title)):
        if value:
            arguments += ["-metadata:s:a:0", f"{name}={value}"]
    return [*arguments, "-disposition:a:0", "default"]


def _kept_streams(job: MuxJob) -> list[str]:
    arguments: list[str] = []
    numbers = Counter({"v": 1, "a": 1})
    for kept in job.streams.kept:
        if kept.stream in job.attached_covers:
            continue
        letter = _LETTERS[kept.stream.kind]
        number = numbers[letter]
        numbers[letter] += 1
        place = f"{letter}:{number}"
        arguments += ["-map", f"2:{kept.stream.index}"]
        arguments += [f"-map_metadata:s:{place}", f"2:s:{kept.stream.index}"]
        arguments += _kept_stream(job, kept, number, place)
        arguments += _cleared(f"s:{place}", _noise(job, kept))
        if job.container in formats.THREE_LETTERS and kept.stream.language:
            # Of a longer word FFmpeg would take the first letters.
            tag = kept.stream.language if is_three_letters(kept.stream.language) else "und"
            arguments += [f"-metadata:s:{place}", f"language={_language(job, tag)}"]
        if letter in "av":
            disposition = "attached_pic" if kept.stream.kind == "cover" else "-default"
            arguments += [f"-disposition:{place}", disposition]
    for number, cover in enumerate(job.attached_covers, start=numbers["t"]):
        suffix, mime_type = formats.IMAGE_TYPES[cover.codec]
        arguments += ["-attach", f"file:{job.cover_file(cover)}"]
        arguments += [f"-metadata:s:t:{number}", f"filename={cover.title or f'cover.{suffix}'}"]
        arguments += [f"-metadata:s:t:{number}", f"mimetype={mime_type}"]
    return arguments


def _language(job: MuxJob, language: str) -> str:
    """The tag that a container's list of languages has."""
    return formats.QUICKTIME_TAGS.get(language, language) if job.container == "mov" else language


def _kept_stream(job: MuxJob, kept: KeptStream, number: int, place: str) -> list[str]:
    stream, source = kept.stream, job.source
    assert source is not None  # noqa: S101 - told to the type checker: streams are kept of a source
    lead_s = float(source.zero_s) - source.start_s
    if stream.kind == "audio" and kept.codec == "copy":
        return _copied_audio(job, number, stream.codec, lead_s)
    if stream.kind == "audio":
        kind = (stream.codec, stream.num_channels, stream.sample_rate_hz)
        return _encoded_audio(number, kept.codec, kind, [])
    arguments = [f"-c:{place}", kept.codec]
    has_edits = job.container in formats.QUICKTIME
    if stream.kind == "subtitle" and 0 < lead_s <= _MAX_CLAMPED_S:
        return [*arguments, f"-bsf:{place}", "setts=pts=max(PTS\\,0):dts=max(DTS\\,0)"]
    if stream.kind in ("subtitle", "data") or (stream.kind == "video" and not has_edits):
        # Pictures go from their first keyframe on: FFmpeg copies none of those that need an earlier one.
        return [*arguments, f"-copypriorss:{place}", "0"]
    return arguments


def _copied_audio(job: MuxJob, number: int, codec: str, lead_s: float) -> list[str]:
    arguments = [f"-c:a:{number}", "copy"]
    is_hidden = job.container in formats.QUICKTIME and lead_s <= _MIN_LEAD_S
    # What Opus decodes before its begin is known to Matroska, and nothing else may be there.
    is_known = codec == "opus" and job.container in formats.MATROSKA and lead_s <= _MIN_OPUS_LEAD_S
    if not is_hidden and not is_known:
        # Packets before time 0 would make the pictures of most containers start later.
        arguments += [f"-copypriorss:a:{number}", "0"]
    return arguments


def _encoded_audio(number: int, encoder: str, kind: tuple[str, int, int], ends: list[str]) -> list[str]:
    """Encode sound of a (codec, channels, rate); it begins at time 0, with silence where it begins later."""
    codec, num_channels, rate_hz = kind
    chain = ["aresample=async=1:first_pts=0"]
    if codec.startswith(("pcm_f32", "pcm_f64")):
        # Floating point may hold what is no number, which encoders refuse.
        chain.insert(0, "aeval=if(isnan(val(ch))+isinf(val(ch))\\,0\\,val(ch)):c=same")
    if num_channels > _MOST_CHANNELS:  # no loudspeakers: microphones, whose mean is heard
        mean = "+".join(f"{1 / num_channels:.6f}*c{number}" for number in range(num_channels))
        chain.append(f"pan=mono|c0={mean}")
    if not encoder.startswith("pcm"):
        chain.append(f"aformat=channel_layouts={_LAYOUTS}")
    chain += ends
    arguments = [f"-c:a:{number}", encoder, f"-filter:a:{number}", ",".join(chain)]
    if rate := formats.bit_rate(encoder, num_channels):
        arguments += [f"-b:a:{number}", rate]
    if (limit_hz := formats.encoded_rate(encoder, rate_hz)) is not None:
        arguments += [f"-ar:a:{number}", str(limit_hz)]
    return arguments


def _metadata(job: MuxJob) -> list[str]:
    source = job.source
    chapters = ["-map_chapters", "3" if job.streams.chapters else "-1"]
    if source is None:
        nothing = ["-map_metadata", "-1", "-map_metadata:s:v:0", "-1", "-map_metadata:s:a:0", "-1"]
        return [*chapters, *nothing, *_label(job, "")]
    arguments = [*chapters, "-map_metadata", "2", "-map_metadata:s:v:0", f"2:s:{source.video}"]
    arguments += ["-map_metadata:s:a:0", "-1"]
    arguments += _cleared("s:v:0", _coding_names(job, source.video_metadata))
    arguments += _cleared("g", [name for name in source.metadata if name.lower() in _OF_CONTAINER])
    timecode = source.video_metadata.get("timecode") or source.metadata.get("timecode")
    if job.streams.keeps_timecode and timecode:
        arguments += ["-metadata:s:v:0", f"timecode={timecode}"]
    own = [text for name, text in source.metadata.items() if name.lower() == "comment"]
    return [*arguments, *_label(job, "\n".join(own))]


def _label(job: MuxJob, comment: str) -> list[str]:
    """What the file says of its being edited, beneath the source's own comment and its earlier edits."""
    edits = job.words.edits
    if edits is None:
        return []
    if job.container == "ts":
        return ["-metadata", f"{PROVIDER}={SENTENCE}"]
    earlier = edit_lines(comment)
    own = [line for line in comment.splitlines() if line not in earlier]
    return ["-metadata", "comment=" + "\n".join([*own, *earlier, edits.line()])]


def _cleared(place: str, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield from (f"-metadata:{place}", f"{name}=")


def _noise(job: MuxJob, kept: KeptStream) -> list[str]:
    """Names of a kept stream's metadata that do not fit where it goes."""
    names = [] if job.container in formats.QUICKTIME else list(_OF_QUICKTIME_ONLY)
    return names if kept.codec == "copy" else [*names, "encoder"]


def _coding_names(job: MuxJob, metadata: dict[str, str]) -> list[str]:
    found = [
        name
        for name in metadata
        if name.lower().split("-")[0] in _OF_CODING or name.upper().startswith("_STATISTICS")
    ]
    return found if job.container in formats.QUICKTIME else [*found, *_OF_QUICKTIME_ONLY]


def _has_apple_tags(job: MuxJob) -> bool:
    """Cameras and phones write names that MP4 holds only in Apple's list of names."""
    metadata = {} if job.source is None else job.source.metadata
    return any(name.startswith(("com.apple.", "com.android.")) for name in metadata)
