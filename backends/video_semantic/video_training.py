"""The second phase of a training: the network learns to look back, on clips whose last frame is labelled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from backends.training.learner import Learner
from backends.video_semantic.blocks import resized
from backends.video_semantic.clips import ClipSample
from backends.video_semantic.losses import wandering
from backends.video_semantic.networks import SceneNetwork
from backends.video_semantic.recipe import TrainingConfig
from backends.video_semantic.training import Training


class VideoTraining(Training[ClipSample]):
    """Learns from the last frame as the network answers it, and as its single-frame network does.

    Everything but the attention learns at the trunk's rate: it comes from the first phase; at a rate of 0 it
    stays as it is, and so do the single-frame answers. Past frames are encoded without gradients unless
    ``past_gradients`` is set (the paper's way, eight times the memory).
    Batch norms keep their statistics: the frames of a clip are too much alike to take new ones from.
    """

    def learner_of(self, network: SceneNetwork, config: TrainingConfig, device: str) -> Learner:
        """Encoder and decoder at the trunk's rate."""
        known = nn.ModuleList((network.encoder, network.decoder))
        if not config.trunk_rate:
            known.requires_grad_(False)
        return Learner(network, config.schedule, trunk=known, device=device)

    def parts(self, samples: Sequence[ClipSample]) -> dict[str, Tensor]:
        """The losses of a batch of clips."""
        settle(self.network)
        frames, labels, before = on(self.learner.device, samples)
        past, last = self._encoded(frames)
        attention = self.network.temporal
        assert attention is not None
        seen = [attention.project(features) for features in past]
        told = [projected.memory for projected in seen]
        video = self._decoded(attention(attention.project(last), told))
        found = self.losses(video, labels)
        if self.config.trunk_rate:
            alone = self.losses(self._decoded(last), labels)
            found["single"] = self.config.loss.single * torch.stack(tuple(alone.values())).sum()
        if self.config.loss.steady:
            earlier = self._decoded(attention(seen[-1], told[:-1]))
            found["steady"] = self.config.loss.steady * self._steady(video, earlier, frames, before)
        return found

    def _encoded(self, frames: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Float32 features of each past frame and of the last one."""
        with self.autocast():
            with torch.set_grad_enabled(self.config.past_gradients):
                past = self.network.encode(frames[:, :-1].flatten(0, 1))
            last = self.network.encode(frames[:, -1])
        return past.float().view(len(frames), -1, *past.shape[1:]).unbind(1), last.float()

    def _decoded(self, features: Tensor) -> Tensor:
        with self.autocast():
            logits: Tensor = self.network.decoder(features)
        return logits.float()

    def _steady(self, video: Tensor, earlier: Tensor, frames: Tensor, before: Tensor) -> Tensor:
        size_hw = [side // 2 for side in frames.shape[-2:]]
        now, then = (resized(logits, size_hw).softmax(1) for logits in (video, earlier))
        pictures = [resized(frames[:, at], size_hw) for at in (-1, -2)]
        return wandering(now, then, pictures[0], pictures[1], before[:, ::2, ::2] / 2)


def settle(network: SceneNetwork) -> None:
    """Batch norms use the statistics that they have."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def on(device: torch.device, samples: Sequence[ClipSample]) -> tuple[Tensor, Tensor, Tensor]:
    """(B, F, 3, h, w) float32, (B, h, w) int64 and (B, h, w, 2) float32 of ``samples``."""
    frames = torch.from_numpy(np.stack([s.frames for s in samples])).permute(0, 1, 4, 2, 3)
    labels = torch.from_numpy(np.stack([s.labels for s in samples])).long()
    before = torch.from_numpy(np.stack([s.before for s in samples]))
    return frames.to(device), labels.to(device), before.to(device)


def frames_of(config: TrainingConfig) -> int:
    """Frames of a clip: the current one, T before it, and one more where two answers are compared."""
    return config.network.temporal.frames + (2 if config.loss.steady else 1)
