"""Weights and checkpoints as safetensors: written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from backends.training.files import read_tensors, save_atomically
from backends.video_object.confidence import Calibration
from backends.video_object.network import NetworkConfig


def save_weights(state: Mapping[str, Tensor], config: NetworkConfig, path: Path) -> None:
    """The weights that are served: half precision, with the network's config as metadata."""
    half = {k: v.half() for k, v in state.items()}
    save_atomically(half, path, {"algorithm": "video_object", "network": json.dumps(config.as_dict())})


def with_confidence(weights: Path, calibration: Calibration, out: Path) -> None:
    """Copy ``weights`` to ``out`` (the same file is fine) with ``calibration`` in the metadata."""
    tensors, metadata = read_tensors(weights)
    save_atomically(tensors, out, metadata | {"confidence": calibration.text()})


def keep_confidence(start_from: Path, weights: Path) -> None:
    """Let ``weights`` read their confidence as those that they began with do, until it is fitted anew."""
    if fitted := read_tensors(start_from)[1].get("confidence"):
        tensors, metadata = read_tensors(weights)
        save_atomically(tensors, weights, metadata | {"confidence": fitted})
