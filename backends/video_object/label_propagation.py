"""The floor without training: labels carried by the similarity of ImageNet features.

As in Jabri et al., "Space-Time Correspondence as a Contrastive Random Walk", NeurIPS 2020, appendix, and the
self-supervised methods compared there: a cell takes the labels of the most similar cells around its place in
the first and the last few frames, weighted by a softmax. Features are those of MobileNetV2's last block of 64
channels at stride 8 (its stride-16 step dilated instead), so they are the network's own trunk, untrained.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.core.errors import BadInput
from backends.core.types import Clip, FrameMasks, MaskPrompt, Prompt
from backends.trunks.catalogue import load_weights
from backends.trunks.mobilenet_v2 import MobileNetV2
from backends.video_object.geometry import SHORT_SIDE, Geometry
from backends.video_object.matching import window_index
from backends.video_object.memory import Given

STRIDE = 8
_FIRST_STRIDE_16, _LAST = 7, 10  # layers of MobileNetV2: where stride 16 begins, where the features are taken
_CELLS_AT_ONCE = 1024  # rows of the affinity computed together; bounds memory, not results


@dataclass(frozen=True)
class PropagationConfig:
    """How far and how sharply cells look. Chosen once from the literature, not tuned."""

    last_frames: int = 4
    """Context beside the first frame."""
    radius: int = 12
    """Half-width of the square window, in cells of 8 px."""
    top: int = 10
    """Most similar cells that vote."""
    temperature: float = 0.1
    """Of the softmax over them (cosine similarities)."""


@dataclass(frozen=True)
class _Known:
    """A frame whose labels are known."""

    features: Tensor  # (P, C) unit length
    labels: Tensor  # (P, K+1) shares, background first, summing to 1


class LabelPropagation:
    """A Segmenter without a learned part beyond its ImageNet trunk; several objects at once."""

    version = "label propagation"

    def __init__(
        self,
        trunk: MobileNetV2,
        config: PropagationConfig | None = None,
        device: str = "cpu",
        short_side: tuple[int, int] = SHORT_SIDE,
    ):
        self.config, self.device, self.short_side = (
            config or PropagationConfig(),
            torch.device(device),
            short_side,
        )
        self.layers = at_stride_8(trunk).eval().to(self.device)

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """Yield every frame once: from the first given frame to the end, then back to frame 0.

        Masks given on later frames take the place of what was carried there. Raises like any segmenter.
        """
        given = Given.of(clip, prompts)
        return self._frames(clip, given, Geometry.of(clip.size_hw, self.short_side))

    def _frames(self, clip: Clip, given: Given, geometry: Geometry) -> Iterator[FrameMasks]:
        yield from self._walk(clip, given, geometry, range(given.first, len(clip)))
        yield from list(self._walk(clip, given, geometry, range(given.first, -1, -1)))[1:]

    def _walk(self, clip: Clip, given: Given, geometry: Geometry, order: range) -> Iterator[FrameMasks]:
        first: _Known | None = None
        last: deque[_Known] = deque(maxlen=self.config.last_frames)
        for frame in order:
            known = self._step(clip, given, geometry, frame, [first, *last] if first else [])
            first = first or known
            last.append(known)
            yield _answer(known.labels, given, geometry, frame)

    @torch.inference_mode()
    def _step(
        self, clip: Clip, given: Given, geometry: Geometry, frame: int, context: Sequence[_Known]
    ) -> _Known:
        found = self.layers(geometry.image(clip.frames[frame], self.device) * 2 - 1)
        features = F.normalize(found[0].flatten(1), dim=0).T.contiguous()
        labels = torch.zeros(features.shape[0], len(given.objects) + 1, device=self.device)
        labels[:, 0] = 1
        if context:
            index, inside = window_index(_grid(geometry), self.config.radius, self.device)
            labels = carry(features, context, index, inside, self.config)
        return _Known(features, _fixed(labels, given.by_frame.get(frame, {}), geometry, self.device))


def load(trunk: Path, *, device: str = "cpu") -> LabelPropagation:
    """With MobileNetV2's ImageNet weights (torchvision's key names; safetensors or a zipped torch file).

    Raises BadInput when the file is missing or holds another network.
    """
    if not trunk.is_file():
        raise BadInput(f"trunk {trunk}: no such file; wants MobileNetV2's ImageNet weights")
    network = MobileNetV2()
    load_weights(network, "mobilenet_v2", trunk)
    return LabelPropagation(network, device=device)


def at_stride_8(trunk: MobileNetV2) -> nn.Sequential:
    """The layers up to the last of 64 channels; (1, 3, H, W) in [-1, 1] -> (1, 64, H/8, W/8).

    The step to stride 16 is taken with stride 1 and what follows is dilated by 2: every second cell is
    exactly what the trunk itself computes.
    """
    layers = nn.Sequential(*copy.deepcopy(list(trunk.features.children())[: _LAST + 1]))
    entry, conv = _depthwise(layers[_FIRST_STRIDE_16])
    entry[0] = nn.ZeroPad2d((0, 2, 0, 2))  # the phases that stride 2 skips look as far as the others
    conv.stride = (1, 1)
    for layer in list(layers.children())[_FIRST_STRIDE_16 + 1 :]:
        _, conv = _depthwise(layer)
        conv.dilation = conv.padding = (2, 2)
    return layers


def _depthwise(block: nn.Module) -> tuple[nn.Sequential, nn.Conv2d]:
    """The 3x3 stage of an inverted residual: padding, convolution, ReLU6; and its convolution."""
    stage: nn.Sequential = block.get_submodule("conv.1")  # type: ignore[assignment]
    conv: nn.Conv2d = stage[1]  # type: ignore[assignment]
    return stage, conv


def carry(
    features: Tensor, context: Sequence[_Known], index: Tensor, inside: Tensor, config: PropagationConfig
) -> Tensor:
    """(P, C) features and known frames -> (P, K+1) shares that sum to 1.

    ``index`` and ``inside`` (P, D) name each cell's neighbours in every known frame (``window_index``).
    """
    labels = torch.cat([known.labels for known in context])  # (T*P, K+1)
    parts = []
    for start in range(0, features.shape[0], _CELLS_AT_ONCE):
        cells = slice(start, start + _CELLS_AT_ONCE)
        near, near_inside = index[cells], inside[cells]
        similar = [
            (features[cells] @ known.features.T).gather(1, near).masked_fill(~near_inside, -2.0)
            for known in context
        ]
        best, place = torch.cat(similar, 1).topk(min(config.top, near.shape[1]), dim=1)  # over T*D
        offset = place // near.shape[1] * features.shape[0]
        voters = near.gather(1, place % near.shape[1]) + offset
        weights = torch.softmax(best / config.temperature, dim=1)
        parts.append((weights[..., None] * labels[voters]).sum(1))
    return torch.cat(parts)


def _grid(geometry: Geometry) -> tuple[int, int]:
    return geometry.padded_hw[0] // STRIDE, geometry.padded_hw[1] // STRIDE


def _fixed(labels: Tensor, cell: dict[int, MaskPrompt], geometry: Geometry, device: torch.device) -> Tensor:
    """Given masks in place of what was carried; the rest shares what they leave."""
    for slot, prompt in cell.items():
        share = F.avg_pool2d(geometry.soft_mask(prompt.mask, device)[None], STRIDE // 4).flatten()[:, None]
        labels = labels * (1 - share)
        labels[:, slot + 1] = share[:, 0]
        labels = labels / labels.sum(1, keepdim=True).clamp_min(1e-6)
    return labels


def _answer(labels: Tensor, given: Given, geometry: Geometry, frame: int) -> FrameMasks:
    height, width = _grid(geometry)
    winner = geometry.labels(labels.T.reshape(-1, height, width))
    anchors = given.anchors_on(frame)
    masks, confidence = dict(anchors), dict.fromkeys(anchors, 1.0)
    for slot, name in enumerate(given.objects):
        if name not in anchors:
            mask = winner == slot + 1
            for anchored in anchors.values():
                mask &= ~anchored
            masks[name] = mask
            inside = labels[:, slot + 1][labels[:, slot + 1] > 0.5]
            confidence[name] = float(inside.mean()) if len(inside) else 0.0
    return FrameMasks(frame, masks, confidence, frozenset(anchors))
