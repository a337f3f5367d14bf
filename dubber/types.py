"""The values that flow between stages, and the conventions they obey.

Convention:
    boxes       xyxy, half-open, float pixels; the centre of the first pixel is at (0.5, 0.5)
    points      (x, y), pixels, y down; depth z in the same pixels, towards the camera negative
    sizes       (height, width)
    images      (H, W, 3) uint8 RGB outside models, (B, C, H, W) float inside
    masks       (H, W) float32 in 0..1, 1 = replaced by the renderer
    similarity  (2, 3) maps display pixels of a frame to the aligned crop: p_crop = S[:, :2] @ p + S[:, 2]
    crop        the aligned square of `CROP_SIZE_PX`; measures "in px of the crop" use this size whatever
                resolution a renderer works at
    patch       the part of the crop that is rendered, `MOUTH_WINDOW`, at the renderer's resolution
    time        integer ticks of a `Fraction` time base; frames are shown from their own pts on

Index letters: T source frames, N output frames, L landmarks of the tracker (468), M = 39 mouth and jaw
landmarks, K coefficients, V vertices, S sightings (a face in a frame), P people, A looks at a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dubber.units import median_frame_rate, ticks_to_seconds

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]


class Samples(Protocol):
    """(S,) float32 samples of a recording, read where they are asked for; an array is one too."""

    def __len__(self) -> int:
        """S."""

    def __getitem__(self, part: slice, /) -> Float32:
        """The samples of a part, as an array's slice without a step."""


CROP_SIZE_PX = 384
"""Side of the aligned crop (EBT section 4: 384 x 384)."""

MOUTH_WINDOW = (48, 168, 336, 360)
"""The part of the crop that is rendered, xyxy in px of the crop: lips, jaw and nasolabial folds lie in it.

It is the same for all clips, so that it says nothing about the mouth. Source: of 41,000 tracked frames of
talking clips 99.9 % have their mouth in x 115..261 and y 189..303 and their chin above y 359.
"""

NUM_TRACKER_LANDMARKS = 468
"""Vertices of the tracker's face mesh (MediaPipe canonical face, without irises)."""

LengthMode = Literal["auto", "cut_off", "loop", "bounce", "silence", "remap", "retime"]


@dataclass(frozen=True)
class StoredFile:
    """A file that belongs to an artefact; it lives in the artefact's folder.

    Attributes:
        path: Where the bytes lie now. Only the file's name is part of the artefact.
    """

    path: Path


@dataclass(frozen=True)
class SourceFile:
    """A file of the user's, known by its content.

    Attributes:
        path: Where it lies. Never part of a key.
        sha256: Hex digest of its bytes.
    """

    path: Path
    sha256: str


@dataclass(frozen=True)
class ColorTags:
    """How a stream's YUV numbers mean colour; FFmpeg's integer codes (ISO/IEC 23091-2), 2 = unspecified."""

    range: int
    matrix: int
    primaries: int
    transfer: int


@dataclass(frozen=True)
class HdrMetadata:
    """What HDR footage says of its grading, in the units of HEVC's SEI messages (ITU-T H.265 D.3.28, D.3.35).

    Attributes:
        primaries: (x, y) of the mastering display's green, blue, red and white, in 1/50000; empty if not
            told.
        luminance: Its highest and lowest, in 1/10000 cd/m2; empty if not told.
        content_light: Brightest pixel and brightest frame average, cd/m2; empty if not told.
    """

    primaries: tuple[tuple[int, int], ...]
    luminance: tuple[int, ...]
    content_light: tuple[int, ...]


