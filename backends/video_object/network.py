"""The network: trunk, embedding, per-object decoder, soft aggregation. It knows frames and masks, no video.

What depends on the frame alone (trunk, embedding, similarities, local correlation) is computed once whatever
the number of objects; only the choice of evidence and a small decoder repeat per object slot.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.trunks.catalogue import build
from backends.video_object import centres, matching
from backends.video_object.centres import Prior
from backends.video_object.decoder import Decoder, Neck, double
from backends.video_object.matching import TOP, Svb
from backends.video_object.template import Template

STRIDE = 16


@dataclass(frozen=True)
class NetworkConfig:
    """Switches and sizes; stored with the weights."""

    trunk: str = "mobilenet_v2"
    """mobilenet_v2, resnet18 or resnet50."""
    embedding: int = 128
    """Channels C of the matching space; the template needs at least this many rows."""
    svb: Svb = "eigh"
    """How the template is orthogonalised: eigh, svd, ns5 (Newton-Schulz) or off."""
    svb_eps: float = 0.2
    """Half-width of the singular value band; 0 is exact isometry."""
    svb_g: float = 1.0
    """0 raw matching, 1 isometry, 2 the ridge classifier."""
    lc: Literal["off", "top4", "full"] = "top4"
    """Local correlation with the last frame: off, its best similarities, or the whole volume, reduced by
    learned weights."""
    lc_radius: int = 7
    """Radius R of the local correlation window in cells of 16 px."""
    co: Literal["off", "aux", "fuse"] = "fuse"
    """Instance centres and offsets: off, learned beside the masks, or votes that speak for the masks."""
    width: int = 48
    """Channels of the decoder at stride 16."""

    def as_dict(self) -> dict[str, object]:
        """For the weights' metadata."""
        return asdict(self)


@dataclass(frozen=True)
class Encoding:
    """What one frame gives, whatever the objects."""

    grid_hw: tuple[int, int]
    embedded: Tensor  # (B, P, C) unit length
    near16: Tensor  # (B, width, h, w)
    near8: Tensor  # (B, 32, 2h, 2w)
    near4: Tensor  # (B, 16, 4h, 4w)


@dataclass(frozen=True)
class Grid:
    """What follows from a frame's size alone."""

    index: Tensor  # (P, D) int64, see matching.window_index
    inside: Tensor  # (P, D) bool
    where: Tensor  # (2, 2h, 2w) px, the cells in which centres are voted for

    @staticmethod
    def of(grid_hw: tuple[int, int], radius: int, device: torch.device) -> Grid:
        """For a matching grid of this many cells."""
        fine = (2 * grid_hw[0], 2 * grid_hw[1])
        where = centres.positions(fine, centres.STRIDE, device)
        return Grid(*matching.window_index(grid_hw, radius, device), where)


@dataclass(frozen=True)
class Decoded:
    """What one frame says of every object."""

    logits: Tensor  # (B, K, 4h, 4w)
    heat: Tensor | None = None  # (B, K, 2h, 2w) logit of "here is the centre"
    vote: Tensor | None = None  # (B, K, 2, 2h, 2w) the centre each cell votes for, (x, y) px
    familiar: Tensor | None = None  # (B, K, P) best raw similarity to the object's template rows
    steady: Tensor | None = None  # (B,) mean best similarity to the last frame's neighbourhood


class Engine(Protocol):
    """What carries a clip: this network in torch, or its exported graph."""

    @property
    def config(self) -> NetworkConfig:
        """The network's switches."""

    def encode(self, rgb: Tensor) -> Encoding:
        """See :meth:`Network.encode`."""

    def decode(
        self,
        now: Encoding,
        template: Template,
        before: Encoding,
        previous: Tensor,
        prior: Prior | None = None,
    ) -> Decoded:
        """See :meth:`Network.decode`."""


@dataclass(frozen=True)
class Evidence:
    """What matching finds for every object and cell, before the decoder."""

    channels: Tensor  # (B, K, P, E)
    familiar: Tensor  # (B, K, P)
    steady: Tensor | None  # (B,)


