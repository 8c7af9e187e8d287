"""Tensors on disk: safetensors, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from backends.core.errors import BadInput


def save_atomically(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write safetensors beside ``path``, flush to disk, then rename over it."""
    part = path.with_name(path.name + ".part")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part, metadata)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def read_tensors(path: Path, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of ``path`` as they are stored, and its metadata. Raises BadInput for any other file."""
    try:
        with safe_open(path, framework="pt", device=device) as file:
            return {k: file.get_tensor(k) for k in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path} is no safetensors file: {error}") from error


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose name begins with ``prefix``, named without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
