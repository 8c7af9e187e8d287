"""How the attention over time grows: with T, with the map, with rho, and beside full attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from backends.video_semantic.complexity import Cost
from pipelines.speed.rounds import Candidate, take_turns
from pipelines.speed.scene_stages import Module, ScenePlan


def growth(plan: ScenePlan, threads: int) -> dict[str, Any]:
    """Tables over T, cells and rho; each row the module's ms and MACs, the attention's among them."""
    torch.set_num_threads(threads)
    usual = plan.usual
    over = {
        "frames": [Module(replace(usual, frames=count), plan.channels, plan.grid) for count in plan.frames],
        "cells": [Module(usual, plan.channels, grid) for grid in plan.grids],
        "rho": [Module(replace(usual, rho=rho), plan.channels, plan.grid) for rho in plan.rhos],
    }
    tables = {name: _rows(modules, plan) for name, modules in over.items()}
    cells = tables["cells"]
    exponents = {f"{of}_exponent": _exponent(cells, key) for of, key in (("time", "ms"), ("macs", "macs"))}
    return {**tables, **exponents, "threads": threads}


def _rows(modules: Sequence[Module], plan: ScenePlan) -> list[dict[str, Any]]:
    turns = {}
    for at, module in enumerate(modules):
        turns[f"{at} whole"] = Candidate(module.lap())
        if module.config.rho:
            turns[f"{at} reading"] = Candidate(module.reading())
    take_turns(turns, rounds=plan.rounds, laps=plan.laps, warm_up=2)
    rows = []
    for at, module in enumerate(modules):
        cost = Cost(module.config, module.channels, *module.grid)
        reading = turns.get(f"{at} reading")
        rows.append(
            {
                "frames": module.config.frames,
                "rows": module.grid[0],
                "columns": module.grid[1],
                "cells": cost.cells,
                "rho": module.config.rho,
                "n_keys": module.config.radii.n_keys,
                "ms": turns[f"{at} whole"].median_ms,
                "attention_ms": reading.median_ms if reading else 0.0,
                "macs": cost.total,
                "attention_macs": cost.attention,
                "kept_mb": round(cost.kept_mb, 3) if module.config.rho else 0.0,
            }
        )
    return rows


def _exponent(rows: list[dict[str, Any]], key: str) -> float:
    cells, values = (np.log([row[name] for row in rows]) for name in ("cells", key))
    return round(float(np.polyfit(cells, values, 1)[0]), 3)


def beside_full(plan: ScenePlan, threads: int) -> list[dict[str, Any]]:
    """Sparse against full attention, one row per size: MACs by the formulas, and measured time."""
    torch.set_num_threads(threads)
    rows = []
    for grid in plan.beside_full:
        module = Module(plan.usual, plan.channels, grid)
        turns = {"sparse": Candidate(module.reading()), "full": Candidate(module.full())}
        take_turns(turns, rounds=plan.rounds, laps=1, warm_up=1)
        cost = Cost(plan.usual, plan.channels, *grid)
        sparse, full = turns["sparse"].median_ms, turns["full"].median_ms
        rows.append(
            {
                "rows": grid[0],
                "columns": grid[1],
                "sparse_ms": sparse,
                "full_ms": full,
                "times_faster": round(full / sparse, 2),
                "sparse_macs": cost.attention,
                "worked_macs": cost.worked,
                "full_macs": cost.full_attention,
                "times_fewer_macs": round(cost.full_attention / cost.attention, 2),
                "chunk_mb": round(cost.chunk_mb, 2),
                "gathered_mb": round(cost.gathered_mb, 2),
                "full_scores_mb": round(cost.full_scores_mb, 2),
            }
        )
    return rows
