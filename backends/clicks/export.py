"""Writes the network as graphs that run without torch: ``python -m backends.clicks.export PART WEIGHTS OUT``.

``frame``: pictures (B, H, W, 3) uint8, sides multiples of 16 -> their features. ``head``: features and
prompts -> logits (B, 1, H/2, W/2). B, the sides and the number of clicks may be any.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from backends.clicks.network import CHANNELS, ClickNetwork
from backends.clicks.weights_file import load_network

OPSET = 17
FEATURES = ["near16", "near8", "near4", "unit"]
PROMPTS = ["maps", "places", "signs"]


class FrameGraph(nn.Module):
    """(B, H, W, 3) uint8 -> FEATURES."""

    def __init__(self, network: ClickNetwork):
        super().__init__()
        self.network = network

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.network.encode(frame.permute(0, 3, 1, 2).float() / 255.0)


def export(part: str, weights: Path, out: Path) -> None:
    """Write ``part`` (frame or head) of the network in ``weights``. Raises BadInput for other weights."""
    network = load_network(weights)
    frame = torch.zeros(2, 64, 96, 3, dtype=torch.uint8)
    if part == "frame":
        _write(FrameGraph(network), (frame,), out, ["frame"], FEATURES, {"frame": {0: "B", 1: "H", 2: "W"}})
        return
    with torch.no_grad():
        features = FrameGraph(network)(frame)
    prompts = (torch.zeros(2, CHANNELS, 16, 24), torch.zeros(2, 3, 2), torch.ones(2, 3))
    axes = {name: {0: "B", 2: f"h_{name}", 3: f"w_{name}"} for name in [*FEATURES, "maps", "logits"]}
    axes |= {name: {0: "B", 1: "clicks"} for name in ("places", "signs")}
    _write(network.head, (*features, *prompts), out, [*FEATURES, *PROMPTS], ["logits"], axes)


def _write(
    module: nn.Module,
    example: tuple[Tensor, ...],
    out: Path,
    inputs: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
) -> None:
    if outputs == FEATURES:
        axes |= {name: {0: "B", 2: f"h_{name}", 3: f"w_{name}"} for name in FEATURES}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer's remarks on shapes that are in fact fixed
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


if __name__ == "__main__":
    export(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
