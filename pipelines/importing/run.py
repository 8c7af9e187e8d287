"""Found data become tasks with annotations: frames byte for byte, masks to the pixel, nothing twice.

A task is known by its clip, whose name is a digest of its frames. So the same data again add nothing, and an
import that was interrupted goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput, BadLabelConfig
from backends.core.types import FrameMasks
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import to_results
from backends.settings import Settings
from pipelines.importing import coco, davis, voc, youtube_vos
from pipelines.importing.found import FoundClip, FoundData
from pipelines.ingest import CLIPS, IngestedClip, ingest_as_it_is
from pipelines.media.clip_folder import read_clip
from pipelines.media.sources import Pictures
from pipelines.progress import Track, quiet

READERS: Mapping[str, Callable[..., FoundData]] = {
    "davis": davis.read,
    "youtube-vos": youtube_vos.read,
    "coco": coco.read,
    "voc": voc.read,
}
"""(folder, most pixels of a picture, wanted sequences or none, *, progress) -> what is in it."""

REGIONS = 300
"""Masks per task that the editor opens within ten seconds; longer clips are cut."""


@dataclass
class Imported:
    """What became of the data."""

    tasks: int = 0
    masks: int = 0
    known: int = 0
    """Tasks that were there already."""
    widest_px: int = 0
    """The longest side of any frame."""
    notes: list[str] = field(default_factory=list)
    """What could not be used, a sentence each."""


def read(
    format_name: str,
    folder: Path,
    settings: Settings,
    only: Sequence[str] = (),
    *,
    progress: Track = quiet,
) -> FoundData:
    """What is in ``folder``; of its sequences ``only`` these, if any are named.

    Raises BadInput for an unknown format, for a folder that is not of it, and for a name that is not there.
    """
    if format_name not in READERS:
        raise BadInput(f"no reader of {format_name!r}; there are {', '.join(READERS)}")
    if not folder.is_dir():
        raise BadInput(f"--from {folder}: no such folder")
    found = READERS[format_name](folder, settings.max_image_pixels, only, progress=progress)
    if not found.clips or not found.labels:
        raise BadInput(f"--from {folder}: nothing is labelled in it; {' '.join(found.notes)}")
    return found


def check_project(xml: str, found: FoundData, title: str) -> LabelConfig:
    """The project's configuration. Raises BadLabelConfig unless clips with these labels fit into it."""
    config = LabelConfig.parse(xml)
    if config.mask is None or not config.is_multi_image:
        raise BadLabelConfig(
            f"project {title!r} cannot hold clips: its configuration wants BrushLabels and "
            '<Image valueList="$frames"/>; give a new --title instead'
        )
    if missing := [label for label in found.labels if label not in config.objects]:
        raise BadLabelConfig(
            f"project {title!r} lacks the label {missing[0]!r} ({len(missing)} in all); add it under "
            "Settings, Labeling Interface, to every tool, or give a new --title"
        )
    return config


def import_data(
    found: FoundData,
    client: LabelStudioClient,
    project_id: int,
    config: LabelConfig,
    settings: Settings,
    *,
    progress: Track = quiet,
) -> Imported:
    """Make a task for each clip of at most ``max_clip_frames`` frames, its masks as an annotation.

    A clip that cannot be used becomes a note, the others go on. Raises SetupFault for a full disk,
    LabelStudioDown, TokenRefused.
    """
    imported = Imported(notes=list(found.notes))
    known = {str(task.get("data", {}).get("clip")) for task in client.tasks(project_id)}
    total = sum(len(clip.frames) for clip in found.clips)

    def frames() -> Iterator[None]:
        for clip in found.clips:
            try:
                yield from _import_clip(clip, client, project_id, config, settings, known, imported)
            except BadInput as error:
                imported.notes.append(f"{clip.name} is left out: {error}")

    for _ in progress(frames(), total=total, label="import"):
        pass
    return imported


def _import_clip(
    clip: FoundClip,
    client: LabelStudioClient,
    project_id: int,
    config: LabelConfig,
    settings: Settings,
    known: set[str],
    imported: Imported,
) -> Iterator[None]:
    """Yields once per frame that is done."""
    shorter = replace(settings, max_clip_frames=_clip_length(clip, settings))
    parts = ingest_as_it_is(Pictures(clip.name, clip.frames, settings.max_image_pixels), shorter)
    for number, part in enumerate(parts):
        shared = int(number > 0)  # the frame before, which was counted there
        imported.widest_px = max(imported.widest_px, *part.size_hw)
        if part.clip_id in known:
            imported.known += 1
            yield from [None] * (part.n_frames - shared)
            continue
        sources = _sources(settings.media_root / CLIPS / part.clip_id)
        results: list[dict[str, Any]] = []
        for place, index in enumerate(sources):
            results += _results(clip, index, place, part, config, imported)
            if place >= shared:
                yield
        client.import_tasks(project_id, [_task(clip, part, sources, results)])
        known.add(part.clip_id)
        imported.tasks += 1
        imported.masks += len(results)


def _results(
    clip: FoundClip, index: int, place: int, part: IngestedClip, config: LabelConfig, imported: Imported
) -> list[dict[str, Any]]:
    """The regions of one frame; masks that cannot be read are told."""
    head = f"{clip.name}, frame {clip.names[index]}"
    try:
        found = clip.masks(index)
        results = to_results(FrameMasks(place, dict(found.masks), {}), config, part.size_hw)
    except BadInput as error:
        imported.notes.append(f"{head}: {error}")
        return []
    imported.notes += [f"{head}: {sentence}" for sentence in found.refused]
    return results


def _task(
    clip: FoundClip, part: IngestedClip, sources: Sequence[int], results: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A part without any mask is a task that nobody has worked on yet."""
    data = {**part.task_data, "names": [clip.names[index] for index in sources]}
    if clip.categories:
        data["categories"] = dict(clip.categories)
    if not results:
        return {"data": data}
    # Label Studio stars imported annotations as ground truth unless told; then corrections would not count
    return {"data": data, "annotations": [{"result": list(results), "ground_truth": False}]}


def _sources(folder: Path) -> list[int]:
    """The numbers that the frames of a clip folder have in their source."""
    told = read_clip(folder)
    return [int(row["source_frame"]) for row in told["frames"]] if told else []


def _clip_length(clip: FoundClip, settings: Settings) -> int:
    """Frames per task, by the frame with the most masks."""
    objects = 1
    for index in range(len(clip.frames)):
        with suppress(BadInput):  # told when the frame's turn comes
            objects = max(objects, len(clip.masks(index).masks))
    return max(2, min(settings.max_clip_frames, REGIONS // objects))
