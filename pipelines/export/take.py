"""``take_snapshot``: what people submitted in a project, of any kind, frozen for training."""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from PIL import Image as Pillow

from backends.core.errors import BadMedia, SetupFault
from backends.core.images import MAX_PIXELS, open_image
from backends.labelstudio.label_config import LabelConfig
from backends.loop.folder import ProjectFolder
from backends.settings import Settings
from pipelines.export.layouts import Layout, Objects, WholeScenes
from pipelines.export.manifest import about_clip, about_split, agreement
from pipelines.export.project import LabelledClip, ProjectWork, kind_of, read_project_work
from pipelines.export.snapshot import Snapshot, SnapshotWriter
from pipelines.export.sources import Sources, opened
from pipelines.export.split import Frozen, freeze
from pipelines.export.tasks import Say, TooLittle, nothing_to_train_on, tell_notes, unsubmitted
from pipelines.media.palette import index_png
from pipelines.progress import Track, quiet

_FIRST_STEPS = "import clips (maskloop project), label some and submit them"
_AS_THEY_ARE = frozenset({".jpg", ".jpeg", ".png", ".webp"})  # what every reader of frames knows
_TOLD_OF_TASK = ("clip", "source", "start", "fps")
_HELD_OUT = (
    "all clips of a video go the same way; about one video in four is held out, at least one of two, and "
    "what was decided stays; nothing is in it that a person did not submit"
)


def take_snapshot(
    project_id: int, settings: Settings, *, progress: Track = quiet, say: Say = print
) -> Snapshot:
    """Read the project and freeze it below ``<data_dir>/snapshots``; the same work gives the same snapshot.

    ``say`` gets what was left out and the counts. Raises TooLittle with counts for a project with nothing to
    train on, BadLabelConfig, BadInput for an unknown project and for a snapshot of the same content that was
    edited, Unavailable while Label Studio is away, SetupFault for a disk that is full.
    """
    home = settings.data_dir / "snapshots"
    held_out = ProjectFolder(settings.data_dir, project_id).held_out_path
    try:
        with opened(settings) as sources:
            config = LabelConfig.parse(str(sources.client.project(project_id).get("label_config") or ""))
            if kind_of(config) == "weak_shot":
                return _of_photos(project_id, settings, progress, say)
            work = _read(sources, project_id, progress)
            tell_notes([*work.notes, unsubmitted(sources.client, project_id)], say)
        snapshot = write_snapshot(
            work, home, held_out, max_pixels=settings.max_image_pixels, progress=progress
        )
    except OSError as error:
        raise SetupFault(
            f"{home}: cannot be written ({error}); free some space or mend its rights"
        ) from error
    tell_notes(snapshot.manifest["notes"][len(work.notes) :], say)
    say(_counts(snapshot))
    say(f"snapshot: {snapshot.folder}")
    return snapshot


def write_snapshot(
    work: ProjectWork,
    home: Path,
    held_out_path: Path,
    *,
    max_pixels: int = MAX_PIXELS,
    progress: Track = quiet,
) -> Snapshot:
    """The clips of ``work``, a project of videos, in a folder below ``home`` that is named by its content.

    ``held_out_path`` is the project's list of held-out videos; new videos are entered there. A clip with a
    frame that cannot be decoded is left out and told. Raises TooLittle when no clip is left, and BadInput for
    a snapshot of the same content that was edited, OSError for a full disk.
    """
    layout: Layout = (Objects if work.kind == "video_object" else WholeScenes)(work.labels)
    notes, told, written = list(work.notes), [], []
    with SnapshotWriter(home) as writer:
        for clip in progress(work.clips, total=len(work.clips), label="writing the snapshot"):
            if layout.labelled(clip):
                if why := _unreadable(clip, layout.kept(clip), max_pixels):
                    notes.append(f"task {clip.work.task_id}: {why}")
                    continue
                _put(writer, clip, layout, max_pixels)
                written.append(clip)
                notes += [f"clip {clip.name}: {sentence}" for sentence in layout.remarks(clip)]
            writer.put_json(f"annotations/{clip.name}.json", list(clip.work.raw))
            told.append(clip)
        if not written:
            raise _nothing_learnt(work, len(told), notes)
        frozen = freeze(held_out_path, {clip.video for clip in written})
        held_out = [clip.name for clip in written if frozen.split(clip.video) == "held_out"]
        notes += _remarks(written, held_out)
        writer.put_json(*layout.index(written, held_out))
        return writer.finish(
            {
                "kind": work.kind,
                "project": work.project_id,
                "labels": list(work.labels),
                **about_split({clip.name: _about(clip, layout, frozen) for clip in told}, held_out),
                "policy": {**layout.policy, "held_out": _HELD_OUT},
                "notes": notes,
            }
        )


