"""Small snapshots of every kind, drawn: clips of look-alikes, scenes of coloured blocks, tagged photos."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.export.snapshot import Snapshot, SnapshotWriter
from pipelines.media.palette import index_png
from pipelines.studies import crossing

_SHOWN = (["car", "tree"], ["car"], ["sky", "tree"])
COLOURS = {"sky": (120, 180, 240), "road": (90, 90, 90), "car": (200, 30, 30), "tree": (20, 140, 40)}


def png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def about(kind: str, videos: Mapping[str, str], held_out: Sequence[str], project: int = 3) -> dict[str, Any]:
    """A manifest; ``videos``: clip -> video."""
    clips = {
        clip: {"video": video, "task": n, "split": "held_out" if clip in held_out else "train"}
        for n, (clip, video) in enumerate(videos.items(), 1)
    }
    return {"kind": kind, "project": project, "clips": clips, "held_out": list(held_out)}


def objects(
    home: Path, *, clips: int = 4, frames: int = 8, size_hw: tuple[int, int] = (96, 128), seed: int = 5
) -> Snapshot:
    """Clips of two look-alikes, every frame labelled; the last clip is held out."""
    names = {f"drawn-{n:03d}": f"drawn-{n:03d}" for n in range(clips)}
    with SnapshotWriter(home) as writer:
        for name, scene in zip(names, crossing.scenes(clips, seed, size_hw, frames), strict=True):
            made = crossing.draw_scene(scene)
            for index in range(frames):
                writer.put(f"JPEGImages/{name}/{index:05d}.png", png(made.clip.frames[index]))
                writer.put(f"Annotations/{name}/{index:05d}.png", index_png(made.truths[index]))
        labels = {str(number): f"object {number}" for number in (1, 2, 3)}
        writer.put_json("objects.json", dict.fromkeys(names, labels))
        return writer.finish(about("video_object", names, [list(names)[-1]]))


def street(index: int, classes: Sequence[str], seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A frame of coloured blocks, (64, 96, 3), and its label map: ids of ``classes``, 255 for others."""
    rng = np.random.default_rng((seed, index))
    where = np.full((64, 96), "road", dtype=object)
    where[:28] = "sky"
    left = 8 + 6 * index % 60
    where[34:52, left : left + 24] = "car"
    where[12:34, 70:84] = "tree"
    image = np.zeros((64, 96, 3), np.int16)
    labels = np.full((64, 96), 255, np.uint8)
    for name, colour in COLOURS.items():
        image[where == name] = colour
        if name in classes:
            labels[where == name] = list(classes).index(name)
    noisy = image + rng.integers(-12, 13, image.shape)
    return noisy.clip(0, 255).astype(np.uint8), labels


def scenes(
    home: Path, classes: Sequence[str] = ("sky", "road", "car"), *, clips: int = 4, frames: int = 3
) -> Snapshot:
    """Drives through a drawn street; every frame labelled, the last clip held out."""
    names = {f"drive-{n:03d}": f"drive-{n:03d}" for n in range(clips)}
    held_out = [list(names)[-1]]
    with SnapshotWriter(home) as writer:
        for number, name in enumerate(names):
            for index in range(frames):
                image, labels = street(3 * number + index, classes, seed=number)
                writer.put(f"frames/{name}/{index:05d}.png", png(image))
                writer.put(f"masks/{name}/{index:05d}.png", index_png(labels))
        writer.put_json("classes.json", {"classes": list(classes), "val": held_out})
        return writer.finish(about("video_semantic", names, held_out))


def photos(home: Path, *, count: int = 10) -> Snapshot:
    """Tagged photos of blocks: cars and trees have masks, sky is known by its tag; two are held out."""
    names = ("car", "tree", "sky")
    told: dict[str, dict[str, Any]] = {}
    tags: dict[str, list[str]] = {}
    with SnapshotWriter(home) as writer:
        for number in range(count):
            name, held_out = f"photo{number}", number >= count - 2
            shown = (
                ["car", "tree", "sky"]
                if held_out
                else [["car", "tree"], ["car"], ["sky", "tree"]][number % 3]
            )
            image, labels = _photo(number, shown, names)
            writer.put(f"images/{name}.png", png(image))
            is_base = "sky" not in shown or held_out
            if is_base:
                writer.put(f"masks/{name}.png", index_png(labels))
            tags[name] = shown
            told[name] = {"task": number, "held_out": held_out, "mask": "whole" if is_base else "none"}
        writer.put_json("tags.json", tags)
        apart = [name for name in told if told[name]["held_out"]]
        writer.put_json("classes.json", {"names": list(names), "novel": ["sky"], "held_out": apart})
        return writer.finish({"kind": "weak_shot", "project": 3, "base_photos": 7, "photos": told})


def _photo(
    number: int, shown: Sequence[str], names: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng((7, number))
    image = rng.integers(60, 80, (48, 64, 3)).astype(np.uint8)
    labels = np.zeros((48, 64), np.uint8)
    for place, name in enumerate(shown):
        top, left = 4 + 6 * (number % 3), 4 + 20 * place
        image[top : top + 26, left : left + 16] = COLOURS[name]
        labels[top : top + 26, left : left + 16] = names.index(name) + 1
    return image, labels
