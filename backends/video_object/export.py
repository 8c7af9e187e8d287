"""Writes the network as two graphs for ONNX Runtime: what depends on a frame alone (``encode``), and what is
said of the objects on it (``decode``).

Height, width, template rows and object slots may be any; the batch is 1. What the switches of the network's
config leave out is missing in the graphs as well.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.video_object.centres import Prior
from backends.video_object.grouped import Grouped, Layout, evidence
from backends.video_object.network import Encoding, Grid, Network, NetworkConfig
from backends.video_object.template import Template

OPSET = 17
FEATURES = ("embedded", "near16", "near8", "near4")
_NOW = tuple(f"now_{name}" for name in FEATURES)
TEMPLATE, GROUPED, GRID, LAYOUT = (
    tuple(field.name for field in fields(kind)) for kind in (Template, Grouped, Grid, Layout)
)
_EXAMPLE_HW = (96, 160)  # px; any frame will do, sizes are symbols in the graph


class EncodeGraph(nn.Module):
    """(1, 3, H, W) in [0, 1] -> FEATURES."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        found = self.network.encode(rgb)
        return found.embedded, found.near16, found.near8, found.near4


class TrunkGraph(nn.Module):
    """(1, 3, H, W) in [0, 1] -> the trunk's map at stride 16 alone: what speed is compared with."""

    def __init__(self, network: Network):
        super().__init__()
        self.trunk = network.trunk

    def forward(self, rgb: Tensor) -> Tensor:
        found: Tensor = self.trunk(rgb)[16]
        return found


class OneChannel(nn.Module):
    """A 3x3 convolution to one channel as nine weighted sums, each moved to its place.

    ONNX Runtime computes channels by the sixteen, so that one alone costs as much as sixteen.
    """

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        assert conv.out_channels == 1 and conv.kernel_size == (3, 3) and conv.bias is not None
        self.weight = conv.weight.detach().permute(2, 3, 1, 0).flatten(0, 1)[..., None].contiguous()
        self.bias = conv.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1, H, W)."""
        sums = F.pad(F.conv2d(x, self.weight), (1, 1, 1, 1))  # (B, 9, H + 2, W + 2)
        moved = self.bias
        for at in range(9):
            row, column = divmod(at, 3)
            moved = moved + sums[:, at : at + 1, row : (row - 2) or None, column : (column - 2) or None]
        return moved


class DecodeGraph(nn.Module):
    """:func:`inputs_of` -> :func:`outputs_of`."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = copy.deepcopy(network)
        self.network.decoder.leave = OneChannel(network.decoder.leave)  # type: ignore[assignment]
        self.names = inputs_of(network.config)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.names, tensors, strict=True))
        near16, previous = given["now_near16"], given["previous"]
        now = Encoding((near16.shape[2], near16.shape[3]), *(given[name] for name in _NOW))
        prior = Prior(given["centre"], given["spread"], given["weight"]) if "centre" in given else None
        nothing = now.embedded  # stands for what the config's switches leave out
        # of the frame before only the embedding is looked at
        before = Encoding(now.grid_hw, given.get("before", nothing), *(given[name] for name in _NOW[1:]))
        coarse = F.avg_pool2d(previous, 4).flatten(2)
        if self.network.config.lc == "full":
            grid = Grid(*(given.get(name, nothing) for name in GRID))
            template = Template(*(given[name] for name in TEMPLATE))
            seen = self.network.evidence(grid, now, template, before, coarse)
        else:
            layout = Layout(*(given.get(name, nothing) for name in LAYOUT))
            groups = Grouped(*(given[name] for name in GROUPED))
            seen = evidence(self.network, layout, now, groups, before, coarse)
        decoded = self.network.judge(seen, now, previous, prior, given.get("where", nothing))
        found = (decoded.logits, decoded.familiar, decoded.vote, decoded.steady)
        return tuple(tensor for tensor in found if tensor is not None)


def inputs_of(config: NetworkConfig) -> list[str]:
    """The names of decode's inputs, in order."""
    names = [*_NOW, *(TEMPLATE if config.lc == "full" else GROUPED), "previous"]
    names += {
        "off": ["cells"],
        "top4": ["before", "index", "inside", "cells", "strips", "columns"],
        "full": ["before", "index", "inside"],
    }[config.lc]
    if config.co != "off":
        names += ["where"]
    if config.co == "fuse":
        names += ["centre", "spread", "weight"]
    return names


