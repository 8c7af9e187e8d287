"""Weights for whole scenes that know the drawn footage of a test, made in a second, and that do look back.

The network is the default one with everything drawn by lot; its norms are settled on the footage and only its
last layer is fitted, by ridge regression. The attention's way out is drawn too, so that the past matters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from backends.video_semantic.networks import NetworkConfig, SceneNetwork, build
from backends.video_semantic.temporal import TemporalConfig
from backends.video_semantic.weights_file import save_weights

REACH = 2


def near_only(network: SceneNetwork) -> None:
    """Let each cell see its surroundings alone, not the layout: things may then be anywhere."""
    for reduce in network.encoder.reduce:  # type: ignore[union-attr]
        for weight in reduce.parameters():
            nn.init.zeros_(weight)


def write_knowing_scene(
    path: Path,
    pictures: Sequence[tuple[np.ndarray, np.ndarray]],
    classes: Sequence[str],
    prepare: Callable[[SceneNetwork], None] = lambda network: None,
    past: float = 0.05,
) -> Path:
    """The weights file; ``pictures`` are (H, W, 3) RGB and (H, W) ids, others than classes do not count.

    ``prepare`` may change the network that is drawn by lot before anything is fitted; ``past`` is how much
    the frames before count.
    """
    torch.manual_seed(5)
    temporal = TemporalConfig(frames=REACH, start=1, end=1, width=16)
    config = NetworkConfig(classes=len(classes), looks_back=True, temporal=temporal)
    network = build(config)
    prepare(network)
    rgb = torch.from_numpy(np.stack([p for p, _ in pictures])).permute(0, 3, 1, 2).float() / 255
    ids = torch.from_numpy(np.stack([i for _, i in pictures])).long()
    settled = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in settled:
        norm.momentum = None  # the plain mean of what it sees
    last: nn.Conv2d = network.decoder.classify  # type: ignore[assignment]
    seen: list[torch.Tensor] = []
    with torch.inference_mode():
        network.train()(rgb)
        hook = last.register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
        network.eval()(rgb)
    hook.remove()
    cells = seen[0]
    share = F.one_hot(torch.where(ids < len(classes), ids, len(classes)), len(classes) + 1).permute(
        0, 3, 1, 2
    )
    wanted = F.interpolate(share.float(), cells.shape[-2:], mode="area")[:, :-1]
    x = (
        torch.cat([cells.clone(), torch.ones_like(cells[:, :1])], 1)
        .permute(0, 2, 3, 1)
        .flatten(0, 2)
        .double()
    )
    y = (8 * wanted - 4).permute(0, 2, 3, 1).flatten(0, 2).double()
    gram = x.T @ x
    solved = torch.linalg.solve(
        gram + 1e-4 * gram.diagonal().mean() * torch.eye(len(gram)), x.T @ y
    ).T.float()
    last.weight.data, last.bias.data = solved[:, :-1, None, None].contiguous(), solved[:, -1].contiguous()
    assert network.temporal is not None
    nn.init.normal_(network.temporal.expand.weight, std=past)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(network.state_dict(), config, list(classes), path)
    return path
