"""Weights of a network that knows other classes: what belongs to a class goes by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn


def carried(
    state: Mapping[str, Tensor],
    before: Sequence[str],
    after: nn.Module,
    names: Sequence[str],
    make: Callable[[int], nn.Module],
) -> dict[str, Tensor]:
    """``state`` of a network over the classes ``before`` as one for ``after``, a network over ``names``.

    Tensors with a row per class (one more where the background comes first) take over the rows of classes of
    the same name and keep the fresh rows of ``after`` for the others; all other tensors are taken over where
    their shapes agree. ``make(n)`` builds the same network for n classes: it tells which tensors those are.
    """
    fresh, rows = after.state_dict(), class_rows(make, len(names))
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if name in rows:
            found[name] = _by_name(value, before, fresh[name], names, rows[name])
        elif name in fresh and fresh[name].shape == value.shape:
            found[name] = value.to(fresh[name].dtype)
    return found


def class_rows(make: Callable[[int], nn.Module], n: int) -> dict[str, int]:
    """Tensors that have one more row for one more class -> how many rows come before the first class."""
    with torch.device("meta"):  # shapes only
        one, other = make(n).state_dict(), make(n + 1).state_dict()
    return {
        name: len(value) - n
        for name, value in one.items()
        if value.shape != other[name].shape and (len(value) + 1, *value.shape[1:]) == other[name].shape
    }


def _by_name(old: Tensor, before: Sequence[str], fresh: Tensor, names: Sequence[str], lead: int) -> Tensor:
    if len(old) != len(before) + lead or old.shape[1:] != fresh.shape[1:]:
        return fresh.detach().clone()  # another network's: nothing to go by
    new = fresh.detach().clone()
    new[:lead] = old[:lead].to(new)
    for row, name in enumerate(names):
        if name in before:
            new[lead + row] = old[lead + list(before).index(name)].to(new)
    return new