class Network(nn.Module):
    """Frame + template + last frame's masks -> logits of each object."""

    def __init__(self, config: NetworkConfig | None = None):
        super().__init__()
        self.config = config or NetworkConfig()
        self.trunk = build(self.config.trunk)
        channels = self.trunk.channels
        self.embed = nn.Conv2d(channels[16], self.config.embedding, 1)
        self.neck = Neck(channels, self.config.width)
        self.log_temperature = nn.Parameter(torch.tensor(3.0))
        evidence = 2 * TOP + 2 + 1 + 1 + self._local_channels()
        if self.config.lc == "full":
            self.local = nn.Linear((2 * self.config.lc_radius + 1) ** 2 * 2, 2 * TOP)
        self.decoder = Decoder(evidence, self.config.width, heads=self.config.co != "off")
        if self.config.co == "fuse":
            self.log_gamma = nn.Parameter(torch.tensor(-1.0))
        self._grids: dict[tuple[int, int, str], Grid] = {}

    def _local_channels(self) -> int:
        return 0 if self.config.lc == "off" else 2 * TOP + 1

    def encode(self, rgb: Tensor) -> Encoding:
        """(B, 3, H, W) in [0, 1], sides multiples of 16."""
        found = self.trunk(rgb)
        embedded = F.normalize(self.embed(found[16]).float(), dim=1, eps=1e-6)
        near = self.neck(found)
        return Encoding((embedded.shape[2], embedded.shape[3]), embedded.flatten(2).transpose(1, 2), *near)

    def template(self, rows: Tensor, masks: Tensor) -> Template:
        """(B, N, C) unit rows and (B, K, N) masks -> a template ready for matching."""
        c = self.config
        return Template.of(rows, matching.isometry(rows, method=c.svb, eps=c.svb_eps, g=c.svb_g), masks)

    def decode(
        self,
        now: Encoding,
        template: Template,
        before: Encoding,
        previous: Tensor,
        prior: Prior | None = None,
    ) -> Decoded:
        """All objects of one frame in one pass.

        ``previous``: the last frame's soft masks (B, K, 4h, 4w) in [0, 1]; ``before``: that frame's encoding;
        ``prior``: where the objects' centres are expected (needed for co=fuse).
        """
        grid = self._grid_of(now.grid_hw, now.embedded.device)
        seen = self.evidence(grid, now, template, before, F.avg_pool2d(previous, 4).flatten(2))
        return self.judge(seen, now, previous, prior, grid.where)

    def judge(
        self, seen: Evidence, now: Encoding, previous: Tensor, prior: Prior | None, where: Tensor
    ) -> Decoded:
        """The decoder and its heads; ``where``: see :class:`Grid`."""
        batch, slots = previous.shape[:2]
        maps = seen.channels.flatten(0, 1).transpose(1, 2)
        maps = maps.reshape(*maps.shape[:2], *now.grid_hw)
        near = tuple(_per_slot(x, slots) for x in (now.near16, now.near8, now.near4))
        logits, heads = self.decoder(maps, near, previous.flatten(0, 1)[:, None])
        logits = logits[:, 0].unflatten(0, (batch, slots))
        if heads is None:
            return Decoded(logits, familiar=seen.familiar, steady=seen.steady)
        heads = heads.float().unflatten(0, (batch, slots))
        vote = centres.votes(heads[:, :, 1:], where)
        if self.config.co == "fuse" and prior is not None:
            logits = logits.float() + self.log_gamma.exp() * double(centres.log_prior(vote, prior))
        return Decoded(logits, heads[:, :, 0], vote, seen.familiar, seen.steady)

    def evidence(
        self, grid: Grid, now: Encoding, template: Template, before: Encoding, coarse: Tensor
    ) -> Evidence:
        """Similarities to the template and the last frame; ``coarse``: the last masks (B, K, P)."""
        raw = now.embedded @ template.rows.transpose(1, 2)  # (B, P, N)
        isometric = now.embedded @ template.isometric.transpose(1, 2)
        attention = torch.softmax(raw * self.log_temperature.exp() + template.said, dim=-1)
        familiar = matching.best(raw, template.foreground, 1)
        parts = [
            matching.best(isometric, template.foreground, TOP),
            matching.best(isometric, template.background, TOP),
            familiar,
            matching.best(raw, template.background, 1),
            (attention @ template.shares.to(attention.dtype).transpose(1, 2)).transpose(1, 2)[..., None],
            coarse[..., None],
        ]
        if self.config.lc == "off":
            return Evidence(torch.cat(parts, dim=-1), familiar[..., 0], None)
        seen = matching.local_correlation(now.embedded, before.embedded, grid.index, grid.inside)
        parts += self._local(seen, matching.around(coarse, grid.index))
        return Evidence(torch.cat(parts, dim=-1), familiar[..., 0], seen.amax(-1).mean(-1))

    def _local(self, seen: Tensor, near: Tensor) -> list[Tensor]:
        carried = matching.carried(seen, near)
        if self.config.lc == "top4":
            return [matching.local_tops(seen, near), carried]
        return [self.local(matching.local_volumes(seen, near)), carried]

    def _grid_of(self, grid_hw: tuple[int, int], device: torch.device) -> Grid:
        key = (*grid_hw, str(device))
        if key not in self._grids:
            self._grids = {key: Grid.of(grid_hw, self.config.lc_radius, device)}
        return self._grids[key]


def _per_slot(x: Tensor, slots: int) -> Tensor:
    return x if slots == 1 or x.shape[0] == 1 else x.repeat_interleave(slots, 0)


def aggregate(logits: Tensor) -> Tensor:
    """Soft aggregation: object logits (B, K, ...) -> logits over background and objects (B, K+1, ...).

    With independent p_k = sigmoid(l_k), "only k" against "none of them" has odds exp(l_k), because both share
    ``p_0 = prod(1 - p_j)``. So the background's logit is 0, and one object alone keeps its sigmoid exactly.
    """
    return torch.cat((torch.zeros_like(logits[:, :1]), logits), 1).float()
