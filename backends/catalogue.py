"""The algorithms by name: one literal dict. Loading imports torch; looking does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backends.core.types import Segmenter
from backends.settings import Settings


@dataclass(frozen=True)
class Algorithm:
    """What the rest of MaskLoop needs to know of one way of segmenting."""

    load: Callable[[Path, Settings, str], Segmenter]
    """(weights, settings: device, threads, engine and graphs_dir count, version) -> a warm segmenter."""
    metric: str
    """The figure that versions are compared by."""
    label_config: str
    """The file in ``labelstudio_config`` that goes with it."""


def _load_video_object(weights: Path, settings: Settings, version: str) -> Segmenter:
    from backends.video_object.segmenter import load  # imports torch

    return load(
        weights,
        device=settings.device,
        threads=settings.threads,
        version=version,
        engine=settings.engine,
        graphs=settings.graphs_dir,
    )


def _load_weak_shot(weights: Path, settings: Settings, version: str) -> Segmenter:
    from backends.weak_shot.segmenter import load  # imports torch

    return load(weights, device=settings.device, threads=settings.threads, version=version)


def _load_video_semantic(weights: Path, settings: Settings, version: str) -> Segmenter:
    from backends.video_semantic.segmenter import load  # imports torch

    return load(weights, device=settings.device, threads=settings.threads, version=version)


ALGORITHMS: dict[str, Algorithm] = {
    "video_object": Algorithm(
        load=_load_video_object,
        metric="j_and_f",
        label_config="video_object.xml",
    ),
    "weak_shot": Algorithm(
        load=_load_weak_shot,
        metric="c_novel",
        label_config="weak_shot.xml",
    ),
    "video_semantic": Algorithm(
        load=_load_video_semantic,
        metric="miou",
        label_config="video_semantic.xml",
    ),
}
