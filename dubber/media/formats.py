"""What the containers that dubber writes can hold, by FFmpeg's names of the codecs.

Tried with FFmpeg 5.1 and 9.0: what is written here is read back with its packets unchanged.
"""

from __future__ import annotations

from dubber.errors import ConfigError

CONTAINERS = ("mp4", "mov", "m4v", "mkv", "webm", "avi", "ts")

MUXERS = {
    "mp4": "mp4",
    "mov": "mov",
    "m4v": "mp4",
    "mkv": "matroska",
    "webm": "webm",
    "avi": "avi",
    "ts": "mpegts",
}
"""FFmpeg's names; its own guess for .m4v is a bare MPEG-4 stream."""

USUAL_CHANNELS = (1, 2, 6, 8)
"""Mono, stereo, 5.1, 7.1: layouts whose number of channels says which they are."""

QUICKTIME = ("mp4", "mov", "m4v")
"""Containers with edit lists, which hide what lies before time 0."""

MATROSKA = ("mkv", "webm")

_PCM = ("pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le")
_PCM_OF_MOV = (*_PCM, "pcm_s16be", "pcm_s24be", "pcm_s32be", "pcm_f32be", "pcm_f64be", "pcm_u8")
_PCM_OF_MKV = (*_PCM, "pcm_s16be", "pcm_s24be", "pcm_s32be", "pcm_u8", "pcm_alaw", "pcm_mulaw")
_OF_MP4 = ("aac", "mp3", "ac3", "eac3", "alac")

PLAYED_AUDIO: dict[str, tuple[str, ...]] = {
    "mp4": _OF_MP4,
    "m4v": _OF_MP4,
    "mov": (*_OF_MP4, *_PCM_OF_MOV),
    "mkv": (*_OF_MP4, "flac", "opus", "vorbis", "mp2", "dts", "truehd", *_PCM_OF_MKV),
    "webm": ("opus", "vorbis"),
    "avi": ("ac3", "pcm_s16le"),
    "ts": ("aac", "mp3", "mp2", "ac3", "eac3", "dts"),
}
"""Sound that players expect in a container; other sound is encoded."""

HELD_AUDIO: dict[str, tuple[str, ...]] = {
    **PLAYED_AUDIO,
    "mp4": (*_OF_MP4, "mp2", "opus", "flac", "dts", "vorbis"),
    "m4v": (*_OF_MP4, "mp2", "opus", "flac", "dts", "vorbis"),
    "mkv": (*PLAYED_AUDIO["mkv"], "wavpack", "tta", "wmav1", "wmav2", "adpcm_ms", "adpcm_ima_wav"),
    "avi": (),
}
"""Sound that a container can hold, for tracks that were there before: better kept than encoded again.

AVI has no times for sound: what does not begin with the pictures must become samples, silence before them.
"""

SUBTITLES: dict[str, tuple[str, ...]] = {
    "mp4": ("mov_text", "dvd_subtitle"),
    "m4v": ("mov_text", "dvd_subtitle"),
    "mov": ("mov_text",),
    "mkv": ("subrip", "ass", "webvtt", "dvd_subtitle", "hdmv_pgs_subtitle", "dvb_subtitle"),
    "webm": ("webvtt",),
    "avi": (),
    "ts": ("dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle"),
}

TEXT_SUBTITLES = ("subrip", "ass", "webvtt", "mov_text", "text", "subviewer", "microdvd", "eia_608")
"""Those that FFmpeg can turn into each other."""

TEXT_OF = {"mp4": "mov_text", "m4v": "mov_text", "mov": "mov_text", "mkv": "subrip", "webm": "webvtt"}
"""What a container holds text subtitles as."""

_MODERN_VIDEO = ("h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg")
VIDEO: dict[str, tuple[str, ...]] = {
    "mp4": _MODERN_VIDEO,
    "m4v": _MODERN_VIDEO,
    "mov": (*_MODERN_VIDEO, "prores", "dnxhd"),
    "mkv": (*_MODERN_VIDEO, "prores", "vp8", "ffv1", "theora"),
    "webm": ("vp8", "vp9", "av1"),
    "avi": (),
    "ts": (),
}
"""Further videos beside the dubbed one. AVI and transport streams do not say which one is meant."""

COVERS: dict[str, tuple[str, ...]] = {
    "mp4": ("mjpeg", "png", "bmp"),
    "m4v": ("mjpeg", "png", "bmp"),
    "mkv": ("mjpeg", "png", "bmp", "gif", "tiff", "webp"),
}

IMAGE_TYPES = {
    "mjpeg": ("jpg", "image/jpeg"),
    "png": ("png", "image/png"),
    "bmp": ("bmp", "image/bmp"),
    "gif": ("gif", "image/gif"),
    "tiff": ("tiff", "image/tiff"),
    "webp": ("webp", "image/webp"),
}
"""Suffix and MIME type of pictures, which Matroska holds as attached files."""

DATA: dict[str, tuple[str, ...]] = {
    "ts": ("klv", "timed_id3"),
    "mp4": ("bin_data",),
    "mov": ("bin_data",),
    "m4v": ("bin_data",),
}
"""Tracks of measurements. FFmpeg takes those into MP4 whose four letters it knows (GoPro's "gpmd")."""

