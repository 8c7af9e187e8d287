"""Weights and checkpoints as safetensors: written whole or not at all; and the network they belong to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from backends.clicks.network import ClickNetwork, NetworkConfig
from backends.core.errors import BadInput

ALGORITHM = "clicks"


def save_weights(state: Mapping[str, Tensor], config: NetworkConfig, path: Path) -> None:
    """The weights that are served: half precision, with the network's config as metadata."""
    half = {k: v.half() for k, v in state.items() if v.is_floating_point()}
    save_atomically(half, path, {"algorithm": ALGORITHM, "network": json.dumps(config.as_dict())})


def load_network(path: Path) -> ClickNetwork:
    """The network in ``path``, in float32, ready to answer. Raises BadInput for any other file."""
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            state = {k: file.get_tensor(k).float() for k in file.keys()}  # noqa: SIM118 - not a dict
        if about.get("algorithm") != ALGORITHM:
            raise BadInput(
                f"{path} holds weights of {about.get('algorithm', 'nothing named')}, not of clicks"
            )
        network = ClickNetwork(NetworkConfig(**json.loads(about["network"])))
        missing, unknown = network.load_state_dict(state, strict=False)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{path} is no weights file of clicks: {error}") from error
    lacking = [name for name in missing if not name.endswith("num_batches_tracked")]
    if lacking or unknown:
        raise BadInput(f"{path}: lacks {lacking[:3]} and has unknown {unknown[:3]}")
    return network.eval()


def save_atomically(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write safetensors beside ``path``, flush to disk, then rename over it."""
    part = path.with_name(path.name + ".part")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part, metadata)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
