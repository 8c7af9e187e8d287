"""Maps of single photos that later stages read again: responses, seeds, boundaries, pseudo-masks."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor, nn
from tqdm import tqdm

from backends.core.images import read_index_mask
from backends.core.palette import davis_palette
from backends.training.files import read_tensors, save_atomically
from backends.weak_shot import subjects
from backends.weak_shot.album import Album
from backends.weak_shot.labels import Labels
from backends.weak_shot.photos import Photo
from backends.weak_shot.places import write_whole
from backends.weak_shot.recipe import ResponseConfig
from backends.weak_shot.responses import responses, seeds

Float = NDArray[np.float32]


class PhotoFiles:
    """Files in a folder, one per photo, named after it; made when they are first asked for."""

    suffix = ".png"
    label = "maps"

    def __init__(self, folder: Path, album: Album):
        self.folder, self.album = folder, album

    def fill(self, photos: Sequence[Photo]) -> None:
        """Make what is missing, with a progress bar."""
        missing = [photo for photo in photos if not self.path(photo).is_file()]
        for photo in progress(missing, self.label) if missing else ():
            self.make(photo)

    def path(self, photo: Photo) -> Path:
        """Where the photo's map is kept; a photo's name may hold slashes."""
        return self.folder / f"{photo.name}{self.suffix}"

    def make(self, photo: Photo) -> None:
        """Write the photo's map."""
        raise NotImplementedError

    def _at(self, photo: Photo) -> Path:
        path = self.path(photo)
        if not path.is_file():
            self.make(photo)
        return path


class ResponseFiles(PhotoFiles):
    """Normalised responses of a photo's tags and the seeds that follow from them."""

    suffix = ".safetensors"
    label = "responses"

    def __init__(self, folder: Path, network: nn.Module, album: Album, config: ResponseConfig, device: str):
        super().__init__(folder, album)
        self.network, self.config = Viewer(network, device), config

    def cams(self, photo: Photo) -> Float:
        """(K, h, w) float32 in [0, 1], in the order of the photo's class ids."""
        return np.asarray(read_tensors(self._at(photo))[0]["cams"].float().numpy(), np.float32)

    def seeds(self, photo: Photo) -> Labels:
        """(H, W) labels at the album's size; 255 where responses are not sure."""
        return np.asarray(self.album.shelf.get(self.path(photo), lambda: self._seeds(photo)), np.uint8)

    def _seeds(self, photo: Photo) -> Labels:
        return np.asarray(read_tensors(self._at(photo))[0]["seeds"].numpy(), np.uint8)

    def make(self, photo: Photo) -> None:
        image, ids, c = self.album.image(photo), self.album.photos.tag_ids(photo), self.config
        cams = responses(self.network, image, ids, c.scales, c.flip)
        how = c.refinement if c.refine else None
        sure = seeds(cams, image, ids, c.seed_foreground, c.seed_background, how)
        self.path(photo).parent.mkdir(parents=True, exist_ok=True)
        tensors = {"cams": torch.from_numpy(cams).half(), "seeds": torch.from_numpy(sure)}
        save_atomically(tensors, self.path(photo), {})


@dataclass(frozen=True)
class Viewer:
    """A classifier on some device, asked from the CPU."""

    network: Any
    device: str

    def cam(self, rgb: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, n, h, w) >= 0."""
        found: Tensor = self.network.cam(rgb.to(self.device)).float().cpu()
        return found

    def read(self, maps: Tensor) -> Tensor:
        """(K, h, w) of an image's tags -> (K, h, w) in [0, 1]."""
        found: Tensor = self.network.read(maps)
        return found


class BoundaryMaps(PhotoFiles):
    """How likely each pixel lies on a boundary, as 8-bit pictures."""

    label = "boundaries"

    def __init__(self, folder: Path, network: nn.Module, album: Album, device: str):
        super().__init__(folder, album)
        self.network, self.device = network, device

    def probability(self, photo: Photo) -> Float:
        """(H, W) float32 in [0, 1] at the album's size."""
        found = self.album.shelf.get(self.path(photo), lambda: _read(self._at(photo)))
        return np.asarray(found.astype(np.float32) / 255, np.float32)

    def make(self, photo: Photo) -> None:
        found = subjects.boundary_of(self.network, self.album.image(photo), self.device)
        _write(self.path(photo), np.round(found * 255).astype(np.uint8))


class MaskFiles(PhotoFiles):
    """Pseudo-masks as index-colour PNGs at the album's size."""

    label = "pseudo-masks"

    def __init__(self, folder: Path, album: Album, mask: Callable[[Photo], Labels]):
        super().__init__(folder, album)
        self._mask = mask

    def labels(self, photo: Photo) -> Labels:
        """(H, W) class ids."""
        found = self.album.shelf.get(self.path(photo), lambda: _read(self._at(photo)))
        return np.asarray(found, np.uint8)

    def make(self, photo: Photo) -> None:
        _write(self.path(photo), self._mask(photo), davis_palette())


def progress(photos: Sequence[Photo], label: str) -> Iterator[Photo]:
    """The photos, with a bar on stderr."""
    pause_s = 0.1 if sys.stderr.isatty() else 10.0
    yield from tqdm(photos, desc=label, unit="photo", mininterval=pause_s)


def _read(path: Path) -> Labels:
    return read_index_mask(path)


def _write(path: Path, values: NDArray[np.uint8], palette: NDArray[np.uint8] | None = None) -> None:
    picture = Pillow.fromarray(values)
    if palette is not None:
        picture.putpalette(palette.tobytes())  # makes it an index picture
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    write_whole(path, buffer.getvalue())
