"""The report of ``bench_video_semantic`` as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_GROWTH = {"frames": "past frames T", "cells": "cells h w", "rho": "share of queries rho"}


def table(report: dict[str, Any]) -> str:
    """Configurations, the attention beside full attention, its growth; a sentence below each."""
    parts = (_configurations(report), _beside_full(report), _growth(report["growth"]))
    lines = [line for part in parts for line in (*part, "")]
    return "\n".join([*lines, f"measured in {report['seconds']} s"])


def _configurations(report: dict[str, Any]) -> Iterator[str]:
    (height, width), usual = report["frame_hw"], report["temporal"]
    yield f"frames of {width}x{height}, T = {usual['frames']}, rho = {usual['rho']}, medians in ms"
    yield "network       threads  single ms  looking back    p95  overhead  in MACs  kept MB  peak MB (alone)"
    for row in report["configurations"]:
        yield (
            f"{row['encoder']:<12}  {row['threads']:>7}  {row['single_ms']:>9.1f}  "
            f"{row['ms_per_frame']:>12.1f}  {row['p95_ms']:>5.0f}  "
            f"{100 * row['overhead']:>6.1f} %  {100 * row['macs_overhead']:>5.1f} %  "
            f"{row['kept_mb']:>7.1f}  {row['peak_mb']:>8.0f} ({row['peak_single_mb']:.0f})"
        )
    target = report["target_overhead"]
    over = [f"{r['encoder']} on {r['threads']}" for r in report["configurations"] if r["overhead"] > target]
    told = f"missed by {', '.join(over)}" if over else "kept by all"
    yield f"target of {100 * target:.0f} % overhead or less: {told}"


def _beside_full(report: dict[str, Any]) -> Iterator[str]:
    yield (
        "the attention alone     sparse ms    full ms  x faster  sparse GMAC  full GMAC  x fewer  "
        "held MB: tiles, a gather, all scores"
    )
    for row in report["beside_full"]:
        size = f"{row['rows']} x {row['columns']} cells"
        yield (
            f"{size:<22}  {row['sparse_ms']:>9.1f}  {row['full_ms']:>9.1f}  {row['times_faster']:>8.1f}  "
            f"{row['sparse_macs'] / 1e9:>11.3f}  {row['full_macs'] / 1e9:>9.2f}  "
            f"{row['times_fewer_macs']:>7.1f}  {row['chunk_mb']:>14.1f}, {row['gathered_mb']:>8.1f}, "
            f"{row['full_scores_mb']:>10.1f}"
        )
    yield "x fewer counts windows; tiles multiply their unions, and full attention writes none of its scores"


def _growth(growth: dict[str, Any]) -> Iterator[str]:
    for key, what in _GROWTH.items():
        yield f"growth with {what}"
        yield "  T    cells   rho   n_k  module ms  attention ms    GMAC  kept MB"
        for row in growth[key]:
            yield (
                f"{row['frames']:>3}  {row['cells']:>7}  {row['rho']:>4.2f}  {row['n_keys']:>4}  "
                f"{row['ms']:>9.1f}  {row['attention_ms']:>12.1f}  {row['macs'] / 1e9:>6.3f}  "
                f"{row['kept_mb']:>7.2f}"
            )
    yield (
        f"the module's time grows with the cells to the power {growth['time_exponent']:.2f}, "
        f"its MACs {growth['macs_exponent']:.2f}"
    )