@dataclass(frozen=True)
class Clip:
    """What demuxing a video tells.

    Attributes:
        pts_T: (T,) int64, presentation time of each decoded frame in ticks, strictly increasing.
        time_base: Seconds per tick.
        end_pts: Ticks at which the last frame stops being shown.
        size: Display (height, width): after rotation, before pixel aspect.
        rotation_deg: Clockwise rotation, one of 0, 90, 180, 270, that turns the coded picture upright.
        pixel_aspect: Width : height of one pixel.
        pixel_format: FFmpeg's name of the coded format.
        color: Colour tags.
        codec: FFmpeg's name of the video codec.
        bit_rate: Bits per second of the video stream; 0 where unknown.
        has_audio: Whether the file has an audio stream.
        hdr: Mastering display and content light; None where the footage tells neither.
        is_interlaced: Whether most frames are coded as two fields.
        is_deinterlaced: Whether reading makes whole pictures of fields.
    """

    pts_T: Int64
    time_base: Fraction
    end_pts: int
    size: tuple[int, int]
    rotation_deg: int
    pixel_aspect: Fraction
    pixel_format: str
    color: ColorTags
    codec: str
    bit_rate: int
    has_audio: bool
    hdr: HdrMetadata | None = None
    is_interlaced: bool = False
    is_deinterlaced: bool = False

    @property
    def num_frames(self) -> int:
        """T, the number of frames."""
        return len(self.pts_T)

    @property
    def times_s_T(self) -> Float64:
        """(T,) seconds from the first frame."""
        return ticks_to_seconds(self.pts_T - self.pts_T[0], self.time_base)

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame's start to the last frame's end."""
        return float((self.end_pts - int(self.pts_T[0])) * self.time_base)

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second, from the median frame distance."""
        return median_frame_rate(self.pts_T, self.time_base)


@dataclass(frozen=True)
class Speech:
    """What the model hears: 16 kHz mono. The user's own audio is muxed from the source file, not from here.

    Attributes:
        wav: PCM file, mono, `sample_rate_hz`.
        sample_rate_hz: Always 16000.
        num_samples: Length.
    """

    wav: StoredFile
    sample_rate_hz: int
    num_samples: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate_hz


@dataclass(frozen=True)
class People:
    """Every face in every frame, and whose it is.

    Sightings are in the order of their frames. People are numbered by the area of their faces summed over
    all frames, the largest first; users count them from 1.

    Attributes:
        frames_S: (S,) int32 frame of each sighting, not decreasing.
        person_S: (S,) int32 in 0..P - 1; nobody is twice in a frame.
        boxes_S4: (S, 4) float32 xyxy px.
        scores_S: (S,) float32 in 0..1.
        landmarks_SL3: (S, 468, 3) float32 px.
        shot_id_T: (T,) int32 counting from 0.
        is_mixed_T: (T,) bool, two shots are seen at once: one dissolves into the other.
        look_rows_PA: (P, A) int32, sightings at which a person is seen well, best first; -1 where there are
            fewer.
        looks_PAD: (P, A, D) float32, how the person looks there; see `dubber.ops.appearance`.
    """

    frames_S: Int32
    person_S: Int32
    boxes_S4: Float32
    scores_S: Float32
    landmarks_SL3: Float32
    shot_id_T: Int32
    is_mixed_T: Bool
    look_rows_PA: Int32
    looks_PAD: Float32

    @property
    def num_people(self) -> int:
        """P."""
        return len(self.look_rows_PA)


class WhyNot(IntEnum):
    """Why a frame cannot be dubbed: the codes of `FaceTrack.why_not_T`."""

    USABLE = 0
    NO_FACE = 1
    """No face is seen at all."""
    OTHER_PERSON = 2
    """Others are seen, not the one who is dubbed."""
    TOO_SMALL = 3
    """The face has too few pixels."""
    TURNED_AWAY = 4
    """The face is turned too far to the side."""
    MIXED = 5
    """One shot dissolves into another, and two pictures are seen at once."""


