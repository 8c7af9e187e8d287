"""One convention for pictures: upright, 8-bit RGB; index masks as stored."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from backends.core.errors import BadMask, BadMedia
from backends.core.frames import open_image as open_image_of_frames
from backends.core.images import image_size, open_image, read_index_mask
from backends.core.palette import davis_palette
from tests.media import draw_frame, draw_mask, huge_png, save_mask


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    flat = Pillow.fromarray(
        np.kron(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20, np.ones((8, 8), np.uint8))
    )
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo{suffix}"
    lossless = {".jpg": {"quality": 100}, ".webp": {"lossless": True}}.get(suffix, {})
    flat.convert("RGB").save(path, exif=exif, **lossless)
    stored = Pillow.open(io.BytesIO(path.read_bytes()))
    stored.load()
    # Pillow's own reading of the tag; for TIFF it happens while loading.
    wanted = np.asarray(ImageOps.exif_transpose(stored).convert("RGB")).astype(int)
    if orientation in (5, 6, 7, 8):
        assert wanted.shape[:2] == (32, 24)
    assert np.abs(open_image(path).astype(int) - wanted).max() <= 2
    assert image_size(path) == wanted.shape[:2]


def test_orientation_6_by_hand(tmp_path: Path) -> None:
    """Tag 6: the camera was turned; row 0 of the file is the right-hand column of the picture."""
    stored = np.zeros((16, 24, 3), np.uint8)
    stored[:8] = 255
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    shown = open_image(tmp_path / "a.png")
    assert shown.shape == (24, 16, 3)
    assert (shown[:, 8:] == 255).all() and (shown[:, :8] == 0).all()


def test_mask_of_a_turned_photo_lies_on_it(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 8
    Pillow.fromarray(draw_frame(0)).save(tmp_path / "a.png", exif=exif)
    Pillow.fromarray(draw_mask(0)).save(tmp_path / "m.png", exif=exif)
    mask = read_index_mask(tmp_path / "m.png")
    assert (open_image(tmp_path / "a.png")[mask == 1] == (230, 200, 60)).all()


def test_broken_exif_is_no_reason_to_refuse(tmp_path: Path) -> None:
    Pillow.fromarray(draw_frame(0)).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert open_image(tmp_path / "a.jpg").shape == (48, 64, 3)


GREY = np.array([[0, 128], [200, 255]], np.uint8)


@pytest.mark.parametrize(
    ("mode", "values", "wanted"),
    [
        ("L", GREY, [[0, 128], [200, 255]]),
        ("1", GREY > 100, [[0, 255], [255, 255]]),
        ("I;16", np.array([[0, 0x1234], [0xFF00, 0xFFFF]], np.uint16), [[0, 0x12], [0xFF, 0xFF]]),
        ("LA", np.dstack([GREY, np.array([[255, 255], [0, 128]], np.uint8)]), [[0, 128], [0, 128]]),
    ],
)
def test_grey_kinds_become_rgb(
    tmp_path: Path, mode: str, values: np.ndarray, wanted: list[list[int]]
) -> None:
    picture = Pillow.fromarray(values)
    assert picture.mode == mode
    picture.save(tmp_path / "a.png")
    image = open_image(tmp_path / "a.png")
    assert image.dtype == np.uint8 and image.shape == (2, 2, 3)
    assert image.tolist() == [[[v] * 3 for v in row] for row in wanted]


def test_transparent_pixels_lie_over_black(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0] = [(200, 100, 50, 255), (200, 100, 50, 0), (200, 100, 50, 128)]
    Pillow.fromarray(rgba).save(tmp_path / "a.png")
    image = open_image(tmp_path / "a.png")
    assert image[0, :2].tolist() == [[200, 100, 50], [0, 0, 0]]
    assert np.abs(image[0, 2].astype(int) - (100, 50, 25)).max() <= 1


def test_palette_and_cmyk_keep_their_colours(tmp_path: Path) -> None:
    frame = draw_frame(0)
    Pillow.fromarray(frame).quantize(64).save(tmp_path / "p.png")
    Pillow.fromarray(frame).convert("CMYK").save(tmp_path / "c.jpg", quality=95)
    for name in ("p.png", "c.jpg"):
        assert np.abs(open_image(tmp_path / name).astype(int) - frame).mean() < 6, name


def test_float_picture_is_refused_by_kind(tmp_path: Path) -> None:
    Pillow.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(BadMedia, match=r"f\.tif.*kind F"):
        open_image(tmp_path / "f.tif")


def test_other_formats_are_not_decoded(tmp_path: Path) -> None:
    Pillow.fromarray(draw_frame(0)).save(tmp_path / "a.gif")
    (tmp_path / "a.gif").rename(tmp_path / "a.png")
    with pytest.raises(BadMedia, match=r"a\.png: not an image of a known kind; wants JPEG"):
        open_image(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 30])
def test_what_is_no_picture_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    for read in (open_image, image_size):
        with pytest.raises(BadMedia, match=r"a\.jpg"):
            read(tmp_path / "a.jpg")
    with pytest.raises(BadMedia, match="no such file"):
        open_image(tmp_path / "b.jpg")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from([".jpg", ".png", ".webp", ".bmp", ".tif"]))
def test_damaged_files_are_refused_or_read_never_crash(
    tmp_path: Path, data: st.DataObject, suffix: str
) -> None:
    buffer = io.BytesIO()
    kind = {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper())
    Pillow.fromarray(draw_frame(0)).save(buffer, format=kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        image = open_image(path, max_pixels=100_000)
    except BadMedia as error:
        assert path.name in str(error)
    else:
        assert image.dtype == np.uint8 and image.ndim == 3


@pytest.mark.parametrize("side", [8_000, 12_000, 20_000])  # below, between and above Pillow's own two limits
def test_size_is_told_from_the_header(tmp_path: Path, side: int) -> None:
    path = huge_png(tmp_path / "huge.png", side)
    script = (
        "import sys, resource; from pathlib import Path; from backends.core.images import open_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: open_image(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    said, grown_kb = run.stdout.strip().splitlines()
    assert said.startswith("BadMedia") and "huge.png" in said and "50000000" in said
    assert int(grown_kb) < 30_000
    started = time.perf_counter()
    with pytest.raises(BadMedia):
        image_size(path)
    assert time.perf_counter() - started < 1.0


def test_frames_module_offers_the_same_function() -> None:
    assert open_image_of_frames is open_image


# --- index masks ----------------------------------------------------------------------------------------


def test_palette_colours_are_the_known_ones() -> None:
    known = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    assert davis_palette()[:7].tolist() == [list(colour) for colour in known]
    assert davis_palette()[255].tolist() == [224, 224, 192]
    assert len({tuple(c) for c in davis_palette().tolist()}) == 256


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_png_gives_its_numbers(tmp_path: Path, bits: int) -> None:
    index = (np.arange(12).reshape(3, 4) % (1 << bits)).astype(np.uint8)
    picture = Pillow.fromarray(index)
    picture.putpalette(davis_palette().tobytes()[: 3 << bits])
    picture.save(tmp_path / "m.png", bits=bits)
    assert (read_index_mask(tmp_path / "m.png") == index).all()


def test_grey_and_wide_masks_give_their_numbers(tmp_path: Path) -> None:
    index = np.array([[0, 1, 2], [3, 254, 255]], np.uint8)
    assert (read_index_mask(save_mask(tmp_path / "l.png", index)) == index).all()
    assert (read_index_mask(save_mask(tmp_path / "w.png", index.astype(np.uint16))) == index).all()
    white = np.array([[0, 65535]], np.uint16)
    assert read_index_mask(save_mask(tmp_path / "white.png", white)).tolist() == [[0, 255]]
    with pytest.raises(BadMask, match=r"many\.png.*up to 300.*255 objects"):
        read_index_mask(save_mask(tmp_path / "many.png", np.array([[0, 300]], np.uint16)))


def test_one_bit_mask_is_zero_and_one(tmp_path: Path) -> None:
    Pillow.fromarray(np.array([[True, False]])).save(tmp_path / "m.png")
    assert read_index_mask(tmp_path / "m.png").tolist() == [[1, 0]]


def test_rgb_masks_in_davis_colours(tmp_path: Path) -> None:
    index = np.array([[0, 1, 2], [7, 38, 255]], np.uint8)
    Pillow.fromarray(davis_palette()[index]).save(tmp_path / "m.png")
    assert (read_index_mask(tmp_path / "m.png") == index).all()


def test_white_on_black_and_transparent_masks(tmp_path: Path) -> None:
    white = np.zeros((2, 2, 3), np.uint8)
    white[0] = 255
    Pillow.fromarray(white).save(tmp_path / "w.png")
    assert read_index_mask(tmp_path / "w.png").tolist() == [[255, 255], [0, 0]]
    clear = np.dstack([np.full((2, 2, 3), 255, np.uint8), np.array([[255, 0], [0, 255]], np.uint8)])
    Pillow.fromarray(clear).save(tmp_path / "t.png")
    assert read_index_mask(tmp_path / "t.png").tolist() == [[255, 0], [0, 255]]
    grey = np.dstack([np.array([[2, 2]], np.uint8), np.array([[255, 0]], np.uint8)])
    Pillow.fromarray(grey).save(tmp_path / "la.png")
    assert read_index_mask(tmp_path / "la.png").tolist() == [[2, 0]]


def test_other_colours_are_refused_by_name(tmp_path: Path) -> None:
    photo = draw_frame(0)
    Pillow.fromarray(photo).save(tmp_path / "photo.png")
    with pytest.raises(BadMask, match=r"photo\.png: colour #[0-9a-f]{6} is not a DAVIS colour"):
        read_index_mask(tmp_path / "photo.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Pillow.fromarray(noise).save(tmp_path / "noise.png")
    with pytest.raises(BadMask, match=r"noise\.png"):
        read_index_mask(tmp_path / "noise.png")
