"""What the commands around whole-scene video do: evaluate video_semantic, predict-video."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from backends.core.errors import BadInput
from backends.settings import Settings
from pipelines.services.installation import current_settings

if TYPE_CHECKING:
    from backends.video_semantic.reader import ClipReader
    from backends.video_semantic.scenes import Scenes
    from backends.video_semantic.weights_file import SceneWeights

ALGORITHM = "video_semantic"
SOME_REFUSED = 2  # the exit code, as for any other input that cannot be used


def evaluate(args: Namespace) -> int:
    """``maskloop evaluate video_semantic``"""
    from backends.registry import version_of
    from backends.video_semantic.loaders import open_scenes
    from pipelines.atomic import write_json
    from pipelines.evaluate_scenes import evaluate_video_semantic, table
    from pipelines.progress import bar

    settings = current_settings()
    path = weights_path(args.weights, settings)
    scenes = open_scenes(args.data, args.split)
    weights = load_for(scenes, args.data, path)
    device = args.device or settings.device
    report = evaluate_video_semantic(weights.network, scenes, device=device, progress=bar)
    report = {**report, "split": args.split, "version": version_of(ALGORITHM, path)}
    print(table(report))
    if args.json:
        write_json(args.json, report)
    return 0


def predict_video(args: Namespace) -> int:
    """``maskloop predict-video``: 0 when every frame has its label map, 2 when some were refused."""
    from pipelines import predict_video as plain
    from pipelines.progress import bar

    settings = current_settings()

    def reader() -> tuple[ClipReader, str]:
        import torch

        from backends.registry import version_of
        from backends.video_semantic.reader import ClipReader

        if settings.threads:
            torch.set_num_threads(settings.threads)
        path = weights_path(args.weights, settings)
        return ClipReader(load(path), args.device or settings.device), version_of(ALGORITHM, path)

    outcome = plain.predict_video(
        reader,
        args.frames,
        args.out,
        unrelated=args.unrelated,
        progress=bar,
        max_pixels=settings.max_image_pixels,
    )
    for line in plain.refusals(outcome, args.out):
        print(line, file=sys.stderr)
    print("\n".join(plain.summary(outcome, args.out)))
    return SOME_REFUSED if outcome.refused else 0


def weights_path(given: Path | None, settings: Settings) -> Path:
    """``given``, or the served version's weights. Raises BadInput for a missing file."""
    from backends.registry import Registry

    path = given or Registry(settings.models_dir).served(ALGORITHM).weights
    if not path.is_file():
        raise BadInput(f"--weights {path}: no such file")
    return path


def load_for(scenes: Scenes, data: Path, path: Path) -> SceneWeights:
    """The network in ``path`` for the ``scenes`` of ``data``. Raises BadInput, also for other classes."""
    weights = load(path)
    if scenes.classes != weights.classes:
        raise BadInput(
            f"{data} has the classes {', '.join(scenes.classes)}; {path} knows "
            f"{', '.join(weights.classes)}: wants weights that were trained for these classes"
        )
    return weights


def load(path: Path) -> SceneWeights:
    """The network in ``path``. Raises BadInput."""
    from backends.video_semantic.weights_file import load_weights

    return load_weights(path)
