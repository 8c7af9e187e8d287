"""One file for a whole run: the networks of the weak-shot method and what is needed to use them.

safetensors with the prefixes ``classifier.``, ``boundary.``, ``affinity.`` and ``segmentation.``, any of
which may be missing (a pair of boundary and affinity serves every class), and JSON metadata.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from backends.core.errors import BadInput
from backends.training.files import read_tensors, save_atomically, under
from backends.training.settings import config_from
from backends.weak_shot.classes import ClassSet
from backends.weak_shot.networks import (
    AffinityNetwork,
    BoundaryNetwork,
    Classifier,
    SegmentationNetwork,
)
from backends.weak_shot.object_shares import ObjectShareClassifier
from backends.weak_shot.propagation import Walk
from backends.weak_shot.recipe import ResponseConfig
from backends.weak_shot.seam import SeamClassifier
from backends.weak_shot.shares import ShareClassifier

ALGORITHM = "weak_shot"
VERSION = 1
PARTS = ("classifier", "boundary", "affinity", "segmentation")
Variant = Literal["cam", "seam", "shares", "objects"]


@dataclass(frozen=True)
class Bundle:
    """The networks of one run, ready to answer, and how they were meant to be used."""

    trunk: str
    classes: ClassSet
    variant: Variant = "cam"
    walk: Walk = field(default_factory=Walk)
    responses: ResponseConfig = field(default_factory=ResponseConfig)
    classifier: Classifier | ShareClassifier | None = None
    boundary: BoundaryNetwork | None = None
    affinity: AffinityNetwork | None = None
    segmentation: SegmentationNetwork | None = None
    long_side_px: int = 416
    """Training kept its photos no larger; answers are read off at the same size."""

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The networks that are there, by prefix."""
        return {name: part for name in PARTS if (part := getattr(self, name)) is not None}


def save(bundle: Bundle, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write ``bundle`` whole or not at all; half precision unless told otherwise."""
    tensors: dict[str, Tensor] = {}
    for prefix, network in bundle.parts.items():
        for name, value in network.state_dict().items():
            tensors[f"{prefix}.{name}"] = value.to(dtype) if value.is_floating_point() else value
    about = {
        "version": VERSION,
        "trunk": bundle.trunk,
        "classes": bundle.classes.to_json(),
        "variant": bundle.variant,
        "walk": asdict(bundle.walk),
        "responses": asdict(bundle.responses),
        "long_side_px": bundle.long_side_px,
    }
    save_atomically(tensors, path, {"algorithm": ALGORITHM, "weak_shot": json.dumps(about)})


def load(path: Path, device: str = "cpu") -> Bundle:
    """The bundle in ``path``, in float32. Raises BadInput for other files and other shapes."""
    tensors, metadata = read_tensors(path, device)
    if metadata.get("algorithm") != ALGORITHM:
        raise BadInput(
            f"{path} holds weights of {metadata.get('algorithm', 'nothing named')}, not of {ALGORITHM}"
        )
    try:
        about = json.loads(metadata["weak_shot"])
        if about["version"] != VERSION:
            raise BadInput(f"{path} is of version {about['version']}; this MaskLoop reads {VERSION}")
        bundle = _described(about)
        found = {name: state for name in PARTS if (state := under(tensors, f"{name}."))}
        networks = {name: _filled(_MAKE[name](bundle), state) for name, state in found.items()}
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{path} is no weights file of {ALGORITHM}: {error}") from error
    return Bundle(**{**vars(bundle), **{name: network.to(device) for name, network in networks.items()}})


def _described(about: Mapping[str, Any]) -> Bundle:
    if about["variant"] not in _CLASSIFIERS:
        raise ValueError(f"variant {about['variant']!r}; known: {', '.join(_CLASSIFIERS)}")
    return Bundle(
        str(about["trunk"]),
        ClassSet.from_json(about["classes"]),
        about["variant"],
        config_from(Walk, about["walk"]),
        config_from(ResponseConfig, about["responses"]),
        long_side_px=int(about.get("long_side_px", Bundle.long_side_px)),
    )


_CLASSIFIERS: Mapping[str, Callable[[str, int], nn.Module]] = {
    "cam": Classifier,
    "seam": SeamClassifier,
    "shares": ShareClassifier,
    "objects": ObjectShareClassifier,
}
_MAKE: Mapping[str, Callable[[Bundle], nn.Module]] = {
    "classifier": lambda about: _CLASSIFIERS[about.variant](about.trunk, len(about.classes)),
    "boundary": lambda about: BoundaryNetwork(about.trunk),
    "affinity": lambda about: AffinityNetwork(about.trunk),
    "segmentation": lambda about: SegmentationNetwork(about.trunk, len(about.classes)),
}


def _filled(network: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """``network`` with ``state``, ready to answer. Raises RuntimeError if it does not fit."""
    network.load_state_dict({k: v.float() for k, v in state.items()})
    return network.eval()
