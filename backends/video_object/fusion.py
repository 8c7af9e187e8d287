"""Between two frames that a person marked, a forward and a backward pass meet; the surer one weighs more."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backends.video_object import confidence
from backends.video_object.memory import Given
from backends.video_object.walk import Seen


@dataclass(frozen=True)
class Waiting:
    """A frame of the backward pass until the forward pass comes by; soft masks compress to a few kB."""

    packed: bytes
    shape: tuple[int, ...]
    signals: Mapping[int, Mapping[str, float]]

    @staticmethod
    def of(seen: Seen) -> Waiting:
        """Pack one frame."""
        state = seen.state
        return Waiting(zlib.compress(state.tobytes(), 1), state.shape, seen.signals)

    def probabilities(self, device: torch.device) -> Tensor:
        """(K, 4h, 4w) as they were, in whole 1/255ths."""
        state = np.frombuffer(zlib.decompress(self.packed), np.uint8).reshape(self.shape)
        return torch.from_numpy(state.astype(np.float32) / 255).to(device)


@dataclass(frozen=True)
class Fused:
    """Both passes of one frame as one."""

    probabilities: Tensor  # (K, 4h, 4w)
    live: tuple[bool, ...]
    signals: Mapping[int, Mapping[str, float]]


def fuse(forward: Seen, backward: Waiting | None, given: Given, device: torch.device) -> Fused:
    """Mix per object by how near and how sure each pass is.

    A pass weighs by the share of the way to the other pass's marked frame, times its certainty, squared
    so that a pass that lost the object gives way.
    """
    if backward is None:
        return Fused(forward.probabilities, forward.live, forward.signals)
    later = backward.probabilities(device)
    mixed, live = forward.probabilities.clone(), list(forward.live)
    signals = {k: dict(v) for k, v in forward.signals.items()}
    for slot in range(len(live)):
        frames = given.frames_of(slot)
        behind = [t for t in frames if t <= forward.frame]
        ahead = [t for t in frames if t >= forward.frame]
        if not ahead or forward.frame in frames:
            continue
        if not behind:
            mixed[slot], live[slot] = later[slot], True
            signals[slot] = dict(backward.signals.get(slot, {}))
            continue
        way = (forward.frame - behind[-1]) / (ahead[0] - behind[-1])
        mine, theirs = signals.get(slot, {}), backward.signals.get(slot, {})
        share = _share(way, mine.get("certainty", 1.0), theirs.get("certainty", 1.0))
        mixed[slot] = (1 - share) * forward.probabilities[slot] + share * later[slot]
        signals[slot] = _together(mine, theirs, share, forward.probabilities[slot], later[slot], mixed[slot])
    return Fused(mixed, tuple(live), signals)


def _share(way: float, forward: float, backward: float) -> float:
    """The backward pass's part in 0..1."""
    ours, theirs = (1 - way) * forward**2, way * backward**2
    return theirs / max(ours + theirs, 1e-9)


def _together(
    mine: Mapping[str, float],
    theirs: Mapping[str, float],
    share: float,
    forward: Tensor,
    backward: Tensor,
    mixed: Tensor,
) -> dict[str, float]:
    both = {k: (1 - share) * v + share * theirs.get(k, v) for k, v in mine.items()}
    both["certainty"] = confidence.certainty(mixed)
    both["entropy"] = confidence.entropy(mixed)
    both["disagreement"] = confidence.disagreement(forward, backward)
    return both
