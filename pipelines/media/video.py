"""Video files, decoded from the first frame to the last with PyAV; nothing is believed that was not decoded.

Frame counts, rates and durations in a file's header are often wrong, and seeking in a video of variable rate
lands on other frames, so frames are read in order and counted. Only plain containers are opened, from local
files only: playlists (ffconcat, HLS, DASH) can make a decoder read other files or the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image as Pillow

from backends.core.errors import BadMedia
from backends.core.frames import clip_from_folder
from backends.core.images import MAX_PIXELS
from backends.core.types import Clip, Image
from pipelines.progress import Track, quiet

_OPEN_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi",
}


@dataclass(frozen=True)
class VideoFrame:
    """One decoded picture, turned upright."""

    index: int
    """0-based number among the decoded frames."""
    pts_s: float | None
    """Presentation time in seconds as the file says; None where it says nothing."""
    image: Image


@dataclass
class Video:
    """A video file to be read once, front to back; ``notes`` says afterwards what could not be read."""

    path: Path
    max_pixels: int = MAX_PIXELS
    notes: list[str] = field(default_factory=list)

    def frames(self) -> Iterator[VideoFrame]:
        """Every decodable frame. Raises BadMedia, naming the file, when there is none or sizes change."""
        if not self.path.is_file():
            raise BadMedia(f"{self.path}: no such file")
        try:
            container = av.open(str(self.path.resolve()), options=dict(_OPEN_OPTIONS))
        except (av.FFmpegError, ValueError, UnicodeError) as error:
            raise BadMedia(
                f"{self.path}: cannot be opened as a video ({_words(error)}); wants an MP4, MOV, MKV, "
                "WebM or AVI file that is complete from its start"
            ) from error
        try:
            with container:
                yield from self._upright_frames(container)
        except av.FFmpegError as error:  # some of them are OSErrors too, and would be taken for a full disk
            raise BadMedia(f"{self.path}: the video cannot be decoded ({_words(error)})") from error

    def _upright_frames(self, container: Any) -> Iterator[VideoFrame]:
        if not container.streams.video:
            raise BadMedia(f"{self.path}: holds no video track")
        stream = container.streams.video[0]
        context = stream.codec_context
        if context.width * context.height > self.max_pixels:
            raise BadMedia(
                f"{self.path}: {context.width}x{context.height} pixels per frame; "
                f"the limit is {self.max_pixels}"
            )
        size: tuple[int, int] | None = None
        count, last_s = 0, 0.0
        for frame in self._decode(container, stream):
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                raise BadMedia(
                    f"{self.path}: frame {count} has {frame.width}x{frame.height} pixels, the first "
                    f"{size[0]}x{size[1]}; cut the video where its size changes"
                )
            last_s = frame.time if frame.time is not None else last_s
            yield VideoFrame(count, frame.time, _upright(frame))
            count += 1
        if count == 0:
            raise BadMedia(f"{self.path}: not one frame can be decoded; the file is empty or damaged")
        self._note_what_is_missing(container, stream, count, last_s)

    def _decode(self, container: Any, stream: Any) -> Iterator[Any]:
        broken = 0
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.FFmpegError as error:
                self.notes.append(f"the file breaks off ({_words(error)})")
                break
            try:
                yield from packet.decode()
            except av.FFmpegError:
                broken += 1  # the next key frame mends the picture
        if broken:
            self.notes.append(f"{broken} damaged pieces were left out")

    def _note_what_is_missing(self, container: Any, stream: Any, count: int, last_s: float) -> None:
        """Only a notice: the header's count against the frames; where it has none, its duration."""
        promised_s = container.duration / av.time_base if container.duration else 0.0
        if stream.frames > count:
            self.notes.append(f"{count} frames could be decoded, the header promises {stream.frames}")
        elif not stream.frames and promised_s > 1.1 * last_s + 0.5:
            self.notes.append(f"the pictures end at {last_s:.1f} s, the header promises {promised_s:.1f} s")


def unpack_video(
    path: Path, folder: Path, *, max_pixels: int, progress: Track = quiet
) -> tuple[Clip, list[str]]:
    """All frames of a video as 00000.jpg, 00001.jpg, … in ``folder``: a Clip and its notes.

    Full size; JPEG quality 95 without colour subsampling, which a network does not tell from the original.
    """
    video = Video(path, max_pixels)
    for frame in progress(video.frames(), total=None, label="decode"):
        target = folder / f"{frame.index:05d}.jpg"
        Pillow.fromarray(frame.image).save(target, format="JPEG", quality=95, subsampling=0)
    return clip_from_folder(folder, clip_id=path.stem, max_pixels=max_pixels), video.notes


def _upright(frame: Any) -> Image:
    """(H, W, 3) uint8 as a player shows it: the display matrix's quarter turns and mirrorings applied."""
    image: Image = frame.to_ndarray(format="rgb24")
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return image
    matrix = np.frombuffer(bytes(side_data), "<i4").reshape(3, 3)  # (x, y) -> (x, y) @ matrix[:2, :2]
    sideways = abs(int(matrix[0, 1])) > abs(int(matrix[0, 0]))
    if sideways:
        image = image.transpose(1, 0, 2)
    x_sign, y_sign = (matrix[1, 0], matrix[0, 1]) if sideways else (matrix[0, 0], matrix[1, 1])
    return np.ascontiguousarray(image[:: -1 if y_sign < 0 else 1, :: -1 if x_sign < 0 else 1])


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
