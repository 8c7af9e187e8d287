"""The stages of a run, each done once and found again: classifier, responses, boundary, affinity, network.

Every stage keeps its results in a folder that knows all that decides them, so that a killed run goes on where
it was and runs that share a stage share its folder. Maps of single photos are made when first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backends.training.carry import carried
from backends.weak_shot import grid, networks, subjects, targets
from backends.weak_shot.album import Album, fingerprint
from backends.weak_shot.evidence import Evidence
from backends.weak_shot.labels import Labels
from backends.weak_shot.maps import BoundaryMaps, MaskFiles, ResponseFiles
from backends.weak_shot.photos import Photo
from backends.weak_shot.places import Place, digest, file_digest
from backends.weak_shot.recipe import Budget, TrainingConfig, response_config
from backends.weak_shot.sampling import Draw, Mixed, Sample, canvas, cut
from backends.weak_shot.training import Training, learn


@dataclass(frozen=True)
class Means:
    """What stages work with besides their settings."""

    album: Album
    place: Place
    trunk: Path | None = None
    """ImageNet weights; None: networks begin with random weights."""
    taught: Mapping[str, Mapping[str, Tensor]] | None = None
    """Weights of networks that come trained, by name; these stages are not trained again."""
    device: str = "cpu"
    begun: Mapping[str, Mapping[str, Tensor]] | None = None
    """Weights that networks begin with and learn on from, by name; ``begun_classes`` are their classes."""
    begun_classes: Sequence[str] = ()


@dataclass(frozen=True)
class Pupil:
    """A network to train: which it is, what the run calls it, its budget and what else decides its result."""

    kind: str
    name: str
    budget: Budget
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Lesson:
    """What it is trained on: two piles of photos, and the target (H, W) of each photo."""

    first: Sequence[Photo]
    second: Sequence[Photo]
    target: Callable[[Photo], Labels]


class Stages:
    """The stages of one config; nothing happens before a stage is asked for."""

    def __init__(self, config: TrainingConfig, means: Means):
        self.config, self.means, self.album = config, means, means.album
        self._keys: dict[str, str] = {}

    @cached_property
    def classifier(self) -> nn.Module:
        """Trained on tags of all training photos."""
        c, album = self.config, self.album
        kind = {"cam": "classifier"}.get(c.response, c.response)
        photos = album.tagged
        settings: dict[str, Any] = {
            "photos": fingerprint(photos),
            "classes": list(album.photos.classes.names),
        }
        base: list[Photo] = []
        told: frozenset[Photo] = frozenset()
        if c.response == "objects" or (c.response == "shares" and c.response_gt):
            base = [p for p in photos if album.photos.is_base(p)]
            told = frozenset(photos if c.masks == "objects" else base)
            settings |= {"base": fingerprint(base), "masks": c.masks}
        pupil = Pupil(kind, "classifier", c.classifier, settings)
        lent = frozenset(base)
        others = [p for p in photos if p not in lent]
        return self._trained(pupil, Lesson(base, others, partial(targets.classifier, self, told)))

    @cached_property
    def responses(self) -> ResponseFiles:
        """Responses and seeds of every tagged photo."""
        c = self.config
        network = self.classifier
        settings: dict[str, Any] = {
            "classifier": self._keys["classifier"],
            "responses": asdict(replace(response_config(c), alpha=1.0)),  # read off, not spread, here
        }
        settings["long_side_px"] = c.long_side_px
        folder = self._place("responses", settings)
        return ResponseFiles(folder, network, self.album, response_config(c), self.means.device)

    @cached_property
    def boundary(self) -> BoundaryMaps:
        """Boundary probabilities of every photo, by a network trained on base masks."""
        c, album = self.config, self.album
        lending = self._lending
        settings: dict[str, Any] = {"photos": fingerprint(lending), "masks": c.masks, "band_px": c.band_px}
        pupil = Pupil("boundary", "boundary", c.boundary_net, settings)
        network = self._trained(pupil, Lesson(lending, (), partial(targets.boundary, self)))
        folder = self._place("boundary-maps", {"boundary": self._keys["boundary"], "side": c.long_side_px})
        return BoundaryMaps(folder, network, album, self.means.device)

    @cached_property
    def affinity(self) -> nn.Module:
        """Trained on mixed labels: base masks, seeds elsewhere, nothing on predicted boundaries."""
        c, photos = self.config, self.album.tagged
        base = [p for p in photos if c.aff_gt and self.album.photos.is_base(p)]
        lent = frozenset(base)
        others = [p for p in photos if p not in lent]
        settings: dict[str, Any] = {"photos": fingerprint(photos), "aff_gt": c.aff_gt}
        settings["masks"] = c.masks if c.aff_gt else None
        if "affinity" not in (self.means.taught or {}):
            self.responses.fill(others)
            settings["responses"] = self._keys["responses"]
            if c.boundary:
                self.boundary.fill(others)
                settings["boundary"] = self._keys["boundary-maps"]
                settings["threshold"] = c.walk.threshold
        pupil = Pupil("affinity", "affinity", c.affinity, settings)
        return self._trained(pupil, Lesson(base, others, partial(targets.affinity, self)))

    @cached_property
    def masks(self) -> MaskFiles:
        """Pseudo-masks of tagged photos at the size of the album."""
        c = self.config
        self.responses  # noqa: B018 - makes its key
        settings: dict[str, Any] = {"responses": self._keys["responses"], "alpha": c.responses.alpha}
        settings["propagate"] = c.propagate
        if c.propagate:
            self.affinity  # noqa: B018 - trains it
            settings |= {"affinity": self._keys["affinity"], "walk": asdict(replace(c.walk, stages=c.stage))}
            if c.boundary:
                self.boundary  # noqa: B018
                settings["boundary"] = self._keys["boundary-maps"]
        return MaskFiles(self._place("masks", settings), self.album, self.pseudo_mask)

    @cached_property
    def segmentation(self) -> nn.Module:
        """The final network: base masks where the config says so, pseudo-masks elsewhere; or all masks."""
        c, album = self.config, self.album
        photos = [p for p in album.tagged if not c.oracle or p.mask_path is not None]
        settings: dict[str, Any] = {"photos": fingerprint(photos), "oracle": c.oracle}
        settings["classes"] = list(album.photos.classes.names)
        if not c.oracle:
            settings |= {"seg_gt": c.seg_gt, "sources": c.masks if c.seg_gt else None}
            masks = self.masks
            settings["masks"] = self._keys["masks"]
            masks.fill([p for p in photos if not (c.seg_gt and album.photos.is_base(p))])
        pupil = Pupil("segmentation", "segmentation", c.segmentation, settings)
        return self._trained(pupil, Lesson(photos, (), partial(targets.segmentation, self)))

    def weights(self, name: str) -> dict[str, Tensor]:
        """The trained weights of ``classifier``, ``boundary``, ``affinity`` or ``segmentation``."""
        network = self.boundary.network if name == "boundary" else getattr(self, name)
        return dict(network.state_dict())

    @cached_property
    def _lending(self) -> tuple[Photo, ...]:
        photos = self.album.photos
        if self.config.masks == "objects":
            return tuple(p for p in photos.train if p.mask_path is not None)
        return photos.base_images

    def pseudo_mask(self, photo: Photo, size_hw: tuple[int, int] | None = None) -> Labels:
        """(H, W) labels from the photo's tags alone, at ``size_hw`` or at the album's size."""
        c = self.config
        return self.evidence(photo).labels(c.responses.alpha, replace(c.walk, stages=c.stage), size_hw)

    def evidence(self, photo: Photo) -> Evidence:
        """What the trained networks say of a photo, before anything is spread."""
        c, image = self.config, self.album.image(photo)
        inner = (image.shape[0], image.shape[1])
        cells, ids = networks.grid_of(*inner), (0, *self.album.photos.tag_ids(photo))
        if not photo.tags:
            return Evidence(inner, ids, np.zeros((0, *cells), np.float32))
        found = grid.on_grid(self.responses.cams(photo), cells)
        if not c.propagate:
            return Evidence(inner, ids, found)
        pairs = subjects.pairs_of(self.affinity, image, c.walk.radius, self.means.device)
        edges = grid.max_pooled(self.boundary.probability(photo), networks.GRID) if c.boundary else None
        return Evidence(inner, ids, found, pairs, edges)

    def _draw(self, lesson: Lesson, budget: Budget) -> Draw:
        c, album = self.config, self.album
        everyone = (*lesson.first, *lesson.second)
        share = budget.base_share if budget.base_share >= 0 else len(lesson.first) / max(1, len(everyone))
        pile = Mixed(lesson.first, lesson.second, share)
        size = canvas([album.size(photo) for photo in everyone], budget.view.side_px)

        def draw(number: int) -> Sample:
            photo = pile(c.seed, number)
            rng = np.random.default_rng((c.seed, number, 11))
            return cut(album.image(photo), lesson.target(photo), album.tags(photo), size, budget.view, rng)

        return draw

    def _trained(self, pupil: Pupil, lesson: Lesson) -> nn.Module:
        c, m, budget = self.config, self.means, pupil.budget
        torch.manual_seed(c.seed)
        network = subjects.build(pupil.kind, c.trunk, self.album.n)
        taught = (m.taught or {}).get(pupil.name)
        if taught is not None:
            self._keys[pupil.name] = subjects.digest_of(taught)
            return subjects.filled(network, taught, pupil.name).to(m.device).eval()
        everything = {
            **pupil.settings,
            "budget": asdict(budget),
            "seed": c.seed,
            "trunk": c.trunk,
            "amp": c.amp,
        }
        begun = (m.begun or {}).get(pupil.name)
        began_with = file_digest(m.trunk) if begun is None else subjects.digest_of(begun)
        everything |= {"long_side_px": c.long_side_px, "began_with": began_with}
        folder = self._place(pupil.kind, everything, pupil.name)
        if m.trunk is not None:
            subjects.load_trunk(network, pupil.kind, c.trunk, m.trunk)
        if begun is not None:
            self._begin(network, pupil.kind, begun)
        how = subjects.LOSSES[pupil.kind]
        training = Training(network, how, budget, seed=c.seed, amp=c.amp, device=m.device)
        every, draw = c.checkpoint_every, self._draw(lesson, budget)
        found = learn(training, draw, budget, folder, checkpoint_every=every, label=pupil.kind)
        return subjects.filled(network, found, pupil.name).to(m.device).eval()

    def _begin(self, network: nn.Module, kind: str, begun: Mapping[str, Tensor]) -> None:
        """Fill ``network`` with what other weights know; what they knew of a class goes by its name."""
        before, names = self.means.begun_classes, self.album.photos.classes.names
        make = partial(subjects.build, kind, self.config.trunk)
        network.load_state_dict(carried(begun, before, network, names, make), strict=False)

    def _place(self, stage: str, settings: Mapping[str, Any], name: str | None = None) -> Path:
        self._keys[name or stage] = digest(settings)
        return self.means.place(stage, settings)
