"""What decides a weak-shot run: the switches of the method's ladder, the budget of each stage, the walk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from backends.core.errors import BadInput
from backends.training.settings import config_from as built_from
from backends.weak_shot.propagation import Walk
from backends.weak_shot.refinement import Refinement
from backends.weak_shot.sampling import ViewConfig


@dataclass(frozen=True)
class Budget:
    """One network's training."""

    steps: int = 300
    batch: int = 8
    learning_rate: float = 1e-3
    """Peak rate of everything but the trunk."""
    trunk_rate: float = 1e-4
    """Peak rate of the trunk; 0 leaves it as it came, which takes a third of the time."""
    weight_decay: float = 1e-4
    warm_up: int = 30
    average: float = 0.99
    """Decay of the running average of the weights, which is what a stage hands on."""
    base_share: float = -1.0
    """The share of samples from base photos; below 0: as many as there are among the photos."""
    view: ViewConfig = field(default_factory=ViewConfig)


@dataclass(frozen=True)
class ResponseConfig:
    """How responses are read off a trained classifier."""

    scales: tuple[float, ...] = (1.0, 1.5)
    flip: bool = True
    alpha: float = 16.0
    """Background of the propagated scores: ``(1 - max response) ** alpha``."""
    seed_foreground: float = 4.0
    """The same exponent for seeds that are surely an object …"""
    seed_background: float = 0.0
    """… and for those that are surely background; 0: 32 for CAM, 24 for SEAM, as their papers have it."""
    refine: bool = True
    """Let seeds follow the colours of the photo …"""
    refinement: Refinement = field(default_factory=Refinement)
    """… like this."""


Response = Literal["cam", "seam", "shares", "objects"]
Source = Literal["photos", "objects"]


@dataclass(frozen=True)
class TrainingConfig:
    """One run. Everything that decides the result; stored with it. The defaults are RETAB whole."""

    trunk: str = "mobilenet_v2"
    seed: int = 0
    response: Response = "cam"
    """Activation maps, SEAM's, the shares of a softmax in which classes compete for each cell, or these with
    a prior of what an object is, learned from base masks."""
    response_gt: bool = False
    """Base masks teach the classifier too; with ``shares`` only. The paper's classifiers know tags alone."""
    propagate: bool = True
    """False: the responses themselves are the pseudo-masks, the ladder's first row."""
    seg_gt: bool = True
    """The final network learns base photos from their masks, not from pseudo-masks."""
    aff_gt: bool = True
    """The affinity network learns base photos from their masks, not from seeds."""
    boundary: bool = True
    """Predicted boundaries: left out of the affinity network's labels and heeded by the walk."""
    stage: int = 2
    """1: boundary cells keep their responses; 2: they are filled from around. Without boundaries alike."""
    oracle: bool = False
    """The final network learns from all masks, novel ones too: the upper end of the ladder."""
    masks: Source = "photos"
    """``photos``: masks of photos without a novel tag. ``objects``: masks of base objects on other photos
    besides; what lies around those objects stays unknown."""
    band_px: int = 5
    """Width of the contour band that the boundary network learns, at ``long_side_px``."""
    long_side_px: int = 416
    """Photos are kept, and pseudo-labelled, with no longer side than this."""
    memory_mb: int = 1500
    """For decoded photos."""
    checkpoint_every: int = 100
    amp: bool = True
    """bfloat16 autocast."""
    classifier: Budget = field(default_factory=lambda: Budget(view=ViewConfig(side_px=288, scale=(0.9, 1.4))))
    boundary_net: Budget = field(default_factory=Budget)
    affinity: Budget = field(default_factory=lambda: Budget(base_share=0.5))
    segmentation: Budget = field(default_factory=Budget)
    responses: ResponseConfig = field(default_factory=ResponseConfig)
    walk: Walk = field(default_factory=Walk)

    def __post_init__(self) -> None:
        for name, wanted in (
            ("response", ("cam", "seam", "shares", "objects")),
            ("masks", ("photos", "objects")),
            ("stage", (1, 2)),
        ):
            if (value := getattr(self, name)) not in wanted:
                raise BadInput(f"training setting {name!r}: {value!r}; known: {', '.join(map(str, wanted))}")


def config_from(values: Mapping[str, Any]) -> TrainingConfig:
    """Build a config from JSON values; unknown names are refused with the list of known ones."""
    return built_from(TrainingConfig, values)


def response_config(config: TrainingConfig) -> ResponseConfig:
    """The run's response settings with every value set."""
    found = config.responses
    if found.seed_background:
        return found
    return replace(found, seed_background=32.0 if config.response == "cam" else 24.0)