@dataclass(frozen=True)
class Sound:
    """Sound made for the output where the user's file cannot simply be copied.

    Attributes:
        file: A sound file.
        sample_rate_hz: Samples per second.
        num_channels: Channels.
        duration_s: Length.
        gain_db: By how much all of it was lowered, so that its peaks fit; at most 0.
        ranges: (start, end) in seconds, where it is not the video's own; None for all of it.
    """

    file: StoredFile
    sample_rate_hz: int
    num_channels: int
    duration_s: float
    gain_db: float
    ranges: tuple[tuple[float, float], ...] | None = None

    def replaced_ranges(self, end_s: float) -> tuple[tuple[float, float], ...]:
        """Where it is not the video's own, in milliseconds, in a film that ends at `end_s`."""
        if self.ranges is None:
            return ((0.0, end_s),)
        return tuple(
            (round(start, 3), round(min(end, end_s), 3)) for start, end in self.ranges if start < end_s
        )


@dataclass(frozen=True)
class FaceTrack:
    """The one face that is dubbed, frame by frame.

    Attributes:
        boxes_T4: (T, 4) float32 xyxy px; zeros where no face was found.
        landmarks_TL3: (T, 468, 3) float32 px; zeros where no face was found.
        scores_T: (T,) float32 in 0..1; 0 where no face was found.
        is_usable_T: (T,) bool, whether the frame can be dubbed.
        shot_id_T: (T,) int32 counting from 0; nothing is smoothed across shots.
        identity_id_T: (T,) int32 person's number in `People`, counting from 0; -1 where they are not seen.
        similarity_T23: (T, 2, 3) float32, smoothed similarity to the crop; identity where no face was found.
        why_not_T: (T,) int8 `WhyNot`; 0 where the frame can be dubbed.
        warnings: What the user may not have meant about the choice of the person, in sentences.
    """

    boxes_T4: Float32
    landmarks_TL3: Float32
    scores_T: Float32
    is_usable_T: Bool
    shot_id_T: Int32
    identity_id_T: Int32
    similarity_T23: Float32
    why_not_T: Int8
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class FaceCoeffs:
    """Coefficients of the linear face model that explain a track.

    The projection is scaled orthography: p = scale * (R @ v)_xy + translation, with R from `rotation_T3` and
    v the model's vertices in its own units.

    Attributes:
        identity_K: (K_id,) float32, one person.
        expression_TK: (T, K_exp) float32, in standard deviations of the model's basis.
        rotation_T3: (T, 3) float32 axis-angle, radians.
        scale_T: (T,) float32 px per model unit.
        translation_T2: (T, 2) float32 px.
        residual_px_T: (T,) float32, mean landmark distance in px of the crop; NaN where not usable.
    """

    identity_K: Float32
    expression_TK: Float32
    rotation_T3: Float32
    scale_T: Float32
    translation_T2: Float32
    residual_px_T: Float32


@dataclass(frozen=True)
class Timeline:
    """When the output's frames are shown, and, unless the footage is retimed, which source frame each one is.

    Attributes:
        mode: How the lengths are matched; never "auto".
        pts_N: (N,) int64 ticks of the clip's time base; equal to the source's where frames are one to one.
        end_pts: Ticks at which the last frame stops being shown.
        time_base: Seconds per tick.
        source_index_N: (N,) int32 source frame of each output frame; -1 throughout when `mode` is "retime".
        audio_duration_s: Seconds of the user's audio that are heard; the rest of the output is silent.
    """

    mode: LengthMode
    pts_N: Int64
    end_pts: int
    time_base: Fraction
    source_index_N: Int32
    audio_duration_s: float

    @property
    def num_frames(self) -> int:
        """N, the number of output frames."""
        return len(self.pts_N)

    @property
    def times_s_N(self) -> Float64:
        """(N,) seconds from the first output frame, which is when the audio starts."""
        return ticks_to_seconds(self.pts_N - self.pts_N[0], self.time_base)

    @property
    def duration_s(self) -> float:
        """Seconds the output lasts."""
        return float((self.end_pts - int(self.pts_N[0])) * self.time_base)


@dataclass(frozen=True)
class ExpressionTrack:
    """What the mouth should do.

    Attributes:
        expression_NK: (N, K_exp) float32, in standard deviations of the face model's basis.
        is_silent_N: (N,) bool, nobody speaks at this frame.
        is_asked_N: (N,) bool, the mouth is to be made; elsewhere it stays the film's own.
    """

    expression_NK: Float32
    is_silent_N: Bool
    is_asked_N: Bool


