"""The four networks of the weak-shot method, each on a trunk of its own.

Source: RETAB (weak-shot semantic segmentation by transferring semantic affinity and boundary) and PSA (Ahn
and Kwak, CVPR 2018), whose heads these are: 1x1 convolutions on several depths of a trunk, joined. Where a
trunk offers maps finer than stride 8 they are used too. Images come as (B, 3, H, W) RGB in [0, 1], any size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.trunks import catalogue
from backends.trunks.interface import Trunk

GRID = 8
"""Stride of the affinities, and of the grid on which scores are propagated."""
_MULTIPLE = 16
"""Trunks want sides that are multiples of this."""
_CLASSIFYING = {"mobilenet_v2": "mobilenet_v2_deep", "resnet50": "resnet50_deep"}
_DENSE = {"mobilenet_v2": "mobilenet_v2_blocks", "resnet50": "resnet50_deep"}


def classifying_trunk(name: str) -> str:
    """Catalogue name of the trunk with all layers that a classifier named ``name`` by a person stands on."""
    return _CLASSIFYING.get(name, name)


def dense_trunk(name: str) -> str:
    """The same for the networks that answer per pixel."""
    return _DENSE.get(name, name)


def grid_of(height: int, width: int, stride: int = GRID) -> tuple[int, int]:
    """(rows, columns) of the cells that cover an image: the sides over ``stride``, rounded up."""
    return -(-height // stride), -(-width // stride)


def stages_of(trunk: Trunk, rgb: Tensor) -> list[Tensor]:
    """The trunk's maps, shallow to deep, of images of any size: edges repeated, surplus cells cut off.

    A map at stride s is (B, C, ceil(H/s), ceil(W/s)).
    """
    height, width = rgb.shape[-2:]
    margin = (0, -width % _MULTIPLE, 0, -height % _MULTIPLE)
    found = trunk.pyramid(F.pad(rgb, margin, mode="replicate") if any(margin) else rgb)
    cells = [grid_of(height, width, stride) for stride, _ in trunk.stages]
    return [x[..., :rows, :columns] for x, (rows, columns) in zip(found, cells, strict=True)]


def resized(x: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """(B, C, h, w) brought to ``size``: means of cells where it shrinks by half or more, else bilinear."""
    rows, columns = size
    if x.shape[-2:] == (rows, columns):
        return x
    if x.shape[-2] >= 2 * rows - 1 and x.shape[-1] >= 2 * columns - 1:
        return F.adaptive_avg_pool2d(x, (rows, columns))
    return F.interpolate(x, (rows, columns), mode="bilinear", align_corners=False)


class Classifier(nn.Module):
    """Which classes an image shows; ``cam`` says where it looked.

    The head is a 1x1 convolution without bias on the deepest map (PSA), so that the activation of a class is
    its logit before pooling. A logit is the mean over the cells; with ``top`` below 1 the mean over that
    share of the cells where the class answers most.
    """

    def __init__(self, trunk_name: str, n: int, top: float = 1.0, dropout: float = 0.5):
        super().__init__()
        self.trunk = catalogue.build(classifying_trunk(trunk_name), (4, 8))
        self.top = top
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(self.trunk.stages[-1][1], n, 1, bias=False)
        nn.init.normal_(self.head.weight, std=0.01)

    def activations(self, rgb: Tensor) -> Tensor:
        """(B, n, h, w) class activations at the deepest stride; negative where a class is unlikely."""
        found: Tensor = self.head(self.dropout(stages_of(self.trunk, rgb)[-1]))
        return found

    def forward(self, rgb: Tensor) -> Tensor:
        """(B, n) logits."""
        return pooled(self.activations(rgb), self.top)

    def cam(self, rgb: Tensor) -> Tensor:
        """(B, n, h, w) >= 0: class activation maps, not normalised."""
        return F.relu(self.activations(rgb))

    def read(self, maps: Tensor) -> Tensor:
        """(K, h, w) maps of an image's tags, mean of its views -> [0, 1], each divided by its largest."""
        return normalised(maps)


def normalised(maps: Tensor) -> Tensor:
    """(K, h, w) >= 0, each divided by its largest value; zeros stay zeros."""
    return maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-5)


def pooled(activations: Tensor, top: float = 1.0) -> Tensor:
    """(B, n, h, w) -> (B, n): mean of the ``top`` share of the cells, at least one."""
    cells = activations.flatten(2)
    if top >= 1:
        return cells.mean(-1)
    return cells.topk(max(1, round(top * cells.shape[-1])), -1).values.mean(-1)


def _width(channels: int) -> int:
    """Channels kept of a trunk's map; 64, 128 and 256 of PSA's 512, 1024 and 4096."""
    for limit, width in ((64, 32), (512, 64), (1024, 128)):
        if channels <= limit:
            return width
    return 256


class _Joined(nn.Module):
    """Every stage of a trunk through its own 1x1 convolution and ELU, brought to one stride and stacked."""

    def __init__(self, trunk: Trunk, stride: int):
        super().__init__()
        self.stride = stride
        widths = [_width(channels) for _, channels in trunk.stages]
        self.reduce = nn.ModuleList(
            nn.Conv2d(channels, width, 1, bias=False)
            for (_, channels), width in zip(trunk.stages, widths, strict=True)
        )
        self.channels = sum(widths)

    def forward(self, maps: Sequence[Tensor], height: int, width: int) -> Tensor:
        size = grid_of(height, width, self.stride)
        return torch.cat(
            [resized(F.elu(reduce(x)), size) for reduce, x in zip(self.reduce, maps, strict=True)], 1
        )


