"""The trunks a network may stand on, by name, and the ImageNet weights published for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from backends.core.errors import BadInput
from backends.trunks import torch_zip
from backends.trunks.interface import Trunk
from backends.trunks.mobilenet_v2 import MobileNetV2
from backends.trunks.resnet import resnet18, resnet50

MODELS = "https://download.pytorch.org/models"


@dataclass(frozen=True)
class Published:
    """One file of weights as torchvision publishes it; the name carries the beginning of its SHA-256."""

    name: str
    folder_url: str = MODELS

    @property
    def url(self) -> str:
        """Where it can be downloaded."""
        return f"{self.folder_url}/{self.name}"

    @property
    def sha256_begins(self) -> str:
        """The first eight hexadecimal digits of its SHA-256."""
        return self.name.rpartition("-")[2].partition(".")[0]


@dataclass(frozen=True)
class Entry:
    """How one trunk is built, and its published files; the first is what is downloaded."""

    make: Callable[[], Trunk]
    published: tuple[Published, ...]


TRUNKS = {
    "mobilenet_v2": Entry(
        MobileNetV2, (Published("mobilenet_v2-7ebf99e0.pth"), Published("mobilenet_v2-b0353104.pth"))
    ),
    "resnet18": Entry(resnet18, (Published("resnet18-f37072fd.pth"),)),
    "resnet50": Entry(resnet50, (Published("resnet50-11ad3fa6.pth"), Published("resnet50-0676ba61.pth"))),
}


def build(name: str) -> Trunk:
    """The trunk ``name`` with random weights. Raises BadInput, listing the known ones, for another name."""
    return entry(name).make()


def entry(name: str) -> Entry:
    """What the catalogue knows of ``name``. Raises BadInput like :func:`build`."""
    if name not in TRUNKS:
        raise BadInput(f"unknown trunk {name!r}; known: {', '.join(TRUNKS)}")
    return TRUNKS[name]


def load_weights(trunk: Trunk, name: str, path: Path) -> None:
    """Fill ``trunk``, built as ``name``, from ``path``: a zipped torch file or ``.safetensors``.

    Key names are torchvision's. A file whose SHA-256 is one of the published ones is taken as trained with
    torchvision's input; for any other see ``load_torchvision`` of the trunk. Raises BadInput when the file
    holds anything but tensors, or another network's.
    """
    state = _read(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    published = any(digest.startswith(file.sha256_begins) for file in entry(name).published)
    try:
        (trunk.load_published if published else trunk.load_torchvision)(state)
    except (KeyError, ValueError) as error:
        raise BadInput(f"{path} does not fit {name}: {error}") from error


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".safetensors":
        return torch_zip.read(path)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path} is no safetensors file: {error}") from error
