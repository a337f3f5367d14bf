"""The mouth as it is painted, and the finished file."""

from __future__ import annotations

from dataclasses import dataclass

from dubber.types.arrays import Bool, Float32
from dubber.types.files import StoredFile

CROP_SIZE_PX = 384
"""Side of the aligned crop (EBT section 4: 384 x 384)."""

MOUTH_WINDOW = (48, 168, 336, 360)
"""The part of the crop that is rendered, xyxy in px of the crop: lips, jaw and nasolabial folds lie in it.

It is the same for all clips, so that it says nothing about the mouth. Source: of 41,000 tracked frames of
talking clips 99.9 % have their mouth in x 115..261 and y 189..303 and their chin above y 359.
"""


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
        is_copied_N: (N,) bool, its frames whose packets are the source's own.
        why_not_copied: Why there are none, a sentence; empty where there are some.
    """

    file: StoredFile
    is_dubbed_N: Bool
    is_copied_N: Bool
    duration_s: float
    video_codec: str
    is_audio_copied: bool
    label: str = ""
    kept: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    why_not_copied: str = ""

    @property
    def num_frames(self) -> int:
        """N, the frames it holds."""
        return len(self.is_dubbed_N)

    @property
    def num_copied_frames(self) -> int:
        """Frames whose packets are the source's own."""
        return int(self.is_copied_N.sum())
