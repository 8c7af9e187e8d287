"""The rows of the weak-shot ladder for one fold and seed: trained and scored once, found again afterwards."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from backends.core.errors import BadInput
from backends.weak_shot import everywhere
from backends.weak_shot.album import Album, check, fingerprint
from backends.weak_shot.confusion import new_confusion, scores
from backends.weak_shot.loaders import open_photos
from backends.weak_shot.photos import Photo, Photos
from backends.weak_shot.pictures import Shelf
from backends.weak_shot.places import file_digest, shared
from backends.weak_shot.pretence import with_pretended
from backends.weak_shot.recipe import TrainingConfig, config_from
from backends.weak_shot.stages import Means, Stages
from pipelines.atomic import write_json


class LadderRun:
    """One fold with one seed; its rows share photos in memory and stages on disk."""

    def __init__(
        self,
        data: Path,
        fold: int,
        seed: int,
        out: Path,
        trunk: Path | None,
        device: str,
        choosing: bool,
        masks_only: bool = False,
    ):
        """``choosing``: a part of the training photos is held out in place of those that are reported on, and
        some base classes play novel ones (:mod:`backends.weak_shot.pretence`).

        ``masks_only``: no final network is trained or scored.
        """
        self.data, self.fold, self.seed, self.trunk, self.device = data, fold, seed, trunk, device
        self.choosing, self.masks_only = choosing, masks_only
        self.folder = out / f"fold-{fold}" / f"seed-{seed}"

    @cached_property
    def photos(self) -> Photos:
        """The fold's photos. Raises BadInput when none that is held out has a mask."""
        photos = open_photos(self.data, self.fold)
        photos = with_pretended(photos).for_choosing() if self.choosing else photos
        if not any(photo.mask_path for photo in photos.held_out):
            raise BadInput(f"{self.data}: no held-out photo has a mask, so nothing can be scored")
        return photos

    def report(self, row: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Train what the row still needs, score it, write ``ROW.json``; or read that when it is there.

        Raises BadInput when it is there with other settings.
        """
        config = config_from({**values, "seed": self.seed})
        path = self._report_path(row)
        found = self.kept(path, config)
        if found is None:
            found = {"row": row, "fold": self.fold, "seed": self.seed, **self._scores(self.stages(config))}
            found["settings"] = self.settings(config)
            write_json(path, found)
        return found

    def kept(self, path: Path, config: TrainingConfig) -> dict[str, Any] | None:
        """What ``path`` holds of this config, or None. Raises BadInput when it is of other settings."""
        if not path.is_file():
            return None
        found: dict[str, Any] = json.loads(path.read_text())
        if found["settings"] != self.settings(config):
            raise BadInput(f"{path} was made with other settings; choose another --out or those settings")
        return found

    def stages(self, config: TrainingConfig) -> Stages:
        """The stages of this config, with what others of this fold and seed left. Raises BadInput."""
        check(self.photos, config.masks, taught=False)
        return Stages(config, Means(self._album(config), self._place, self.trunk, None, self.device))

    @property
    def scored(self) -> list[Photo]:
        """The held-out photos with a mask."""
        return [photo for photo in self.photos.held_out if photo.mask_path is not None]

    def _report_path(self, row: str) -> Path:
        whole = self.folder / f"{row}.json"
        return self.folder / f"{row}.masks.json" if self.masks_only and not whole.is_file() else whole

    def _scores(self, stages: Stages) -> dict[str, Any]:
        classes, config = self.photos.classes, stages.config
        masks, result = new_confusion(classes), new_confusion(classes)
        network = None if self.masks_only else stages.segmentation
        for photo in progress(self.scored, "scoring"):
            truth = self.photos.truth(photo)
            if not config.oracle:
                masks.add(truth, stages.pseudo_mask(photo, (truth.shape[0], truth.shape[1])))
            if network is not None:
                image = self.photos.image(photo)
                side = config.long_side_px
                result.add(truth, everywhere.label_map(network, image, long_side_px=side, device=self.device))
        told = None if config.oracle else scores(masks, classes).to_json()
        learned = None if network is None else scores(result, classes).to_json()
        return {"photos": len(self.scored), "pseudo_masks": told, "network": learned}

    @cached_property
    def _place(self) -> Any:
        return shared(self.folder / "stages")

    def _album(self, config: TrainingConfig) -> Album:
        if config.long_side_px not in self._albums:
            shelf = Shelf(config.memory_mb * 1_000_000)
            self._albums[config.long_side_px] = Album(self.photos, config.long_side_px, shelf)
        return self._albums[config.long_side_px]

    @cached_property
    def _albums(self) -> dict[int, Album]:
        return {}

    def settings(self, config: TrainingConfig) -> dict[str, Any]:
        """All that decides a row's result, as JSON gives it back."""
        photos = replace(self.photos, notes=())
        told = {
            "config": asdict(config),
            "train": fingerprint(photos.train),
            "held_out": fingerprint(photos.held_out),
            "trunk": file_digest(self.trunk),
        }
        settings: dict[str, Any] = json.loads(json.dumps(told))  # tuples become lists, as they come back
        return settings


def progress(photos: list[Photo], label: str) -> Iterator[Photo]:
    """The photos, with a bar that writes a line now and then where nobody watches."""
    yield from tqdm(photos, desc=label, unit="photo", mininterval=0.1 if sys.stderr.isatty() else 10.0)
