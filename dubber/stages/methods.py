"""The table of interchangeable parts, for people who choose one."""

from __future__ import annotations

from dataclasses import dataclass

from dubber.stages.plugins import offered_renderers


@dataclass(frozen=True)
class Method:
    """One way to do a part of the method.

    Attributes:
        part: The option that chooses it.
        name: The option's value.
        is_default: Whether it is used when nothing is said.
        summary: What it does, in a line.
    """

    part: str
    name: str
    is_default: bool
    summary: str


METHODS = (
    Method(
        "renderer",
        "hybrid",
        True,
        "several of the target's own frames, warped onto the wanted mouth, mixed and mended by a network",
    ),
    Method(
        "renderer", "exemplar", False, "the target's own best-matching frames, warped onto the wanted mouth"
    ),
    Method(
        "renderer",
        "unet",
        False,
        "a network paints the mouth from its landmarks and the face around it, as in Everybody's Talkin'",
    ),
    Method("renderer", "copy", False, "null twin: the source's own pixels; nothing changes"),
    Method("translator", "conv", True, "convolutions over seven frames' worth of sounds, as in Meta Talk"),
    Method(
        "translator",
        "lstm",
        False,
        "an LSTM over a second of sounds without the voice's identity, as in Everybody's Talkin'",
    ),
    Method("translator", "neutral", False, "null twin: the target's own expression; the speech is ignored"),
    Method(
        "length", "auto", True, "every frame kept if lengths differ by at most half a second, else retime"
    ),
    Method(
        "length", "retime", False, "dynamic programming: stretch where the head is still and nobody speaks"
    ),
    Method("length", "cut_off", False, "the shorter of video and speech"),
    Method("length", "loop", False, "the video again from its start until the speech ends"),
    Method("length", "bounce", False, "the video forwards and backwards until the speech ends"),
    Method("length", "silence", False, "the whole video; silence after the speech, speech cut at its end"),
    Method("length", "remap", False, "the video stretched evenly to the speech"),
)


def all_methods() -> tuple[Method, ...]:
    """The table, with the renderers that installed packages offer; none of them is imported."""
    offered = offered_renderers().items()
    return (*METHODS, *(Method("renderer", name, False, f"not dubber's: {place}") for name, place in offered))
