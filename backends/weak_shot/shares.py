"""Responses by competition: every cell is shared out between the tagged classes and the background.

Source: Papandreou et al., "Weakly- and Semi-Supervised Learning of a Deep Convolutional Network for Semantic
Image Segmentation", ICCV 2015 (EM-Adapt). An activation map asks of each class by itself whether it is there;
where photos carry many tags at once the maps of all of them settle on the same telling parts. Here a softmax
per cell makes classes compete. In the expectation step a photo's cells are shared out between its own tags
and the background, each tag biased until it holds a least share of the cells; in the maximisation step the
network learns these shares. Cells of base masks, where a batch brings any, teach their class outright.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.trunks import catalogue
from backends.weak_shot.losses import IGNORE
from backends.weak_shot.networks import dense_trunk, resized, stages_of

_MOST_LOGIT = 12.0
"""Odds are given up to e to this power, so that their sum over views stays finite."""
_NEVER = -1e4


@dataclass(frozen=True)
class Sharing:
    """What the expectation step asks for.

    tag: the least share of the cells for each tagged class. background: the same for the background. rounds:
    how often the biases are set anew. settling: for so many steps cells near the left and right border lean
    to the background, less and less, and what the network says counts in full only little by little; without
    it the background may settle on a class. weight: of the shares in the loss.
    """

    tag: float = 0.07
    background: float = 0.5
    rounds: int = 5
    settling: int = 150
    weight: float = 2.0


READING = Sharing(background=0.7)
"""What is asked for when responses are read off."""


def shared_out(logits: Tensor, tags: Tensor, how: Sharing | None = None) -> Tensor:
    """Expectation step: (B, n + 1, h, w) logits, background first -> shares that sum to one in each cell.

    ``tags`` (B, n) of 0 and 1. Classes without a tag get nothing. A tag, or the background, that holds less
    than its least share of the cells is biased upwards until it holds about that.
    """
    how = how or Sharing()
    allowed = torch.cat([torch.ones_like(tags[:, :1]), tags], 1) == 1
    cells = logits.flatten(2).masked_fill(~allowed[:, :, None], _NEVER)
    least = cells.new_full((cells.shape[1],), how.tag)
    least[0] = how.background
    bias = torch.zeros_like(cells[:, :, :1])
    for _ in range(how.rounds):
        held = torch.softmax(cells + bias, 1).mean(-1, keepdim=True).clamp(min=1e-6)
        bias = bias + (least[:, None] / held).log().clamp(0, 5) * allowed[:, :, None]
    found: Tensor = torch.softmax(cells + bias, 1).view_as(logits)
    return found


class ShareClassifier(nn.Module):
    """A softmax over background and classes in every cell of the two deepest stages of a trunk.

    It answers where a :class:`Classifier` answers; ``cam`` gives the odds of each class against the
    background. ``steps`` counts how often it was taught.
    """

    steps: Tensor

    def __init__(self, trunk_name: str, n: int, width: int = 256, dropout: float = 0.3, top: float = 0.05):
        super().__init__()
        self.trunk = catalogue.build(dense_trunk(trunk_name), (4, 8))
        self.top = top
        channels = sum(channels for _, channels in self.trunk.stages[-2:])
        self.spread = nn.BatchNorm2d(channels, affine=False)
        self.hidden = nn.Conv2d(channels, width, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(width, n + 1, 1)
        self.register_buffer("steps", torch.zeros(()))

    def logits(self, rgb: Tensor) -> Tensor:
        """(B, n + 1, h, w) at the deepest stride, background first."""
        return self.classes_of(self.features(rgb))

    def features(self, rgb: Tensor) -> Tensor:
        """(B, C, h, w) of the two deepest stages, each over its own spread: they differ tenfold in size."""
        middle, deep = stages_of(self.trunk, rgb)[-2:]
        maps = [_levelled(resized(middle, deep.shape[-2:])), _levelled(deep)]
        found: Tensor = self.spread(torch.cat(maps, 1))
        return found

    def classes_of(self, features: Tensor) -> Tensor:
        """(B, n + 1, h, w) logits of :meth:`features`."""
        found: Tensor = self.head(self.dropout(F.relu(self.hidden(features))))
        return found

    def forward(self, rgb: Tensor) -> Tensor:
        """(B, n) logits of the tags."""
        return torch.logit(held_at_most(torch.softmax(self.logits(rgb), 1), self.top))

    def cam(self, rgb: Tensor) -> Tensor:
        """(B, n, h, w) > 0: odds of each class against the background."""
        logits = self.logits(rgb)
        return (logits[:, 1:] - logits[:, :1]).clamp(-_MOST_LOGIT, _MOST_LOGIT).exp()

    def read(self, odds: Tensor) -> Tensor:
        """(K, h, w) odds of an image's tags, mean of its views -> shares of the cells in [0, 1]."""
        logits = torch.cat([torch.zeros_like(odds[:1]), odds.clamp(min=1e-9).log()])
        return shared_out(logits[None], torch.ones_like(odds[None, :, 0, 0]), READING)[0, 1:]