@dataclass(frozen=True)
class RetimeMap:
    """Which source frame each output frame shows.

    Attributes:
        source_index_N: (N,) int32.
        is_halfway_N: (N,) bool, show the picture half-way between `source_index_N` and the next frame.
    """

    source_index_N: Int32
    is_halfway_N: Bool

    @property
    def is_moved_N(self) -> Bool:
        """(N,) bool, frames that show another picture than the source frame of the same number."""
        is_other_N = self.source_index_N != np.arange(len(self.source_index_N))
        return np.asarray(self.is_halfway_N | is_other_N, np.bool_)


@dataclass(frozen=True)
class AdaptedPainter:
    """The hybrid renderer's network after it has learned the target.

    Attributes:
        painter: Its weights; none where learning gained too little and the network is used as it ships.
        before_db: PSNR of the lower face on frames held out, before.
        after_db: After; both 0 where the footage was too short to learn from.
        num_steps: Steps of learning.
    """

    painter: tuple[StoredFile, ...]
    before_db: float
    after_db: float
    num_steps: int


@dataclass(frozen=True)
class PainterVerdict:
    """Whether the hybrid renderer suits a clip.

    Attributes:
        is_better: It paints the clip's own frames at least as well as their best exemplars do.
        painted_db: Its PSNR of the lower face on some of them; 0 where there was too little footage to tell.
        exemplar_db: The exemplars'.
    """

    is_better: bool
    painted_db: float
    exemplar_db: float


@dataclass(frozen=True)
class Mouths:
    """Rendered mouth patches: the crop's `MOUTH_WINDOW` at the renderer's resolution.

    Attributes:
        patches: Lossless RGB video, one frame per output frame where `has_patch_N`, in output order.
        crop_size_px: Side of the whole crop at the patches' resolution.
        patch_size: (height, width) of a patch. Landmarks below are in its px.
        has_patch_N: (N,) bool; False where the source frame passes through untouched.
        similarity_N23: (N, 2, 3) float32, display px of the output frame to patch px.
        landmarks_NM2: (N, 39, 2) float32, the wanted mouth and jaw landmarks, patch px.
        source_landmarks_NM2: (N, 39, 2) float32, the same landmarks as the source frame has them, patch px.
        is_own_pixels: The patches are the source's own pixels (the `copy` renderer): nothing to blend.
        renderer: Which renderer made them.
        lends_T: (T,) bool, source frames that may lend their mouth.
    """

    patches: tuple[StoredFile, ...]
    crop_size_px: int
    patch_size: tuple[int, int]
    has_patch_N: Bool
    similarity_N23: Float32
    landmarks_NM2: Float32
    source_landmarks_NM2: Float32
    is_own_pixels: bool
    renderer: str
    lends_T: Bool

    @property
    def num_frames(self) -> int:
        """N, the number of output frames."""
        return len(self.has_patch_N)


@dataclass(frozen=True)
class DubbedVideo:
    """The finished file, as kept in the cache; publishing it copies it to the user's name.

    Attributes:
        file: The video.
        is_dubbed_N: (N,) bool, its frames whose mouth was re-made.
        duration_s: Its length.
        video_codec: FFmpeg's name of the encoder used.
        is_audio_copied: Whether the user's audio went in untouched.
        label: What it says of its being edited; empty where it does not.
        kept: The source's other streams that it holds, each in a few words.
        converted: Sentences on those of them that are coded anew.
        left_out: Sentences on what the source holds and it does not.
        num_copied_frames: Frames whose packets are the source's own.
        why_not_copied: Why there are none, a sentence; empty where there are some.
    """

    file: StoredFile
    is_dubbed_N: Bool
    duration_s: float
    video_codec: str
    is_audio_copied: bool
    label: str = ""
    kept: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    num_copied_frames: int = 0
    why_not_copied: str = ""

    @property
    def num_frames(self) -> int:
        """N, the frames it holds."""
        return len(self.is_dubbed_N)
