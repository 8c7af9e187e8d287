"""Weights made worse on purpose, so that there is something to improve."""

from __future__ import annotations

from pathlib import Path

_SHAKEN = ("decoder.", "embed.")
_STRENGTH = 1.2


def shaken(weights: Path, out: Path) -> Path:
    """A copy of a video network in which every weight behind the trunk is multiplied by noise around one.

    The same noise each time. It still follows what it is given, badly; a few steps of training mend it.
    """
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(str(weights), "pt") as file:
        about = file.metadata()
    noise = torch.Generator().manual_seed(0)
    tensors = {}
    for name, value in load_file(weights).items():
        factor = 1 + _STRENGTH * torch.randn(value.shape, generator=noise)
        is_shaken = value.is_floating_point() and name.startswith(_SHAKEN)
        tensors[name] = (value * factor).to(value.dtype) if is_shaken else value
    save_file(tensors, out, metadata=about)
    return out