def _of_photos(project_id: int, settings: Settings, progress: Track, say: Say) -> Snapshot:
    """Photos with tags are decided on and written in their own room."""
    from pipelines.weak_shot_project import run  # stands on the training, and that on torch

    return run.take_snapshot(project_id, settings, run.Wishes(), progress=progress, say=say)


def _read(sources: Sources, project_id: int, progress: Track) -> ProjectWork:
    work = read_project_work(
        sources.client,
        project_id,
        sources.files,
        machine=sources.machine,
        proposals=sources.proposals,
        max_pixels=sources.max_pixels,
        progress=progress,
    )
    if not work.clips:
        raise nothing_to_train_on(project_id, work.tasks, work.untouched, work.notes, _FIRST_STEPS)
    return work


def _unreadable(clip: LabelledClip, frames: Sequence[int], max_pixels: int) -> str:
    """Why the clip's pictures cannot be trained on; empty when they can. Names no folder."""
    for index in frames:
        path = clip.frames[index]
        try:
            shown_hw = open_image(path, max_pixels=max_pixels).shape[:2]
        except BadMedia as error:
            return f"frame {index} of {len(clip.frames)}: {str(error).replace(str(path), path.name)}"
        if shown_hw != clip.size_hw:
            return f"frame {index} of {len(clip.frames)}: {path.name} changed while the project was read"
    return ""


def _put(writer: SnapshotWriter, clip: LabelledClip, layout: Layout, max_pixels: int) -> None:
    pictures, maps = layout.folders()
    for index in layout.kept(clip):
        path = clip.frames[index]
        suffix, name = path.suffix.lower(), f"{pictures}/{clip.name}/{index:05d}"
        if suffix in _AS_THEY_ARE:
            writer.copy(f"{name}{suffix}", path)
        else:
            writer.put(f"{name}.png", _png(path, max_pixels))
    for index in layout.labelled(clip):
        writer.put(f"{maps}/{clip.name}/{index:05d}.png", index_png(layout.label_map(clip, index)))


def _png(path: Path, max_pixels: int) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(open_image(path, max_pixels=max_pixels)).save(buffer, format="PNG")
    return buffer.getvalue()


def _about(clip: LabelledClip, layout: Layout, frozen: Frozen) -> dict[str, Any]:
    return {
        **about_clip(clip.work, clip.video, frozen.split(clip.video)),
        "frames": list(clip.names),
        "labelled_frames": list(layout.labelled(clip)),
        "agreement": agreement(clip.work, by_frame=True),
        "data": {key: clip.data[key] for key in _TOLD_OF_TASK if _is_plain(clip.data.get(key))},
    }


def _is_plain(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int | float) and isfinite(value))


def _remarks(written: Sequence[LabelledClip], held_out: Sequence[str]) -> list[str]:
    """What the split means for what comes after."""
    if not held_out:
        return [
            f"none of {len(written)} clips is held out, so no new version can be judged: label a new video"
        ]
    if len(held_out) == len(written):
        return [f"all {len(written)} clips are of held-out videos, so there is nothing to learn from"]
    return []


def _nothing_learnt(work: ProjectWork, accepted: int, notes: Sequence[str]) -> TooLittle:
    first = f" (the first note: {notes[0]})" if notes else ""
    return TooLittle(
        f"project {work.project_id} has nothing to train on: of {len(work.clips)} clips that were submitted "
        f"{accepted} have no frame with masks that can be used and that a person painted or changed, and "
        f"{len(work.clips) - accepted} have frames that cannot be read{first}"
    )


def _counts(snapshot: Snapshot) -> str:
    clips = snapshot.manifest["clips"].values()
    parts = []
    for split, words in (("train", "to learn from"), ("held_out", "held out")):
        mine = [told for told in clips if told["split"] == split and told["labelled_frames"]]
        frames = sum(len(told["labelled_frames"]) for told in mine)
        videos = len({told["video"] for told in mine})
        parts.append(f"{len(mine)} clips of {videos} videos with {frames} labelled frames {words}")
    return "; ".join(parts)
