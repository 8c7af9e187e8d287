"""Label Studio's own JSON: ``tasks.json`` to import, ``label_config.xml``, and the frames below ``media/``.

Annotations are written as Label Studio holds them, so nothing of them is lost: frames' numbers
(``item_index``), region ids, tags, boxes, skipped ones, those of every annotator.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from backends.core.errors import BadMedia
from backends.labelstudio.label_config import LabelConfig
from pipelines.export.formats.coco import put_json
from pipelines.export.formats.losses import Losses
from pipelines.export.formats.view import frame_names
from pipelines.export.project import LabelledClip, ProjectWork
from pipelines.progress import Track, quiet

CANNOT_HOLD = (
    "labelstudio holds everything but predictions, drafts and who saved an annotation: an import makes all "
    "of them the importing user's (their names stand in each task's meta)"
)
_LOCAL = "/data/local-files/"
_OWN = "maskloop"  # folder for frames that were no local files
_KEPT = ("result", "was_cancelled", "ground_truth", "lead_time")
_FETCHED = "no local files, so referred to below media/ from now on: {count} frames ({first} first)"


def write(work: ProjectWork, out: Path, *, progress: Track = quiet) -> tuple[str, ...]:
    """Write the project; returns what could not be held. Raises BadMedia for a frame that vanished."""
    losses = Losses()
    key = LabelConfig.parse(work.label_config).data_key
    clips = work.clips
    tasks = [_task(clip, key, out, losses) for clip in progress(clips, total=len(clips), label="labelstudio")]
    put_json(tasks, out / "tasks.json")
    (out / "label_config.xml").write_text(work.label_config, encoding="utf-8")
    return (CANNOT_HOLD, *losses.sentences())


def _task(clip: LabelledClip, key: str, out: Path, losses: Losses) -> dict[str, Any]:
    given = clip.data.get(key)
    references = [given] if isinstance(given, str) else list(given or ())
    kept = [_put(clip, index, str(one), out, losses) for index, one in enumerate(references)]
    data = {**clip.data, key: kept[0] if isinstance(given, str) else kept}
    whole = [raw for raw in clip.work.raw if raw.get("result") is not None]
    saved = [{name: raw.get(name) for name in _KEPT} for raw in whole]
    by = [
        {"by": raw.get("completed_by"), "saved_at": raw.get("updated_at") or raw.get("created_at")}
        for raw in whole
    ]
    return {"data": data, "annotations": saved, "meta": {"task": clip.work.task_id, "annotations": by}}


def _put(clip: LabelledClip, index: int, reference: str, out: Path, losses: Losses) -> str:
    """Copy a frame below ``media/``; the reference under which a Label Studio with that folder finds it."""
    source = clip.frames[index]
    name = _local_name(reference)
    if name is None:
        losses.add(_FETCHED, f"{clip.name}/{frame_names(clip)[index]}")
        name = f"{_OWN}/{clip.name}/{frame_names(clip)[index]}{source.suffix.lower()}"
        reference = f"{_LOCAL}?d={quote(name)}"
    target = out / "media" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError as error:
        if source.is_file():
            raise
        raise BadMedia(f"{source} vanished while it was copied; run the export again") from error
    return reference


def _local_name(reference: str) -> str | None:
    """The path below the document root of a local file's reference; None for any other."""
    parts = urlsplit(reference)
    if parts.scheme or not parts.path.endswith(_LOCAL):
        return None
    name = PurePosixPath(parse_qs(parts.query).get("d", [""])[0])
    outside = name.is_absolute() or ".." in name.parts or not name.name
    return None if outside else name.as_posix()
