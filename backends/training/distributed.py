"""One training by several processes, as ``torchrun`` starts them: the same result as by one, up to rounding.

Each process computes its share of every batch. Losses divide by counts over the whole batch (:func:`count`),
gradients are averaged before they are clipped, so every process takes the same step and holds the same
weights. The first process alone writes files and shows progress. Without torchrun nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch import distributed as dist

from backends.core.errors import BadInput


def leads() -> bool:
    """Whether this process is the one that writes and shows."""
    return not dist.is_torchelastic_launched() or os.environ["RANK"] == "0"


def size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Meet the other processes that torchrun started; yields the device of this one.

    ``cuda`` becomes the GPU of this process (NCCL); on the CPU they talk through Gloo. Raises BadInput when
    this machine has fewer GPUs than processes.
    """
    if not dist.is_torchelastic_launched():
        yield device
        return
    mine = _device(device)
    dist.init_process_group("nccl" if mine.startswith("cuda") else "gloo")
    try:
        yield mine
    finally:
        dist.destroy_process_group()


def _device(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if device != "cuda":
        raise BadInput(
            f"--device {device} would put all processes on one GPU; with torchrun say --device cuda"
        )
    if local >= gpus:
        raise BadInput(f"process {local} of this machine finds {gpus} GPUs; start at most {gpus} processes")
    torch.cuda.set_device(local)
    return f"cuda:{local}"


def wait() -> None:
    """Go on when all processes are here."""
    if size() > 1:
        dist.barrier()


def share(batch: int) -> range:
    """Which samples of a batch of ``batch`` are this process's: equal parts in order. Raises BadInput."""
    if batch % size():
        raise BadInput(f"a batch of {batch} cannot be split evenly over {size()} processes; set a multiple")
    part, mine = batch // size(), dist.get_rank() if size() > 1 else 0
    return range(mine * part, (mine + 1) * part)


def count(weight: Tensor) -> Tensor:
    """The sum of ``weight`` over the whole batch, at least 1, per process: what a share of a mean divides by.

    A process's sum over its share divided by this, averaged over processes, is the mean over the whole batch.
    """
    total = weight.detach().sum()
    if size() > 1:
        total = total.clone()
        dist.all_reduce(total)
    return total.clamp_min(1) / size()


def average_gradients(module: nn.Module) -> None:
    """Replace every gradient by its mean over the processes, in one message."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    if size() == 1 or not gradients:
        return
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= size()
    parts = torch.split(flat, [g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def average(figures: Mapping[str, Tensor]) -> dict[str, float]:
    """The mean of each figure (scalar tensors) over the processes, the same numbers in each of them."""
    values = torch.stack([v.detach().float() for v in figures.values()])
    if size() > 1:
        dist.all_reduce(values)
        values /= size()
    return dict(zip(figures, values.tolist(), strict=True))
