"""One way to open an image file: header checked first, EXIF orientation applied, 8-bit RGB out.

Browsers show a photo as its EXIF says, so masks are drawn on the turned picture; every reader of frames goes
through :func:`open_image` so that masks and pixels stay aligned. Index masks have their own reader.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from backends.core.errors import BadInput, BadMask, BadMedia
from backends.core.palette import colour_codes, index_of_code
from backends.core.types import Image

MAX_PIXELS = 50_000_000  # the default of Settings.max_image_pixels
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")  # nothing else is handed to a decoder
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})

_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_PLAIN_MODES = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")

_Read = TypeVar("_Read")


def open_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> Image:
    """The picture as a viewer shows it: (H, W, 3) RGB uint8, EXIF orientation applied.

    16-bit grey keeps its high byte, CMYK and palettes become RGB, transparent pixels are laid over black,
    the first page of a multi-page file counts. Raises BadMedia, naming the file, for anything unreadable and
    for more than ``max_pixels`` pixels (told from the header, before decoding).
    """
    return _read(path, max_pixels, lambda image: _to_rgb(_upright(image)), BadMedia)


def image_size(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(height, width) in pixels as :func:`open_image` would return it, from the header. Raises BadMedia."""
    return _read(path, max_pixels, _upright_size, BadMedia)


def read_index_mask(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """(H, W) uint8: the index of the object at each pixel, 0 = background.

    Palette and grey files give their stored numbers, so a {0, 255} mask comes back as {0, 255} and the caller
    decides what that means. A 1-bit file gives {0, 1}; RGB files must be white on black ({0, 255}) or use the
    DAVIS colours; fully transparent pixels are background. Raises BadMask, naming the file.
    """
    return _read(path, max_pixels, lambda image: _to_index(_upright(image)), BadMask)


def _read(path: Path, max_pixels: int, use: Callable[[Pillow.Image], _Read], fault: type[BadInput]) -> _Read:
    if not path.is_file():
        raise fault(f"{path}: no such file")
    try:
        with path.open("rb") as stream, Pillow.open(stream, formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise fault(
                    f"{path}: {width}x{height} pixels; the limit is {max_pixels} pixels, scale it down"
                )
            return use(image)
    except Pillow.DecompressionBombError as error:
        raise fault(
            f"{path}: far beyond the limit of {max_pixels} pixels, scale it down ({error})"
        ) from error
    except UnidentifiedImageError as error:
        raise fault(f"{path}: not an image of a known kind; wants {', '.join(FORMATS)}") from error
    except BadInput:
        raise
    except _Unusable as error:
        raise fault(f"{path}: {error}") from error
    except Exception as error:  # broken files: OSError, ValueError, SyntaxError, struct.error, ...
        raise fault(f"{path}: the image cannot be decoded ({error})") from error


class _Unusable(Exception):  # noqa: N818
    """Readable, but not something we have a rule for; the message lacks the file's name."""


def _upright(image: Pillow.Image) -> Pillow.Image:
    image.load()  # TIFF turns itself here and drops the tag; PNG may hold EXIF behind the pixels
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _upright_size(image: Pillow.Image) -> tuple[int, int]:
    width, height = image.size
    if image.format == "TIFF":  # Pillow already reports the turned size
        return height, width
    # A PNG's getexif() decodes the whole file unless the EXIF stands before the pixels, as writers place it.
    tell = image.format != "PNG" or "exif" in image.info
    sideways = tell and _orientation(image) in (5, 6, 7, 8)
    return (width, height) if sideways else (height, width)


def _orientation(image: Pillow.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # broken EXIF: viewers show such a picture unturned, and so do we
        return 1


def _to_rgb(image: Pillow.Image) -> Image:
    if image.mode.startswith("I;16"):
        high = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(high[:, :, None], 3, axis=2)
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        rgba = image.convert("RGBA")
        black = Pillow.new("RGBA", rgba.size, (0, 0, 0, 255))
        return np.array(Pillow.alpha_composite(black, rgba).convert("RGB"))
    if image.mode not in _PLAIN_MODES:
        raise _Unusable(f"pixels of kind {image.mode}; save it as 8-bit RGB")
    return np.array(image.convert("RGB"))


def _to_index(image: Pillow.Image) -> NDArray[np.uint8]:
    if image.mode in ("L", "P", "1"):
        return np.array(image).astype(np.uint8)
    if image.mode.startswith("I"):
        return _from_wide(np.asarray(image))
    if image.mode == "LA":
        grey, alpha = (np.asarray(band) for band in image.split())
        return np.where(alpha == 0, 0, grey).astype(np.uint8)
    if image.mode in ("RGB", "RGBA", "PA"):
        return _from_colours(np.array(image.convert("RGBA")))
    raise _Unusable(f"a mask with pixels of kind {image.mode}; save it as a PNG with index colours")


def _from_wide(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    wide = values.astype(np.int64)
    highest, lowest = int(wide.max()), int(wide.min())
    if highest == 65535 and bool(np.isin(wide, (0, 65535)).all()):
        return np.where(wide == 0, 0, 255).astype(np.uint8)
    if lowest < 0 or highest > 255:
        raise _Unusable(f"a mask with object numbers up to {highest}; the limit is 255 objects")
    return wide.astype(np.uint8)


def _from_colours(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    codes = colour_codes(rgba[..., :3])
    codes[rgba[..., 3] == 0] = 0
    colours, inverse = np.unique(codes, return_inverse=True)
    if set(colours.tolist()) <= {0x000000, 0xFFFFFF}:
        return np.where(codes == 0, 0, 255).astype(np.uint8)
    indices = [index_of_code(int(code)) for code in colours[:257]]
    if len(colours) > 256 or None in indices:
        odd = next((int(c) for c, i in zip(colours, indices, strict=False) if i is None), int(colours[-1]))
        raise _Unusable(f"colour #{odd:06x} is not a DAVIS colour; save the mask as a PNG with index colours")
    return np.asarray(indices, np.uint8)[inverse].reshape(codes.shape)
