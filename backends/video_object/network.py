"""The network: trunk, embedding, per-object decoder, soft aggregation. It knows frames and masks, no video.

What depends on the frame alone (trunk, embedding, similarities) is computed once whatever the number of
objects; only evidence selection and the decoder repeat per object slot.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.video_object.matching import (
    TOP,
    Svb,
    best,
    isometry,
    local_correlation,
    local_evidence,
    rows_of,
    window_index,
)
from backends.trunks.mobilenet_v2 import MobileNetV2

STRIDE = 16


@dataclass(frozen=True)
class NetworkConfig:
    """Switches and sizes; stored with the weights."""

    embedding: int = 128
    """Channels C of the matching space; the template needs at least this many rows."""
    svb: Svb = "eigh"
    """How the template is orthogonalised: eigh, svd, ns5 (Newton-Schulz) or off."""
    svb_eps: float = 0.2
    """Half-width of the singular value band; 0 is exact isometry."""
    svb_g: float = 1.0
    """0 raw matching, 1 isometry, 2 the ridge classifier."""
    local_radius: int = 7
    """Radius R of the local correlation window in cells of 16 px; 0 turns local correlation off."""
    width: int = 64
    """Channels of the decoder at stride 16."""

    def as_dict(self) -> dict[str, object]:
        """For the weights' metadata."""
        return asdict(self)


@dataclass(frozen=True)
class Encoding:
    """What one frame gives, whatever the objects."""

    grid_hw: tuple[int, int]
    embedded: Tensor  # (B, P, C) unit length
    skip16: Tensor  # (B, 32, h, w)
    skip8: Tensor  # (B, 24, 2h, 2w)
    skip4: Tensor  # (B, 16, 4h, 4w)


@dataclass(frozen=True)
class Template:
    """The rows people's masks gave. ``isometric`` is ``rows @ A``, computed once per template."""

    rows: Tensor  # (B, N, C)
    isometric: Tensor  # (B, N, C)
    masks: Tensor  # (B, K, N) share of each cell that the object covers; -1 where nobody said


