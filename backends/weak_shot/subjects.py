"""What each stage's network is, what it is taught by, and how its answers are read for one photo."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.core.errors import BadInput
from backends.core.types import Image
from backends.trunks import catalogue
from backends.weak_shot import losses
from backends.weak_shot.neighbourhood import half_plane
from backends.weak_shot.networks import (
    GRID,
    AffinityNetwork,
    BoundaryNetwork,
    Classifier,
    SegmentationNetwork,
    classifying_trunk,
    dense_trunk,
    pair_affinities,
)
from backends.weak_shot.object_shares import ObjectShareClassifier, object_share_losses
from backends.weak_shot.seam import SeamClassifier, seam_losses
from backends.weak_shot.shares import ShareClassifier, share_losses
from backends.weak_shot.training import Batch, Losses

Float = NDArray[np.float32]
OFFSETS = half_plane(5)


def build(stage: str, trunk: str, n: int) -> nn.Module:
    """An untrained network.

    ``stage`` is ``classifier``, ``seam``, ``shares``, ``objects``, ``boundary``, ``affinity`` or
    ``segmentation``.
    """
    if stage == "classifier":
        return Classifier(trunk, n)
    if stage == "seam":
        return SeamClassifier(trunk, n)
    if stage == "shares":
        return ShareClassifier(trunk, n)
    if stage == "objects":
        return ObjectShareClassifier(trunk, n)
    if stage == "boundary":
        return BoundaryNetwork(trunk)
    if stage == "affinity":
        return AffinityNetwork(trunk)
    if stage == "segmentation":
        return SegmentationNetwork(trunk, n)
    raise BadInput(f"unknown stage {stage!r}")


def load_trunk(network: Any, kind: str, trunk: str, path: Path) -> None:
    """Fill the network's trunk from an ImageNet file. Raises BadInput when it holds another's weights."""
    deep = kind in ("classifier", "seam")
    catalogue.load_weights(network.trunk, classifying_trunk(trunk) if deep else dense_trunk(trunk), path)


def _tags(network: Any, batch: Batch) -> Mapping[str, Tensor]:
    return {"loss": losses.tag_loss(network(batch.rgb).float(), batch.tags)}


def _seam(network: Any, batch: Batch) -> Mapping[str, Tensor]:
    return seam_losses(network, batch.rgb, batch.tags)


def _shares(network: Any, batch: Batch) -> Mapping[str, Tensor]:
    return share_losses(network, batch.rgb, batch.tags, batch.labels)


def _objects(network: Any, batch: Batch) -> Mapping[str, Tensor]:
    return object_share_losses(network, batch.rgb, batch.tags, batch.labels)


def _boundary(network: Any, batch: Batch) -> Mapping[str, Tensor]:
    return {"loss": losses.boundary_loss(network(batch.rgb).float(), batch.labels)}


def _affinity(network: Any, batch: Batch) -> Mapping[str, Tensor]:
    cells = batch.labels[:, GRID // 2 :: GRID, GRID // 2 :: GRID]  # the label in the middle of each cell
    return {"loss": losses.affinity_loss(network(batch.rgb).float(), cells, OFFSETS)}


def _segmentation(network: Any, batch: Batch) -> Mapping[str, Tensor]:
    return {"loss": losses.segmentation_loss(network(batch.rgb).float(), batch.labels)}


LOSSES: Mapping[str, Losses] = {
    "classifier": _tags,
    "seam": _seam,
    "shares": _shares,
    "objects": _objects,
    "boundary": _boundary,
    "affinity": _affinity,
    "segmentation": _segmentation,
}


@torch.inference_mode()
def pairs_of(network: nn.Module, image: Image, radius: int, device: str = "cpu") -> Float:
    """(n_off, h, w) float32 in [0, 1]: affinities on the photo's grid of stride 8."""
    found = pair_affinities(network(rgb_of(image, device)), half_plane(radius))[0]
    return np.asarray(found.float().cpu().numpy(), np.float32)


@torch.inference_mode()
def boundary_of(network: nn.Module, image: Image, device: str = "cpu") -> Float:
    """(H, W) float32 in [0, 1]: how likely each pixel lies on a boundary."""
    return np.asarray(torch.sigmoid(network(rgb_of(image, device)))[0, 0].float().cpu().numpy(), np.float32)


@torch.inference_mode()
def classes_of(network: nn.Module, image: Image, device: str = "cpu") -> Float:
    """(n + 1, H, W) float32 probabilities, mean of the photo and its mirror image."""
    rgb = rgb_of(image, device)
    both = torch.softmax(network(torch.cat([rgb, rgb.flip(-1)])).float(), 1)
    return np.asarray(((both[0] + both[1].flip(-1)) / 2).cpu().numpy(), np.float32)


def rgb_of(image: Image, device: str = "cpu") -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32 in [0, 1]."""
    rgb = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None]
    return (rgb.float() / 255).contiguous(memory_format=torch.channels_last)


def filled(network: nn.Module, state: Mapping[str, Tensor], name: str) -> nn.Module:
    """The network with these weights. Raises BadInput, naming ``name``, when they are another network's."""
    own = network.state_dict()
    lacking = [k for k, v in own.items() if k not in state or state[k].shape != v.shape]
    lacking = [k for k in lacking if own[k].is_floating_point()]
    if wrong := (lacking or sorted(set(state) - set(own))):
        raise BadInput(f"the weights of {name} do not fit this run's network: {', '.join(wrong[:3])}")
    network.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    return network


def digest_of(state: Mapping[str, Tensor]) -> str:
    """A name for exactly these weights."""
    seen = hashlib.sha256()
    for key in sorted(state):
        seen.update(key.encode())
        seen.update(state[key].detach().float().cpu().numpy().tobytes())
    return seen.hexdigest()[:12]
