"""Pictures with labelled objects, in memory: frames of DAVIS-layout videos, and photos with index masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from backends.core.errors import BadInput, BadMedia
from backends.core.images import SUFFIXES, open_image, read_index_mask
from backends.core.types import Image

HEIGHT = 480  # rows of a video frame; larger ones are scaled down to it


@dataclass(frozen=True)
class Still:
    """One picture (H, W, 3) and its labels (H, W) uint8, 0 = background. ``whole``: all labels together are
    one object too (a person in clothes)."""

    image: Image
    labels: NDArray[np.uint8]
    whole: bool


def from_videos(root: Path, names: Sequence[str], every: int = 1) -> list[Still]:
    """One frame in ``every`` of each sequence, those without an object left out. Raises BadMedia for none."""
    found = []
    for name in tqdm(names, desc="reading videos", unit="video"):
        for image_path, mask_path in frame_paths(root, name)[::every]:
            labels = read_labels(mask_path)
            if labels.any():
                found.append(_scaled(open_image(image_path), labels))
    if not found:
        raise BadMedia(f"{root}: no frame with an object in {', '.join(names) or 'no sequence at all'}")
    return found


def from_photos(root: Path, until: str) -> list[Still]:
    """``images/`` with ``masks/`` of the same stem, up to the stem ``until`` in name order.

    Raises BadMedia when there is no such pair.
    """
    paths = sorted(path for path in (root / "images").glob("*") if path.suffix.lower() in SUFFIXES)
    found = []
    for path in tqdm([path for path in paths if path.stem <= until], desc="reading photos", unit="photo"):
        mask = root / "masks" / f"{path.stem}.png"
        if mask.is_file():
            found.append(Still(open_image(path), read_index_mask(mask), whole=True))
    if not found:
        raise BadMedia(f"{root}: no photo in images/ has a mask of the same name in masks/")
    return found


def sequence_names(root: Path, without: Sequence[str] = ()) -> list[str]:
    """All sequences below ``root`` but those held out. Raises BadInput when it has no JPEGImages folder."""
    folder = _below(root, "JPEGImages")
    if not folder.is_dir():
        raise BadInput(f"{root} holds no JPEGImages folder; clicks want the DAVIS layout")
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name not in without)


def frame_paths(root: Path, name: str) -> list[tuple[Path, Path]]:
    """Pairs (frame, mask) of one sequence, in name order. Raises BadMedia when there is none."""
    masks = _below(root, "Annotations") / name
    pairs = [
        (path, masks / f"{path.stem}.png")
        for path in sorted((_below(root, "JPEGImages") / name).glob("*"))
        if path.suffix.lower() in SUFFIXES and (masks / f"{path.stem}.png").is_file()
    ]
    if not pairs:
        raise BadMedia(f"sequence {name!r}: no frame in {root} has a mask")
    return pairs


def read_labels(path: Path) -> NDArray[np.uint8]:
    """(H, W) uint8 object numbers; a {0, 255} mask, as DAVIS-2016 has them, is one object."""
    labels = read_index_mask(path)
    return (labels > 0).astype(np.uint8) if set(np.unique(labels)) <= {0, 255} else labels


def _scaled(image: Image, labels: NDArray[np.uint8]) -> Still:
    if image.shape[0] > HEIGHT:
        size = (round(image.shape[1] * HEIGHT / image.shape[0]), HEIGHT)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return Still(image, labels, whole=False)


def _below(root: Path, folder: str) -> Path:
    return root / folder / "480p" if (root / folder / "480p").is_dir() else root / folder
