"""Weights and checkpoints as safetensors: written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from backends.training.files import read_tensors, save_atomically
from backends.video_object.confidence import Calibration
from backends.video_object.network import NetworkConfig


def save_weights(
    state: Mapping[str, Tensor], config: NetworkConfig, path: Path, start_from: Path | None = None
) -> None:
    """The weights that are served: half precision, with the network's config as metadata.

    Those that began with other weights read their confidence as these do, until it is fitted anew.
    """
    half = {k: v.half() for k, v in state.items()}
    about = {"algorithm": "video_object", "network": json.dumps(config.as_dict())}
    if start_from is not None and (fitted := read_tensors(start_from)[1].get("confidence")):
        about["confidence"] = fitted
    save_atomically(half, path, about)


def with_confidence(weights: Path, calibration: Calibration, out: Path) -> None:
    """Copy ``weights`` to ``out`` (the same file is fine) with ``calibration`` in the metadata."""
    tensors, metadata = read_tensors(weights)
    save_atomically(tensors, out, metadata | {"confidence": calibration.text()})
