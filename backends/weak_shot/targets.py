"""What each stage teaches about one photo, as label maps at the album's size: the switches of the ladder."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from backends.weak_shot import labels
from backends.weak_shot.album import Album
from backends.weak_shot.labels import IGNORE, Labels
from backends.weak_shot.maps import BoundaryMaps, MaskFiles, ResponseFiles
from backends.weak_shot.photos import Photo
from backends.weak_shot.recipe import TrainingConfig


class Sources(Protocol):
    """Where labels come from: the run's stages."""

    config: TrainingConfig
    album: Album

    @property
    def responses(self) -> ResponseFiles: ...

    @property
    def boundary(self) -> BoundaryMaps: ...

    @property
    def masks(self) -> MaskFiles: ...


def classifier(sources: Sources, told: frozenset[Photo], photo: Photo) -> Labels:
    """(H, W) of IGNORE, as the classifier learns from tags; of one among ``told``, what its mask may show."""
    known = sources.album.known(photo, sources.config.masks) if photo in told else None
    return np.full(sources.album.image(photo).shape[:2], IGNORE, np.uint8) if known is None else known


def boundary(sources: Sources, photo: Photo) -> Labels:
    """Contour band of the base masks."""
    album, band_px = sources.album, sources.config.band_px
    if album.photos.is_base(photo):
        return labels.boundary_target(album.base_truth(photo), band_px)
    return labels.boundary_target_of_objects(album.objects(photo), band_px)


def affinity(sources: Sources, photo: Photo) -> Labels:
    """Mixed labels: the mask of a base photo; seeds of any other, nothing said on predicted boundaries."""
    album, config = sources.album, sources.config
    known = album.known(photo, config.masks) if config.aff_gt else None
    if known is not None and album.photos.is_base(photo):
        return known
    seeds = sources.responses.seeds(photo)
    if config.boundary:
        edges = sources.boundary.probability(photo) >= config.walk.threshold
        seeds = labels.without_boundary(seeds, edges)
    return seeds if known is None else labels.over(known, seeds)


def segmentation(sources: Sources, photo: Photo) -> Labels:
    """The mask of a base photo, the pseudo-mask of any other; every mask for the oracle."""
    album, config = sources.album, sources.config
    if config.oracle:
        return album.oracle(photo)
    known = album.known(photo, config.masks) if config.seg_gt else None
    if known is not None and album.photos.is_base(photo):
        return known
    pseudo = sources.masks.labels(photo)
    return pseudo if known is None else labels.over(known, pseudo)