ATTACHMENTS = ("mkv",)
CHAPTERS = ("mp4", "mov", "m4v", "mkv", "webm")
TIMECODES = ("mp4", "mov", "m4v", "mkv", "webm")
LANGUAGES = ("mp4", "m4v", "mkv", "webm", "ts")
"""Containers that can say any language; QuickTime knows about a hundred."""
THREE_LETTERS = ("mp4", "m4v", "mov", "ts")
"""Containers that say a language by its ISO 639-2 tag only; Matroska's tags may be any."""

BIBLIOGRAPHIC = {
    "sqi": "alb",
    "hye": "arm",
    "eus": "baq",
    "mya": "bur",
    "zho": "chi",
    "ces": "cze",
    "nld": "dut",
    "fra": "fre",
    "kat": "geo",
    "deu": "ger",
    "ell": "gre",
    "isl": "ice",
    "mkd": "mac",
    "mri": "mao",
    "msa": "may",
    "fas": "per",
    "ron": "rum",
    "slk": "slo",
    "bod": "tib",
    "cym": "wel",
}
"""The twenty languages that ISO 639-2 has two tags for: the native one and that of libraries."""

QUICKTIME_TAGS = {
    native: tag
    for native, tag in BIBLIOGRAPHIC.items()
    if native not in ("ces", "fra", "mri", "fas", "ron", "slk")
}
"""What FFmpeg's list of QuickTime's languages calls otherwise. Source: libavformat/isom.c."""

_SAMPLE_RATES = {"aac": 96000, "libopus": 48000}
_BIT_RATES = {1: "128k", 2: "192k", 6: "448k", 8: "640k"}
"""Near transparent for AAC and Opus, which takes at most 256 kbit/s for each channel.

More than eight channels are no loudspeakers and become one.
"""

_HARDWARE = tuple(f"{kind}_{by}" for kind in ("h264", "hevc") for by in ("nvenc", "qsv", "videotoolbox"))
_VIDEO_OF_WEBM = ("libvpx", "libvpx-vp9", "libaom-av1", "libsvtav1")
_NOT_FOR_AVI = ("libx264", "libx265", *_HARDWARE, *_VIDEO_OF_WEBM)
"""AVI stores no frame times, so it cannot hold frames that are coded in another order than they are shown."""
_VIDEO_OF_TS = ("libx264", "libx265", *_HARDWARE, "mpeg4")

_LARGEST_CRF = {"libx264": 51, "libx265": 51, "mpeg4": 31} | dict.fromkeys(_HARDWARE, 51)


_KNOWN_AS = {"srt": "subrip", "ssa": "ass", "vtt": "webvtt", "dca": "dts", "libopus": "opus"}


def codec_name(decoder: str) -> str:
    """The codec that a decoder of FFmpeg decodes."""
    return _KNOWN_AS.get(decoder, decoder.removesuffix("float"))  # "mp3float" decodes MP3


def audio_encoder(container: str) -> str:
    """What sound is encoded with where a container cannot take it as it is.

    AVI has no times for sound and Matroska none before 0, so AAC's delay could not be taken out again: they
    get plain or losslessly coded samples.
    """
    return {"webm": "libopus", "avi": "pcm_s16le", "mkv": "flac"}.get(container, "aac")


def bit_rate(encoder: str, num_channels: int) -> str:
    """For an encoder and so many channels; empty where it has none."""
    if encoder == "flac" or encoder.startswith("pcm"):
        return ""
    return next((rate for count, rate in _BIT_RATES.items() if num_channels <= count), _BIT_RATES[1])


def encoded_rate(encoder: str, sample_rate_hz: int) -> int | None:
    """The sample rate to encode at; None for the encoder's own choice, which is the nearest that it takes."""
    limit = _SAMPLE_RATES.get(encoder)
    return 48000 if limit is not None and sample_rate_hz > limit else None


def check_container(container: str, codec: str, crf: int | None = None) -> None:
    """Refuse pairs of container and video codec that no player takes, and qualities beyond a codec's scale.

    Args:
        container: Suffix of the output.
        codec: FFmpeg's name of the video encoder.
        crf: The wanted quality.

    Raises:
        ConfigError: Unknown container, or the codec does not belong in it, or it has no such quality.
    """
    if container not in CONTAINERS:
        advice = f"Choose an output name that ends in one of: {', '.join('.' + name for name in CONTAINERS)}."
        raise ConfigError(f"Files of kind '.{container}' cannot be written.", where="-o", advice=advice)
    refusals = {
        "webm": (
            codec in _VIDEO_OF_WEBM,
            "Choose `--vcodec libvpx-vp9`, or an output name that ends in .mp4.",
        ),
        "avi": (codec not in _NOT_FOR_AVI, "Choose `--vcodec mpeg4`, or an output name that ends in .mp4."),
        "ts": (codec in _VIDEO_OF_TS, "Choose `--vcodec libx264`, or an output name that ends in .mkv."),
    } | dict.fromkeys(QUICKTIME, (codec != "ffv1", "Choose an output name that ends in .mkv."))
    if codec.startswith("prores"):
        refusals |= dict.fromkeys(("mp4", "m4v", "ts"), (False, "Choose an output name that ends in .mov."))
    fits, advice = refusals.get(container, (True, ""))
    if not fits:
        name = {"webm": "WebM"}.get(container, container.upper())
        raise ConfigError(f"{name} cannot hold video of '{codec}'.", where="--vcodec", advice=advice)
    largest = _LARGEST_CRF.get(codec, 63)
    if crf is not None and crf > largest:
        message = f"The quality of '{codec}' goes up to {largest}, not {crf}."
        raise ConfigError(message, where="--crf", advice="Lower is better; 13 is near transparent.")
