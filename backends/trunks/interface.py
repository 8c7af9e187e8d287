"""What every trunk offers to the networks that stand on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn


class Trunk(nn.Module, ABC):
    """(B, 3, H, W) RGB in [0, 1], H and W multiples of 16 -> {4, 8, 16: (B, C, H/s, W/s)}.

    Dense trunks stop at stride 8 and have no 16. Whatever the ImageNet weights want of their input (range,
    mean, deviation) happens inside.
    """

    channels: dict[int, int]
    """Stride -> channels C of the features at that stride."""

    @abstractmethod
    def forward(self, rgb: Tensor) -> dict[int, Tensor]:
        """Features of ``rgb`` by stride."""

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """(stride, channels) of each map of :meth:`pyramid`, shallow to deep; a stride may come twice."""
        return tuple(self.channels.items())

    def pyramid(self, rgb: Tensor) -> list[Tensor]:
        """Features of ``rgb`` stage by stage, for networks that fuse several depths at one stride."""
        return list(self(rgb).values())

    @abstractmethod
    def load_torchvision(self, state: Mapping[str, Tensor]) -> None:
        """Fold a state dict in torchvision's key names (convolutions and batch norms) into this trunk.

        Raises KeyError or ValueError, naming the tensor, when it is another network's.
        """

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """The same for a file as torchvision publishes it, trained with torchvision's own input."""
        self.load_torchvision(state)
