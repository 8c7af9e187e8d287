"""The trunks a network may stand on, by name, and the ImageNet weights published for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from backends.core.errors import BadInput
from backends.trunks import torch_zip
from backends.trunks.interface import Trunk
from backends.trunks.mobilenet_v2 import MobileNetV2, MobileNetV2Deep
from backends.trunks.resnet import resnet18, resnet50, resnet50_deep
from backends.trunks.resnet38 import ResNet38
from backends.trunks.resnet_whole import resnet18_whole, resnet34_whole, resnet50_whole, resnet101_whole

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
    """How one trunk is built, its published files (the first is what is downloaded), its strides."""

    make: Callable[[], Trunk]
    published: tuple[Published, ...] = ()
    strides: tuple[int, ...] = (4, 8, 16)


_MOBILENET_V2 = (Published("mobilenet_v2-7ebf99e0.pth"), Published("mobilenet_v2-b0353104.pth"))
_RESNET18 = (Published("resnet18-f37072fd.pth"),)
_RESNET34 = (Published("resnet34-b627a593.pth"), Published("resnet34-333f7ec4.pth"))
_RESNET101 = (Published("resnet101-cd907fc2.pth"), Published("resnet101-63fe2227.pth"))
_RESNET50 = (Published("resnet50-11ad3fa6.pth"), Published("resnet50-0676ba61.pth"))
TRUNKS = {
    "mobilenet_v2": Entry(MobileNetV2, _MOBILENET_V2),
    "mobilenet_v2_blocks": Entry(partial(MobileNetV2Deep, None), _MOBILENET_V2),
    "mobilenet_v2_deep": Entry(MobileNetV2Deep, _MOBILENET_V2),
    "resnet18": Entry(resnet18, _RESNET18),
    "resnet18_stride8": Entry(partial(resnet18_whole, 8), _RESNET18, (4, 8)),
    "resnet18_stride32": Entry(partial(resnet18_whole, 32), _RESNET18, (4, 8, 16, 32)),
    "resnet34_stride32": Entry(partial(resnet34_whole, 32), _RESNET34, (4, 8, 16, 32)),
    "resnet50": Entry(resnet50, _RESNET50),
    "resnet50_deep": Entry(resnet50_deep, _RESNET50),
    "resnet50_stride8": Entry(partial(resnet50_whole, 8), _RESNET50, (4, 8)),
    "resnet101_stride8": Entry(partial(resnet101_whole, 8), _RESNET101, (4, 8)),
    "resnet38": Entry(ResNet38, strides=(4, 8)),
}


def build(name: str, strides: tuple[int, ...] = (4, 8, 16)) -> Trunk:
    """The trunk ``name`` with random weights.

    Raises BadInput, listing the known ones, for another name, and for a trunk that lacks one of ``strides``.
    """
    known = entry(name)
    if not set(strides) <= set(known.strides):
        fitting = [other for other, found in TRUNKS.items() if set(strides) <= set(found.strides)]
        raise BadInput(
            f"trunk {name} has features at strides {known.strides}, this network wants {strides}: "
            f"take {', '.join(fitting)}"
        )
    return known.make()


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
