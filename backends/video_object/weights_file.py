"""Weights and checkpoints as safetensors: written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from backends.video_object.confidence import Calibration
from backends.video_object.network import NetworkConfig


def save_weights(state: Mapping[str, Tensor], config: NetworkConfig, path: Path) -> None:
    """The weights that are served: half precision, with the network's config as metadata."""
    half = {k: v.half() for k, v in state.items()}
    save_atomically(half, path, {"algorithm": "video_object", "network": json.dumps(config.as_dict())})


def save_atomically(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write safetensors beside ``path``, flush to disk, then rename over it."""
    part = path.with_name(path.name + ".part")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part, metadata)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def with_confidence(weights: Path, calibration: Calibration, out: Path) -> None:
    """Copy ``weights`` to ``out`` (the same file is fine) with ``calibration`` in the metadata."""
    with safe_open(weights, framework="pt") as file:
        metadata = dict(file.metadata() or {})
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 - not a dict
    save_atomically(tensors, out, metadata | {"confidence": calibration.text()})
