"""Small drawn clips, pictures and videos, and a segmenter without a network."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from backends.core.types import Clip, FrameMasks, Image, MaskPrompt, Prompt
from pipelines.media.palette import write_index_png

SIZE_HW = (48, 64)
_MS = Fraction(1, 1000)


def draw_frame(number: int, size_hw: tuple[int, int] = SIZE_HW) -> Image:
    """A grey ramp with a bright square that moves two pixels per frame; the red corner tells up from down."""
    height, width = size_hw
    frame = np.zeros((height, width, 3), np.uint8)
    frame[:] = np.linspace(40, 90, width, dtype=np.uint8)[None, :, None]
    frame[draw_mask(number, size_hw) == 1] = (230, 200, 60)
    frame[: height // 4, : width // 4] = (220, 0, 0)
    return frame


def draw_mask(number: int, size_hw: tuple[int, int] = SIZE_HW) -> NDArray[np.uint8]:
    """(H, W) index map: the square is object 1, a standing bar object 2."""
    height, width = size_hw
    mask = np.zeros(size_hw, np.uint8)
    left = (width // 4 + 2 * number) % (width - 12)
    mask[height // 2 : height // 2 + 10, left : left + 12] = 1
    mask[4 : height - 4, width - 6 : width - 2] = 2
    return mask


def save_frames(
    folder: Path, count: int, *, suffix: str = ".jpg", size_hw: tuple[int, int] = SIZE_HW
) -> list[Path]:
    """``count`` drawn frames 00000…, in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05d}{suffix}" for number in range(count)]
    for number, path in enumerate(paths):
        Pillow.fromarray(draw_frame(number, size_hw)).save(path)
    return paths


def save_mask(path: Path, values: NDArray[np.uint8]) -> Path:
    """A grey PNG with these numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(values).save(path)
    return path


def make_davis(root: Path, *, below: str = "") -> Path:
    """``one``: 5 frames, {0, 255} masks; ``two``: 4 frames, two objects as indices."""
    for name, count in (("one", 5), ("two", 4)):
        save_frames(root / "JPEGImages" / below / name, count, suffix=".webp" if name == "one" else ".jpg")
        for frame in range(count):
            mask = draw_mask(frame)
            path = root / "Annotations" / below / name / f"{frame:05d}.png"
            if name == "one":
                save_mask(path, np.where(mask == 1, 255, 0).astype(np.uint8))
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_index_png(path, mask)
    return root


def write_video(
    path: Path,
    frames: Sequence[Image],
    *,
    times_ms: Sequence[int] | None = None,
    rotation_deg: int = 0,
    mirrored: bool = False,
    options: dict[str, str] | None = None,
    codec: str = "libx264",
) -> Path:
    """A video of these frames at 10 per second, or at the given times."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _MS
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "crf": "10", "bf": "0"}
        if rotation_deg or mirrored:
            stream.set_display_rotation(rotation_deg, hflip=mirrored)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.time_base = _MS
            frame.pts = times_ms[number] if times_ms else 100 * number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def huge_png(path: Path, side: int = 20_000) -> Path:
    """A whole, valid PNG of side x side pixels, 1 bit each: 50 kB on disk at 20,000."""
    packer = zlib.compressobj(1)
    row = bytes(1 + (side + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


class NearestAnchor:
    """A segmenter that repeats each object's nearest given mask. ``seen`` keeps what it was asked."""

    version = "nearest-00000000"

    def __init__(self) -> None:
        self.seen: list[MaskPrompt] = []

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        self.seen = [prompt for prompt in prompts if isinstance(prompt, MaskPrompt)]
        names = sorted({prompt.object_id for prompt in self.seen})
        for index in range(len(clip)):
            assert clip.frames[index].shape == (*clip.size_hw, 3)
            nearest = {
                name: min(
                    (p for p in self.seen if p.object_id == name), key=lambda p: abs(p.frame_index - index)
                )
                for name in names
            }
            yield FrameMasks(index, {n: p.mask for n, p in nearest.items()}, dict.fromkeys(names, 0.5))
