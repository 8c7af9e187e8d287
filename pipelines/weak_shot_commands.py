"""What the commands around the weak-shot method do: pseudo-label, evaluate weak_shot."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput
from backends.core.types import Image
from backends.settings import Settings
from pipelines.services.installation import current_settings

if TYPE_CHECKING:
    from backends.weak_shot.labeller import Labeller
    from backends.weak_shot.weights_file import Bundle
    from pipelines.evaluate_weak_shot import Answer

ALGORITHM = "weak_shot"
WEIGHTS = "weights.safetensors"
SOME_REFUSED = 2  # the exit code, as for any other input that cannot be used


def pseudo_label(args: Namespace) -> int:
    """``maskloop pseudo-label``: 0 when every photo has its mask, 2 when some were refused."""
    from pipelines import pseudo_label as plain
    from pipelines.progress import bar

    settings = current_settings()

    def load() -> tuple[Labeller, str]:
        from backends.registry import Registry, version_of
        from backends.weak_shot.labeller import Labeller

        weights = args.weights or Registry(settings.models_dir).served(ALGORITHM).weights
        bundle = _bundle(weights, args, settings)
        if bundle.classifier is None:
            raise BadInput(
                f"{weights}: these weights hold no classifier, so tags mean nothing to them; "
                "train one with `maskloop train weak_shot --start-from` them"
            )
        return Labeller(bundle), version_of(ALGORITHM, weights)

    outcome = plain.pseudo_label(
        load, args.images, args.tags, args.out, progress=bar, max_pixels=settings.max_image_pixels
    )
    for line in plain.refusals(outcome, args.out):
        print(line, file=sys.stderr)
    print("\n".join(plain.summary(outcome, args.out)))
    return SOME_REFUSED if outcome.refused else 0


def evaluate(args: Namespace) -> int:
    """``maskloop evaluate weak_shot``"""
    from backends.registry import version_of
    from backends.weak_shot.loaders import open_photos
    from pipelines.atomic import write_json
    from pipelines.evaluate_weak_shot import check_classes, evaluate_weak_shot
    from pipelines.progress import bar

    settings = current_settings()
    weights = weights_of(args.of_run or args.weights)
    photos = open_photos(args.data, args.fold)
    bundle = _bundle(weights, args, settings)
    check_classes(bundle.classes, photos)
    answers = _answers(bundle, args.device or settings.device)
    for note in photos.notes:
        print(f"note: {args.data}: {note}", file=sys.stderr)
    found = evaluate_weak_shot(answers, photos, masks_out=args.masks_out, progress=bar)
    print(found.table())
    if args.json:
        write_json(args.json, found.to_json(version_of(ALGORITHM, weights)))
    return 0


def weights_of(run: Path | None) -> Path:
    """The weights of a run's folder, of a file, or those that ship. Raises BadInput when there are none."""
    if run is None:
        import backends.weak_shot

        run = Path(backends.weak_shot.__path__[0]) / "weights"
    weights = run / WEIGHTS if run.is_dir() else run
    if not weights.is_file():
        raise BadInput(f"{weights}: no such file; --run wants the folder of a run that is finished")
    return weights


def _answers(bundle: Bundle, device: str) -> dict[str, Answer]:
    """Pseudo-masks where the bundle has a classifier, the final network where it has one."""
    from functools import partial

    from backends.weak_shot.everywhere import label_map
    from backends.weak_shot.labeller import Labeller

    answers: dict[str, Answer] = {}
    if bundle.classifier is not None:
        labeller = Labeller(bundle)
        answers["pseudo_masks"] = lambda image, tags: _masks(labeller, image, tags)
    if bundle.segmentation is not None:
        size = bundle.long_side_px
        network = partial(label_map, bundle.segmentation, long_side_px=size, device=device)
        answers["network"] = lambda image, tags: network(image)
    if not answers:
        raise BadInput("these weights hold neither a classifier nor a final network; nothing can be scored")
    return answers


def _bundle(weights: Path, args: Namespace, settings: Settings) -> Bundle:
    import torch

    from backends.weak_shot.weights_file import load

    if not weights.is_file():
        raise BadInput(f"--weights {weights}: no such file")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    return load(weights, args.device or settings.device)


def _masks(labeller: Labeller, image: Image, tags: tuple[str, ...]) -> NDArray[np.uint8]:
    """(H, W) class ids; nothing but background for a photo without a tag."""
    if not tags:
        return np.zeros(image.shape[:2], np.uint8)
    return labeller.label(image, tags).labels