def outputs_of(config: NetworkConfig) -> list[str]:
    """The names of decode's outputs, in order: fields of ``Decoded``."""
    names = ["logits", "familiar"]
    names += [] if config.co == "off" else ["vote"]
    return names + ([] if config.lc == "off" else ["steady"])


def export_encode(network: Network, out: Path) -> None:
    """Write the graph of ``Network.encode``."""
    axes = {"rgb": {2: "H", 3: "W"}, "embedded": {1: "P"}}
    axes |= {name: {2: f"h_{name}", 3: f"w_{name}"} for name in FEATURES[1:]}
    _write(EncodeGraph(network), (torch.rand(1, 3, *_EXAMPLE_HW),), out, ["rgb"], list(FEATURES), axes)


def export_trunk(network: Network, out: Path) -> None:
    """Write the graph of the bare trunk."""
    axes = {"rgb": {2: "H", 3: "W"}, "at16": {2: "h", 3: "w"}}
    _write(TrunkGraph(network), (torch.rand(1, 3, *_EXAMPLE_HW),), out, ["rgb"], ["at16"], axes)


def export_decode(network: Network, out: Path) -> None:
    """Write the graph of ``Network.decode``."""
    inputs, outputs = inputs_of(network.config), outputs_of(network.config)
    every = _axes()
    axes = {name: every[name] for name in [*inputs, *outputs] if name in every}
    example = _example(network)
    _write(DecodeGraph(network), tuple(example[name] for name in inputs), out, inputs, outputs, axes)


def _example(network: Network, slots: int = 2) -> dict[str, Tensor]:
    """Every input that decode can have, of a small frame."""
    config = network.config
    with torch.no_grad():
        now = network.encode(torch.rand(1, 3, *_EXAMPLE_HW))
    height, width = now.grid_hw
    rows = F.normalize(torch.rand(1, 2 * config.embedding, config.embedding), dim=-1)
    template = network.template(rows, torch.rand(1, slots, rows.shape[1]))
    own: tuple[object, ...] = (template, Grid.of(now.grid_hw, config.lc_radius, torch.device("cpu")))
    if config.lc != "full":
        own = (Grouped.of(template), Layout.of(now.grid_hw, config.lc_radius))
    example = {name: getattr(now, name.removeprefix("now_")) for name in _NOW}
    for part in own:
        example |= vars(part)
    return example | {
        "previous": torch.rand(1, slots, 4 * height, 4 * width),
        "before": now.embedded,
        "centre": torch.full((1, slots, 2), 40.0),
        "spread": torch.full((1, slots), 20.0),
        "weight": torch.ones(1, slots),
    }


def _axes() -> dict[str, dict[int, str]]:
    """Which axes are symbols; the same letter need not be the same size."""
    axes: dict[str, dict[int, str]] = {name: {2: f"h_{name}", 3: f"w_{name}"} for name in _NOW[1:]}
    axes |= {name: {1: "P"} for name in ("now_embedded", "before")}
    axes |= {name: {1: "N"} for name in ("rows", "isometric")}
    axes |= {name: {1: "K", 2: f"n_{name}"} for name in ("shares", "foreground", "background")}
    axes |= {name: {1: "K"} for name in ("centre", "spread", "weight")}
    axes |= {name: {0: "P"} for name in ("index", "inside", "cells")}
    axes |= {name: {1: "K", 2: f"h_{name}", 3: f"w_{name}"} for name in ("previous", "logits")}
    return axes | {
        "said": {2: "N"},
        "padding": {2: "N"},
        "own": {1: "K", 2: "n_own"},
        "strips": {0: "h", 1: "w_strips"},
        "columns": {0: "w"},
        "where": {1: "h_vote", 2: "w_vote"},
        "familiar": {1: "K", 2: "P"},
        "vote": {1: "K", 3: "h_vote", 4: "w_vote"},
    }


def _write(
    module: nn.Module,
    example: tuple[Tensor, ...],
    out: Path,
    inputs: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer's remarks on what is fixed: the batch and the channels
        torch.onnx.export(
            module.eval(),
            example,
            str(out),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