def _levelled(x: Tensor) -> Tensor:
    return F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)


def held_at_most(shares: Tensor, top: float) -> Tensor:
    """(B, n + 1, h, w) shares -> (B, n): the mean over the ``top`` of the cells where a class holds most."""
    cells = shares[:, 1:].flatten(2)
    best = cells.topk(max(1, round(top * cells.shape[-1])), -1).values.mean(-1)
    return best.clamp(1e-4, 1 - 1e-4)


def share_losses(
    network: ShareClassifier, rgb: Tensor, tags: Tensor, labels: Tensor, how: Sharing | None = None
) -> dict[str, Tensor]:
    """``loss`` to descend and its parts.

    ``rgb`` (B, 3, H, W); ``tags`` (B, n) of 0 and 1; ``labels`` (B, H, W) of base masks, IGNORE where there
    is none. Labelled cells teach their class; all others, but for those that a whole mask leaves out, teach
    the shares that the photo's tags lead to expect.
    """
    how = how or Sharing()
    logits = network.logits(rgb).float()
    cells = _at_cells(labels, logits.shape[-2:])
    logs = F.log_softmax(logits, 1)
    with torch.no_grad():
        open_cells = _settling(logits, float(network.steps) / how.settling)
        shares = shared_out(with_known(open_cells, cells), tags, how)
        network.steps += 1
    expected = _mean(-(shares * logs).sum(1), _left_open(cells))
    known = F.nll_loss(logs, cells.long(), ignore_index=IGNORE, reduction="sum")
    known = known / (cells != IGNORE).sum().clamp(min=1)
    shown = F.binary_cross_entropy(held_at_most(logs.exp(), network.top), tags.float())
    return {
        "loss": shown + how.weight * expected + 2 * known,
        "tags": shown,
        "shares": expected,
        "known": known,
    }


def with_known(logits: Tensor, cells: Tensor) -> Tensor:
    """Logits (B, n + 1, h, w) that are certain of known cells (B, h, w; IGNORE elsewhere).

    A class that a photo's mask shows is taken to be shown whole by it: it gets none of the unknown cells, so
    that the classes without a mask compete with the background alone for them.
    """
    known = (cells != IGNORE)[:, None]
    truth = F.one_hot(cells.masked_fill(cells == IGNORE, 0).long(), logits.shape[1]).movedim(-1, 1) == 1
    placed = (truth & known).flatten(2).any(-1)
    placed[:, 0] = False
    rest = logits.masked_fill(placed[:, :, None, None], _NEVER)
    return torch.where(known, torch.where(truth, 0.0, _NEVER), rest)


def _left_open(cells: Tensor) -> Tensor:
    """(B, h, w): unknown cells, but for those of whole masks, which alone say where the background is."""
    whole = (cells == 0).flatten(1).any(1)
    return (cells == IGNORE) & ~whole[:, None, None]


def _at_cells(labels: Tensor, size: torch.Size) -> Tensor:
    """(B, H, W) -> (B, h, w): the label in the middle of each cell."""
    return F.interpolate(labels[:, None].float(), tuple(size), mode="nearest-exact")[:, 0]


def _settling(logits: Tensor, done: float) -> Tensor:
    """The logits, flattened and leaning to background at the sides while ``done`` (from 0) is below 1."""
    if done >= 1:
        return logits.detach()
    found = logits.detach() * min(1.0, 1.5 * done)
    across = torch.linspace(-1, 1, logits.shape[-1], device=logits.device).abs()
    found[:, 0] -= (1 - done) * (2.7 - 6 * across).clamp(min=-3)  # photographers centre what they show
    return found


def _mean(loss: Tensor, where: Tensor) -> Tensor:
    return (loss * where).sum() / where.sum().clamp(min=1)