class BoundaryNetwork(nn.Module):
    """Where one object ends and another begins, whatever they are: (B, 3, H, W) -> (B, 1, H, W) logits."""

    def __init__(self, trunk_name: str, width: int = 64):
        super().__init__()
        self.trunk = catalogue.build(dense_trunk(trunk_name), (4, 8))
        self.joined = _Joined(self.trunk, 4)
        self.mix = nn.Conv2d(self.joined.channels, width, 1)
        self.shape = nn.Conv2d(width, width, 3, padding=1)
        self.edge = nn.Conv2d(width, 1, 1)

    def forward(self, rgb: Tensor) -> Tensor:
        height, width = rgb.shape[-2:]
        x = F.elu(self.mix(self.joined(stages_of(self.trunk, rgb), height, width)))
        logits = self.edge(F.elu(self.shape(x)))
        return F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)


class AffinityNetwork(nn.Module):
    """Features whose distance says whether two cells show the same thing: (B, C, ceil(H/8), ceil(W/8))."""

    def __init__(self, trunk_name: str, width: int = 128):
        super().__init__()
        self.trunk = catalogue.build(dense_trunk(trunk_name), (4, 8))
        self.joined = _Joined(self.trunk, GRID)
        self.mix = nn.Conv2d(self.joined.channels, width, 1, bias=False)
        nn.init.xavier_uniform_(self.mix.weight, gain=4)  # PSA's: features far enough apart to learn from

    def forward(self, rgb: Tensor) -> Tensor:
        joined = self.joined(stages_of(self.trunk, rgb), rgb.shape[-2], rgb.shape[-1])
        return F.elu(self.mix(joined))


Offsets = Sequence[tuple[int, int]]
"""(dy, dx) of the second cell of a pair from its first, dy >= 0."""


Window = tuple[slice, slice]
"""Rows and columns of a part of the grid."""


def overlap(size: tuple[int, int], offset: tuple[int, int]) -> tuple[Window, Window]:
    """Rows and columns of the first and of the second cells of all pairs at ``offset`` inside ``size``.

    Empty slices where the offset is wider than the grid.
    """
    dy, dx = offset
    rows, columns = max(size[0] - dy, 0), max(size[1] - abs(dx), 0)
    left, right = max(-dx, 0), max(dx, 0)
    first = slice(0, rows), slice(left, left + columns)
    return first, (slice(dy, dy + rows), slice(right, right + columns))


def pair_distances(features: Tensor, offset: tuple[int, int]) -> Tensor:
    """(B, rows, columns): mean over channels of |x_i - x_j| for every pair at ``offset`` (see overlap)."""
    (y, x), (v, u) = overlap((features.shape[-2], features.shape[-1]), offset)
    return (features[..., y, x] - features[..., v, u]).abs().mean(1)


def pair_affinities(features: Tensor, offsets: Offsets) -> Tensor:
    """(B, n_off, h, w) in [0, 1]: ``exp(-mean_c |x_i - x_j|)``, i at its cell and j at cell + offset.

    Zero where j would lie outside of the grid.
    """
    batch, _, height, width = features.shape
    found = features.new_zeros((batch, len(offsets), height, width))
    for index, offset in enumerate(offsets):
        (y, x), _ = overlap((height, width), offset)
        found[:, index, y, x] = torch.exp(-pair_distances(features, offset))
    return found


class SegmentationNetwork(nn.Module):
    """Class of every pixel: (B, 3, H, W) -> (B, n + 1, H, W) logits, channel 0 the background.

    The deepest map, weighed by a summary of the whole image (LR-ASPP; Howard et al., "Searching for
    MobileNetV3", ICCV 2019), meets the finer ones on the way up to stride 4.
    """

    def __init__(self, trunk_name: str, n: int, width: int = 128):
        super().__init__()
        self.trunk = catalogue.build(dense_trunk(trunk_name), (4, 8))
        (_, c4), *between, (_, deep) = self.trunk.stages
        self.deep = nn.Conv2d(deep, width, 1)
        self.whole = nn.Conv2d(deep, width, 1)
        self.between = nn.ModuleList(nn.Conv2d(channels, width, 1) for _, channels in between)
        self.mix8 = nn.Conv2d(width, width // 2, 3, padding=1)
        self.at4 = nn.Conv2d(c4, width // 2, 1)
        self.mix4 = nn.Conv2d(width // 2, width // 2, 3, padding=1)
        self.classes = nn.Conv2d(width // 2, n + 1, 1)

    def forward(self, rgb: Tensor) -> Tensor:
        height, width = rgb.shape[-2:]
        at4, *between, deep = stages_of(self.trunk, rgb)
        x = F.relu(self.deep(deep)) * torch.sigmoid(self.whole(F.adaptive_avg_pool2d(deep, 1)))
        for near, finer in zip(reversed(self.between), reversed(between), strict=True):
            x = resized(x, finer.shape[-2:]) + near(finer)
        x = resized(F.relu(self.mix8(F.relu(x))), at4.shape[-2:]) + self.at4(at4)
        logits = self.classes(F.relu(self.mix4(F.relu(x))))
        return F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