class Network(nn.Module):
    """Frame + template + last frame's masks -> probabilities of each object."""

    def __init__(self, config: NetworkConfig | None = None):
        super().__init__()
        self.config = config or NetworkConfig()
        self.trunk = MobileNetV2()
        channels = self.trunk.channels
        self.embed = nn.Conv2d(channels[16], self.config.embedding, 1)
        self.skip16 = nn.Conv2d(channels[16], 32, 1)
        self.skip8 = nn.Conv2d(channels[8], 24, 1)
        self.skip4 = nn.Conv2d(channels[4], 16, 1)
        self.log_temperature = nn.Parameter(torch.tensor(3.0))
        evidence = 2 * TOP + 2 + 1 + 1 + (2 * TOP + 1 if self.config.local_radius else 0)
        self.decoder = _Decoder(evidence, self.config.width)
        self._windows: dict[tuple[int, int, str], tuple[Tensor, Tensor]] = {}

    def encode(self, rgb: Tensor) -> Encoding:
        """(B, 3, H, W) in [0, 1], sides multiples of 16."""
        found = self.trunk(rgb)
        embedded = F.normalize(self.embed(found[16]).float(), dim=1, eps=1e-6)
        return Encoding(
            grid_hw=(embedded.shape[2], embedded.shape[3]),
            embedded=embedded.flatten(2).transpose(1, 2),
            skip16=self.skip16(found[16]),
            skip8=self.skip8(found[8]),
            skip4=self.skip4(found[4]),
        )

    def template(self, rows: Tensor, masks: Tensor) -> Template:
        """(B, N, C) unit rows and (B, K, N) masks -> a template ready for matching."""
        a = isometry(rows, method=self.config.svb, eps=self.config.svb_eps, g=self.config.svb_g)
        return Template(rows, rows @ a, masks)

    def decode(self, now: Encoding, template: Template, before: Encoding, previous: Tensor) -> Tensor:
        """Logits (B, K, 4h, 4w) at stride 4.

        ``previous``: the last frame's soft masks (B, K, 4h, 4w) in [0, 1]; ``before``: that frame's encoding.
        """
        height, width = now.grid_hw
        coarse = F.avg_pool2d(previous, 4)  # (B, K, h, w)
        evidence = self._evidence(now, template, before, coarse.flatten(2))  # (B, K, P, E)
        slots = previous.shape[1]
        maps = evidence.flatten(0, 1).transpose(1, 2)
        maps = maps.reshape(*maps.shape[:2], height, width)
        logits: Tensor = self.decoder(maps, now, previous.flatten(0, 1), slots)
        return logits.reshape(-1, slots, *logits.shape[1:])

    def _evidence(self, now: Encoding, template: Template, before: Encoding, coarse: Tensor) -> Tensor:
        raw = now.embedded @ template.rows.transpose(1, 2)  # (B, P, N)
        isometric = now.embedded @ template.isometric.transpose(1, 2)
        foreground, background = (r[:, :, None] for r in rows_of(template.masks))
        attention = torch.softmax(raw * self.log_temperature.exp(), dim=-1)
        parts = [
            best(isometric[:, None], foreground, TOP),
            best(isometric[:, None], background, TOP),
            best(raw[:, None], foreground, 1),
            best(raw[:, None], background, 1),
            (attention @ template.masks.clamp_min(0).transpose(1, 2)).transpose(1, 2)[..., None],
            coarse[..., None],
        ]
        if self.config.local_radius:
            index, inside = self._window(now.grid_hw, now.embedded.device)
            window = local_correlation(now.embedded, before.embedded, index, inside)
            parts.append(local_evidence(window, coarse, index, inside))
        return torch.cat(parts, dim=-1)

    def _window(self, grid_hw: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
        key = (*grid_hw, str(device))
        if key not in self._windows:
            self._windows = {key: window_index(grid_hw, self.config.local_radius, device)}
        return self._windows[key]


class _Decoder(nn.Module):
    """Evidence at stride 16 and the frame's skips -> one logit per stride-4 cell and object."""

    def __init__(self, evidence: int, width: int):
        super().__init__()
        self.enter = nn.Conv2d(evidence + 32, width, 3, padding=1)
        self.context = nn.Conv2d(width, width, 3, padding=2, dilation=2)
        self.at16 = nn.Conv2d(width, width, 3, padding=1)
        self.enter8 = nn.Conv2d(width + 24 + 1, 48, 3, padding=1)
        self.at8 = nn.Conv2d(48, 48, 3, padding=1)
        self.enter4 = nn.Conv2d(48 + 16 + 1, 24, 3, padding=1)
        self.at4 = nn.Conv2d(24, 24, 3, padding=1)
        self.leave = nn.Conv2d(24, 1, 3, padding=1)

    def forward(self, evidence: Tensor, now: Encoding, previous: Tensor, slots: int) -> Tensor:
        x = F.relu(self.enter(torch.cat((evidence, _per_slot(now.skip16, slots)), 1)))
        x = F.relu(x + self.context(x))
        x = F.relu(x + self.at16(x))
        x = _up(x, now.skip8.shape[-2:])
        x = F.relu(
            self.enter8(torch.cat((x, _per_slot(now.skip8, slots), F.avg_pool2d(previous, 2)[:, None]), 1))
        )
        x = F.relu(x + self.at8(x))
        x = _up(x, now.skip4.shape[-2:])
        x = F.relu(self.enter4(torch.cat((x, _per_slot(now.skip4, slots), previous[:, None]), 1)))
        x = F.relu(x + self.at4(x))
        logits: Tensor = self.leave(x)
        return logits[:, 0]


def _per_slot(x: Tensor, slots: int) -> Tensor:
    return x if slots == 1 else x.repeat_interleave(slots, 0)


def _up(x: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def aggregate(logits: Tensor) -> Tensor:
    """Soft aggregation: object logits (B, K, ...) -> logits over background and objects (B, K+1, ...).

    With independent p_k = sigmoid(l_k), "only k" against "none of them" has odds exp(l_k), because both share
    ``p_0 = prod(1 - p_j)``. So the background's logit is 0, and one object alone keeps its sigmoid exactly.
    """
    return torch.cat((torch.zeros_like(logits[:, :1]), logits), 1).float()
