"""Weak-shot weights that know the two shapes of the editor's tiny clip by their colours, made in seconds.

The trunk's first half is that of the shipped video weights, the rest is drawn by lot and scaled; only the
classifier's head is fitted, by ridge regression of each cell on what is there. Enough to find a shape by its
tag, and to miss a class that is not in the picture.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from backends.training.files import read_tensors
from backends.weak_shot.classes import ClassSet
from backends.weak_shot.labeller import LONG_SIDE_PX
from backends.weak_shot.networks import Classifier, stages_of
from backends.weak_shot.pictures import reduced
from backends.weak_shot.recipe import ResponseConfig
from backends.weak_shot.weights_file import Bundle, save
from tests.editor_house import N_FRAMES, frame_picture, truth

_SHIPPED = Path(__file__).parents[1] / "backends" / "video_object" / "weights" / "weights.safetensors"
KNOWN = ("dog", "cat", "sheep")
"""The ellipse, the box, and a class that is in no picture."""


def write_knowing_bundle(path: Path) -> Path:
    """The weights file."""
    torch.manual_seed(5)
    classifier = Classifier("mobilenet_v2", len(KNOWN))
    pictures = [reduced(frame_picture(index), LONG_SIDE_PX) for index in range(N_FRAMES)]
    rgb = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    _settle(classifier.trunk, rgb)
    classifier.eval()
    with torch.inference_mode():
        features = stages_of(classifier.trunk, rgb)[-1]  # (B, C, h, w)
    cells = features.permute(0, 2, 3, 1).flatten(0, 2).double()
    wanted = [_wanted(truth(index), features.shape[-2:]) for index in range(N_FRAMES)]
    targets = torch.from_numpy(np.concatenate(wanted))
    classifier.head.weight.data = _ridge(cells, targets)[:, :, None, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    responses = ResponseConfig(scales=(1.0,), flip=False, alpha=4.0)
    save(
        Bundle("mobilenet_v2", ClassSet(KNOWN), classifier=classifier, responses=responses),
        path,
        torch.float32,
    )
    return path


def _settle(trunk: nn.Module, rgb: torch.Tensor) -> None:
    """Shipped weights where there are some; the other convolutions scaled to answers of about one."""
    shipped, _ = read_tensors(_SHIPPED)
    known = {name.removeprefix("trunk."): value.float() for name, value in shipped.items()}
    mine = trunk.state_dict()
    mine.update({name: value for name, value in known.items() if name in mine})
    trunk.load_state_dict(mine)

    def rescale(layer: nn.Conv2d, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        layer.weight.data /= output.std()
        if layer.bias is not None:
            layer.bias.data.zero_()
        return layer.forward(*inputs)

    fresh = [
        m for name, m in trunk.named_modules() if isinstance(m, nn.Conv2d) and f"{name}.weight" not in known
    ]
    hooks = [layer.register_forward_hook(rescale) for layer in fresh]  # type: ignore[arg-type]
    with torch.no_grad():
        stages_of(trunk, rgb)  # type: ignore[arg-type]
    for hook in hooks:
        hook.remove()


def _wanted(ids: np.ndarray, hw: torch.Size) -> np.ndarray:
    """(cells, classes): 100 where the class fills the cell, -2 where it is not."""
    columns = []
    for number in range(1, len(KNOWN) + 1):
        share = cv2.resize((ids == number).astype(np.float32), (hw[1], hw[0]), interpolation=cv2.INTER_AREA)
        columns.append(102.0 * share.reshape(-1) - 2.0)
    return np.stack(columns, axis=1).astype(np.float64)


def _ridge(cells: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(n, C) float32 weights of the least squares with a small penalty."""
    gram = cells.T @ cells
    penalty = 1e-2 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram + penalty, cells.T @ targets).T.float()
