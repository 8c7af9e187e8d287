"""Photos for annotators: every kind of picture becomes an upright RGB JPEG, a broken one is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from backends.core.errors import BadInput, BadMedia
from backends.core.images import open_image
from backends.settings import Settings
from pipelines.tag_project.photos import check_tags, ingest_photos

SETTINGS = Settings(max_side_px=64)


def picture(kind: str) -> Pillow.Image:
    rgb = Pillow.fromarray(np.random.default_rng(1).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    if kind == "I;16":
        return Pillow.fromarray(np.full((40, 60), 40_000, np.uint16))
    return rgb.convert(kind)


def written(folder: Path, task: dict[str, Any]) -> Path:
    return folder / str(task["image"]).split("?d=")[1]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("RGB", "a.jpg"),
        ("L", "a.png"),
        ("CMYK", "a.jpg"),
        ("I;16", "a.png"),
        ("RGBA", "a.png"),
        ("P", "a.png"),
    ],
)
def test_every_kind_of_picture(tmp_path: Path, kind: str, name: str) -> None:
    picture(kind).save(tmp_path / name)
    settings = replace(SETTINGS, media_root=tmp_path / "media")
    [task] = ingest_photos(tmp_path, settings).tasks
    copy = Pillow.open(written(tmp_path / "media", task))
    assert (copy.format, copy.mode, copy.size) == ("JPEG", "RGB", (60, 40))
    near = np.abs(open_image(tmp_path / name).astype(int).mean() - np.asarray(copy, int).mean())
    assert near < 5


def test_turned_large_and_tiny_pictures(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.new("RGB", (200, 100), "red").save(tmp_path / "turned.jpg", exif=exif)
    Pillow.new("RGB", (1, 1), "red").save(tmp_path / "tiny.png")
    settings = replace(SETTINGS, media_root=tmp_path / "media")
    tasks = {task["name"]: task for task in ingest_photos(tmp_path, settings).tasks}
    assert Pillow.open(written(tmp_path / "media", tasks["turned.jpg"])).size == (32, 64)
    assert Pillow.open(written(tmp_path / "media", tasks["tiny.png"])).size[0] >= 1


def test_a_broken_picture_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    picture("RGB").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not asked about")
    settings = replace(SETTINGS, media_root=tmp_path / "media")
    found = ingest_photos(tmp_path, settings, tags={"a": ["dog"], "gone.jpg": ["cat"]})
    assert [(task["name"], task["tags"]) for task in found.tasks] == [("a.png", ["dog"])]
    assert "b.png" in found.notes[0] and "gone.jpg" in found.notes[1]


def test_the_same_photos_again_write_nothing(tmp_path: Path) -> None:
    picture("RGB").save(tmp_path / "a.png")
    settings = replace(SETTINGS, media_root=tmp_path / "media")
    first = ingest_photos(tmp_path, settings)
    before = written(tmp_path / "media", first.tasks[0]).stat().st_mtime_ns
    assert ingest_photos(tmp_path, settings) == first
    assert written(tmp_path / "media", first.tasks[0]).stat().st_mtime_ns == before


def test_nothing_usable(tmp_path: Path) -> None:
    with pytest.raises(BadMedia, match="no such folder"):
        ingest_photos(tmp_path / "gone", SETTINGS)
    with pytest.raises(BadMedia, match="no photos"):
        ingest_photos(tmp_path, SETTINGS)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(BadMedia, match="none of 1 files can be read"):
        ingest_photos(tmp_path, replace(SETTINGS, media_root=tmp_path / "media"))


@pytest.mark.parametrize(
    ("tags", "says"),
    [(["dog"], "an object"), ({"a": "dog"}, "tags of 'a'"), ({"a": ["cow"]}, "'cow' is not among 'dog'")],
)
def test_tags_files_that_cannot_be_used(tags: object, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        check_tags(tags, ("dog",))
