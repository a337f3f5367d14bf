"""Flags that people know from other tools, put into dubber's own words before the command line is read.

A flag is taken over, or left out because dubber does without it, and either is said; what would change the
result and is not to be had is refused with what to do instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dubber.errors import ConfigError

VIDEO, AUDIO = "VIDEO", "AUDIO"

_WEIGHTS = "dubber comes with its weights; `--weights DIR` names others."
_SCALE = "dubber works at the footage's own size; for a smaller result scale the video first."
_STEPS = "dubber's networks take no steps."


@dataclass(frozen=True)
class Alias:
    """A flag of another tool.

    Attributes:
        tools: Whose it is.
        is_switch: Whether no value follows it.
        becomes: `VIDEO`, `AUDIO` or an option of dubber; a function of the values makes that option's
            arguments; None: it is left out.
        why: Why it is left out or refused, and what to do instead.
        harmless: The values (a regular expression of them, joined by spaces) that change nothing; with
            others the flag is refused. None: it is never refused.
    """

    tools: str
    is_switch: bool = False
    becomes: str | Callable[[Sequence[str]], list[str]] | None = None
    why: str = ""
    harmless: str | None = None


@dataclass
class Rewritten:
    """A command line in dubber's words.

    Attributes:
        arguments: As `dubber` takes them.
        notes: What became of each foreign flag.
    """

    arguments: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _box_to_speaker(values: Sequence[str]) -> list[str]:
    """A fixed box names the person in it."""
    if list(values) == ["-1"] * 4:  # Wav2Lip's own "no box"
        return []
    if len(values) != 4:
        raise ConfigError("A box has four sides: top, bottom, left, right.", where="--box")
    top, bottom, left, right = map(int, values)
    return ["--speaker", f"{(left + right) // 2},{(top + bottom) // 2}@0"]


ALIASES = {
    "--face": Alias("Wav2Lip, video-retalking", becomes=VIDEO),
    "--audio": Alias("Wav2Lip, video-retalking", becomes=AUDIO),
    "--static": Alias(
        "Wav2Lip",
        harmless="(?i)false|0",
        why="dubber takes videos; make one of the still first: `ffmpeg -loop 1 -i FACE.png -t 10 FACE.mp4`.",
    ),
    "--fps": Alias("Wav2Lip", why="Frame times are the video's own."),
    "--pads": Alias(
        "Wav2Lip", why="The mask follows the jaw; `--set blend.feather_px=6` makes its edge softer."
    ),
    "--box": Alias("Wav2Lip", becomes=_box_to_speaker),
    "--crop": Alias(
        "Wav2Lip",
        harmless="0 -1 0 -1",
        why="dubber keeps the whole picture; `--speaker X,Y@SECONDS` says whose face it is.",
    ),
    "--rotate": Alias("Wav2Lip", is_switch=True, why="The rotation that the file tells is honoured."),
    "--nosmooth": Alias(
        "Wav2Lip",
        is_switch=True,
        why="Faces are never smoothed across cuts; `--set track.smoothing_sigma_frames=0` turns it off "
        "within shots too.",
    ),
    "--resize_factor": Alias("Wav2Lip", harmless="1", why=_SCALE),
    "--out_height": Alias("Wav2Lip's forks", harmless="(?!)", why=_SCALE),
    "--img_size": Alias("Wav2Lip, video-retalking", why="The crop's size follows the face's in the footage."),
    "--checkpoint_path": Alias("Wav2Lip", why=_WEIGHTS),
    "--face_det_batch_size": Alias("Wav2Lip", why="Frames flow through, so that memory stays small."),
    "--wav2lip_batch_size": Alias("Wav2Lip", why="Frames flow through, so that memory stays small."),
    "--LNet_batch_size": Alias("video-retalking", why="Frames flow through, so that memory stays small."),
    "--exp_img": Alias(
        "video-retalking", harmless="neutral", why="dubber leaves the face above the mouth as filmed."
    ),
    "--up_face": Alias(
        "video-retalking", harmless="original", why="dubber leaves the face above the mouth as filmed."
    ),
    "--re_preprocess": Alias("video-retalking", is_switch=True, becomes=lambda _: ["--from", "demux"]),
    "--video_path": Alias("LatentSync", becomes=VIDEO),
    "--audio_path": Alias("LatentSync", becomes=AUDIO),
    "--video_out_path": Alias("LatentSync", becomes="--output"),
    "--inference_ckpt_path": Alias("LatentSync", why=_WEIGHTS),
    "--unet_config_path": Alias("LatentSync", why=_WEIGHTS),
    "--inference_steps": Alias("LatentSync", why=_STEPS),
    "--guidance_scale": Alias("LatentSync", why=_STEPS),
    "--enable_deepcache": Alias("LatentSync", is_switch=True, why=_STEPS),
    "--temp_dir": Alias(
        "LatentSync", why="What a run keeps meanwhile lies in the cache; `--cache DIR` moves it."
    ),
    "--seed": Alias("LatentSync", why="The same inputs make the same mouths."),
    "--bbox_shift": Alias("MuseTalk", why="`--mouth-gain 1.2` opens the mouth wider, 0.8 less."),
    "--unet_model_path": Alias("MuseTalk", why=_WEIGHTS),
    "--inference_config": Alias(
        "MuseTalk",
        harmless="(?!)",
        why="`dubber batch jobs.toml -o DIR` does many pairs of video and speech.",
    ),
    "-s": Alias("facefusion", becomes=AUDIO),
    "--source-paths": Alias("facefusion", becomes=AUDIO),
    "-t": Alias("facefusion", becomes=VIDEO),
    "--target-path": Alias("facefusion", becomes=VIDEO),
    "--output-path": Alias("facefusion", becomes="--output"),
    "--processors": Alias(
        "facefusion", harmless="lip_syncer", why="dubber re-makes mouths; other edits are other tools' work."
    ),
    "--execution-providers": Alias(
        "facefusion", why="`--device cpu`, `mps` or `cuda` chooses where networks run."
    ),
}


def in_own_words(arguments: Sequence[str]) -> Rewritten:
    """Rewrite a command line of `dubber run`; others stay as they are.

    Args:
        arguments: What follows the name of the program.

    Raises:
        ConfigError: A flag asks for what dubber does not do.
    """
    if not arguments or arguments[0] != "run":
        return Rewritten(list(arguments))
    files: dict[str, list[str]] = {VIDEO: [], AUDIO: []}
    own = Rewritten()
    rest = list(arguments[1:])
    while rest:
        flag, separator, attached = rest.pop(0).partition("=")
        alias = ALIASES.get(flag)
        if alias is None:
            own.arguments.append(f"{flag}{separator}{attached}")
            continue
        values = [attached] if separator else _take_values(alias, rest)
        if not values and not alias.is_switch:
            raise ConfigError(f"The option '{flag}' needs a value.")
        own.notes.append(_apply(flag, alias, values, files, own.arguments))
    own.arguments = ["run", *files[VIDEO], *own.arguments, *files[AUDIO]]
    return own


def _take_values(alias: Alias, rest: list[str]) -> list[str]:
    """What belongs to a flag: one value, and, where that is a number, all that follow it."""
    if alias.is_switch or not rest:
        return []
    values = [rest.pop(0)]
    while rest and all(re.fullmatch(r"-?\d+", each) for each in (values[-1], rest[0])):
        values.append(rest.pop(0))
    return values


def _apply(
    flag: str, alias: Alias, values: list[str], files: dict[str, list[str]], arguments: list[str]
) -> str:
    """Do what a foreign flag stands for, and say so."""
    given = " ".join([flag, *values])
    if isinstance(alias.becomes, str):
        if alias.becomes in files:
            files[alias.becomes] += values
        else:
            arguments += [alias.becomes, *values]
        return f"{given}: taken as {alias.becomes}."
    if alias.becomes is not None:
        made = alias.becomes(values)
        arguments += made
        return f"{given}: taken as `{' '.join(made)}`." if made else f"{given}: nothing to do."
    if alias.harmless is None:
        return f"{given}: not needed. {alias.why}"
    if not re.fullmatch(alias.harmless, " ".join(values)):
        raise ConfigError(f"dubber has no '{flag}' ({alias.tools}).", where=given, advice=alias.why)
    return f"{given}: changes nothing."
