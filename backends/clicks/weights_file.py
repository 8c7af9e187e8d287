"""Weights and checkpoints as safetensors: written whole or not at all; and the network they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from backends.clicks.network import ClickNetwork, NetworkConfig
from backends.core.errors import BadInput
from backends.training.files import save_atomically

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
