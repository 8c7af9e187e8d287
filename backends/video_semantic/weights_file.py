"""The weights that are served: safetensors in half precision, with the network's config and its classes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from backends.core.errors import BadInput
from backends.training.files import read_tensors, save_atomically
from backends.training.settings import config_from
from backends.video_semantic.networks import NetworkConfig, SceneNetwork, build

ALGORITHM = "video_semantic"


@dataclass(frozen=True)
class SceneWeights:
    """What a weights file holds: a network ready to answer, its config, the names of its classes."""

    network: SceneNetwork
    config: NetworkConfig
    classes: tuple[str, ...]


def save_weights(
    state: Mapping[str, Tensor], config: NetworkConfig, classes: Sequence[str], path: Path
) -> None:
    """Write ``state`` without the auxiliary head, which only training has a use for."""
    half = {k: v.half() for k, v in state.items() if v.is_floating_point() and not k.startswith("aux.")}
    about = {
        "algorithm": ALGORITHM,
        "network": json.dumps(config.as_dict()),
        "classes": json.dumps(list(classes)),
    }
    save_atomically(half, path, about)


def load_weights(path: Path) -> SceneWeights:
    """The network in ``path``, in float32, ready to answer. Raises BadInput for any other file."""
    tensors, about = read_tensors(path)
    if about.get("algorithm") != ALGORITHM:
        raise BadInput(
            f"{path} holds weights of {about.get('algorithm', 'nothing named')}, not of {ALGORITHM}"
        )
    try:
        config = config_from(NetworkConfig, json.loads(about["network"]))
        classes = tuple(json.loads(about["classes"]))
        network = build(config)
        missing, unknown = network.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{path} is no weights file of {ALGORITHM}: {error}") from error
    lacking = [n for n in missing if not n.startswith("aux.") and not n.endswith("num_batches_tracked")]
    if lacking or unknown:
        raise BadInput(f"{path}: lacks {lacking[:3]} and has unknown {unknown[:3]}")
    if len(classes) != config.classes:
        raise BadInput(f"{path}: names {len(classes)} classes for a network of {config.classes}")
    return SceneWeights(network.eval(), config, classes)
