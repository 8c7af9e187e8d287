"""All four stages of a ResNet, strided to 32 as ImageNet knows it or dilated to stay at stride 8.

Dense prediction wants the deep features at a fine grid: from the stage on whose stride is left out, the
kernels are spread by what it would have been (Yu and Koltun, ICLR 2016), so that each sees what it was
trained on. The convolution that carried the stride itself still reads neighbours at the earlier distance.
"""

from __future__ import annotations

from torch import Tensor, nn

from backends.trunks.resnet import ResNet, _Basic, _Bottleneck

_FULL = {1: 4, 2: 8, 3: 16, 4: 32}
"""Stage -> stride without dilation."""


class WholeResNet(ResNet):
    """(B, 3, H, W) RGB in [0, 1] -> features by stride, none beyond ``last_stride``.

    Where several stages share a stride, :meth:`forward` gives the deepest; :meth:`pyramid` gives all four.
    """

    skipped = ()

    def __init__(
        self, block: type[_Basic] | type[_Bottleneck], repeats: tuple[int, int, int, int], last_stride: int
    ):
        super().__init__(block, repeats[:3])
        inputs, before, reach = 64, 4, 1
        self._stages: list[tuple[int, int]] = []
        for stage, count in zip(_FULL, repeats, strict=True):
            width, stride = 32 << stage, min(_FULL[stage], last_stride)
            spread = _FULL[stage] // stride
            first = block(inputs, width, stride // before, spread)
            _reach(first, reach)
            inputs = width * block.expansion
            more = (block(inputs, width, 1, spread) for _ in range(count - 1))
            self.add_module(f"layer{stage}", nn.Sequential(first, *more))
            self._stages.append((stride, inputs))
            before, reach = stride, spread
        self.channels = dict(self._stages)

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        return tuple(self._stages)

    def pyramid(self, rgb: Tensor) -> list[Tensor]:
        """Stages 1 to 4."""
        x = self.maxpool(self.relu(self.conv1((rgb - self.mean) / self.std)))
        found = []
        for stage in _FULL:
            x = self.get_submodule(f"layer{stage}")(x)
            found.append(x)
        return found

    def forward(self, rgb: Tensor) -> dict[int, Tensor]:
        return {stride: found for (stride, _), found in zip(self._stages, self.pyramid(rgb), strict=True)}


def _reach(block: nn.Module, cells: int) -> None:
    """Let the convolution that carries the stride read neighbours ``cells`` away."""
    conv = block.conv1 if isinstance(block, _Basic) else block.conv2
    assert isinstance(conv, nn.Conv2d)
    conv.dilation = conv.padding = (cells, cells)


def resnet18_whole(last_stride: int) -> WholeResNet:
    """11.2 M parameters; 64, 128, 256, 512 channels."""
    return WholeResNet(_Basic, (2, 2, 2, 2), last_stride)


def resnet34_whole(last_stride: int) -> WholeResNet:
    """21.3 M parameters; 64, 128, 256, 512 channels."""
    return WholeResNet(_Basic, (3, 4, 6, 3), last_stride)


def resnet50_whole(last_stride: int) -> WholeResNet:
    """23.5 M parameters; 256, 512, 1024, 2048 channels."""
    return WholeResNet(_Bottleneck, (3, 4, 6, 3), last_stride)


def resnet101_whole(last_stride: int) -> WholeResNet:
    """42.5 M parameters; 256, 512, 1024, 2048 channels."""
    return WholeResNet(_Bottleneck, (3, 4, 23, 3), last_stride)
