"""The new speech, and the video's own, as the model hears them: 16 kHz mono."""

from __future__ import annotations

from typing import Any, ClassVar

from dubber.engine.stage import Params, Stage, StageContext
from dubber.types import SourceFile, Speech, StoredFile


class SpeechParams(Params):
    """Nothing to choose."""


class ExtractSpeech(Stage[Speech]):
    """Decodes and resamples the speech; what is muxed in the end is the user's own file."""

    name: ClassVar[str] = "speech"
    version: ClassVar[int] = 4
    output_type: ClassVar[type] = Speech

    def __init__(self, params: SpeechParams | None = None) -> None:
        super().__init__(params or SpeechParams())

    def run(self, ctx: StageContext, *inputs: Any) -> Speech:
        """Write the speech as 16 bit PCM.

        Args:
            ctx: The context.
            *inputs: audio (SourceFile): an audio file, or a video with sound.

        Raises:
            MediaError: The file is missing, damaged, without audio, empty or silent.
        """
        from dubber.media.audio import SPEECH_RATE_HZ, write_speech

        audio: SourceFile
        (audio,) = inputs
        wav = ctx.new_file("speech.wav")
        num_samples = write_speech(audio.path, wav)
        return Speech(StoredFile(wav), SPEECH_RATE_HZ, num_samples)


class ExtractOwnSpeech(Stage[Speech]):
    """What the person says in the video itself, to learn from; empty where there is no sound."""

    name: ClassVar[str] = "own_speech"
    version: ClassVar[int] = 3
    output_type: ClassVar[type] = Speech

    def __init__(self, params: SpeechParams | None = None) -> None:
        super().__init__(params or SpeechParams())

    def run(self, ctx: StageContext, *inputs: Any) -> Speech:
        """Write the video's own sound as 16 bit PCM; no samples where it has none that can be heard.

        Args:
            ctx: The context.
            *inputs: video (SourceFile).
        """
        from dubber.media.audio import SPEECH_RATE_HZ, write_speech_if_any

        video: SourceFile
        (video,) = inputs
        wav = ctx.new_file("own_speech.wav")
        return Speech(StoredFile(wav), SPEECH_RATE_HZ, write_speech_if_any(video.path, wav))
