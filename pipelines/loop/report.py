"""``report.json``: what a project's console page shows of its saved work and of its training runs.

Figures come from :mod:`pipelines.loop.savings`, what was decided from the runs' folders. Everything in it is
bounded: the last clips, the last runs, thinned curves; how much was left out is said.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from backends.core.errors import MaskLoopError
from backends.loop.files import write_json
from backends.loop.folder import ProjectFolder
from backends.settings import Settings
from pipelines.export.project import ProjectWork, work_of
from pipelines.loop.report_runs import runs_told
from pipelines.loop.savings import (
    BANDS,
    BY_HAND,
    IDLE_FACTOR,
    UNRECORDED,
    ClipFigures,
    VersionFigures,
    by_version,
    clip_figures,
    without_idle,
)
from pipelines.progress import Track, quiet

FORMAT = 1
CLIPS_SHOWN = 600
"""Clips that are told one by one, the last ones; the figures of versions count all."""


def build_report(work: ProjectWork, runs: Sequence[dict[str, Any]], *, now: float) -> dict[str, Any]:
    """The report as JSON values; ``now`` in seconds since the epoch."""
    found = filter(None, map(clip_figures, work.clips))
    clips = sorted(found, key=lambda clip: (clip.saved_at, clip.task_id))
    counted = without_idle(clips)
    shown = counted[-CLIPS_SHOWN:]
    versions = by_version(clips)
    return {
        "format": FORMAT,
        "made_at": now,
        "project": {
            "id": work.project_id,
            "title": work.title,
            "kind": work.kind,
            "unit": "photo" if work.kind == "weak_shot" else "clip",
            "labels": list(work.labels),
            "tasks": work.tasks,
            "untouched": work.untouched,
        },
        "counts": _counts(clips),
        "idle": {
            "factor": IDLE_FACTOR,
            "clips": sum(clip.was_idle for clip in counted),
            "untimed": sum(clip.lead_time_s is None for clip in clips),
        },
        "bands": list(BANDS),
        "versions": [_version(figures) for figures in versions],
        "clips": [_clip(clip) for clip in shown],
        "clips_left_out": len(counted) - len(shown),
        "runs": list(runs),
        "notes": list(work.notes),
    }


def _counts(clips: Sequence[ClipFigures]) -> dict[str, int]:
    return {
        "clips": len(clips),
        "frames": sum(clip.n_frames for clip in clips),
        "masks": sum(clip.masks for clip in clips),
        "accepted": sum(clip.accepted for clip in clips),
        "corrected": sum(clip.corrected for clip in clips),
        "painted": sum(clip.painted for clip in clips),
        "removed": sum(clip.removed for clip in clips),
    }


def _version(figures: VersionFigures) -> dict[str, Any]:
    kind = {BY_HAND: "by_hand", UNRECORDED: "unrecorded"}.get(figures.version, "version")
    return {
        **_rounded(asdict(figures)),
        "kind": kind,
        "proposals": figures.proposals,
        "accepted_share": _short(figures.accepted_share),
    }


def _clip(clip: ClipFigures) -> dict[str, Any]:
    ious = [value for _, value in clip.ious]
    proposals = clip.accepted + clip.corrected + clip.removed
    return {
        "name": clip.name,
        "task_id": clip.task_id,
        "at": clip.saved_at,
        "version": clip.version,
        "frames": clip.n_frames,
        "accepted": clip.accepted,
        "corrected": clip.corrected,
        "painted": clip.painted,
        "removed": clip.removed,
        "proposals": proposals,
        "touched_frames": clip.touched_frames,
        "accepted_share": _short(clip.accepted / proposals if proposals else None),
        "iou": _short(sum(ious) / len(ious) if ious else None),
        "lead_time_s": _short(clip.lead_time_s),
        "seconds_per_frame": _short(None if clip.counted_s is None else clip.counted_s / clip.n_frames),
        "was_idle": clip.was_idle,
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(inner) for inner in value]
    return _short(value) if isinstance(value, float) else value


def _short(value: float | None) -> float | None:
    """Six digits are enough, and a time stamp keeps its seconds."""
    return None if value is None else float(f"{value:.6g}") if abs(value) < 1e6 else round(value, 1)


def make_report(project_id: int, settings: Settings, *, progress: Track = quiet) -> dict[str, Any]:
    """Read the project's work and its runs, write ``report.json``, return what is in it.

    Raises what ``work_of`` does: LabelStudioDown, TokenRefused, BadLabelConfig, BadInput for no such project.
    """
    return write_report(work_of(project_id, settings, progress=progress), settings)


def write_report(work: ProjectWork, settings: Settings) -> dict[str, Any]:
    """The same of work that is read already, such as at the end of a cycle."""
    folder = ProjectFolder(settings.data_dir, work.project_id)
    report = build_report(work, runs_told(folder), now=time.time())
    write_json(folder.report_path, report)
    return report


def refresh(project_id: int, settings: Settings) -> str:
    """The report anew behind a training run, which must not fail for it; why there is none, else empty."""
    try:
        make_report(project_id, settings)
    except (MaskLoopError, OSError) as error:
        return f"the report of project {project_id} was not made: {error}; press Refresh on its page"
    return ""


def table(report: Mapping[str, Any]) -> str:
    """A line per version for people at a terminal."""
    unit = report["project"]["unit"]
    head = (unit + "s", "frames", "proposals", "as proposed", "mean IoU", "s/frame", "corrected")
    lines = [f"{'version':<24}  " + "  ".join(f"{name:>11}" for name in head)]
    for version in report["versions"]:
        name = {"by_hand": "by hand", "unrecorded": "not recorded"}.get(version["kind"], version["version"])
        cells = (
            str(version["clips"]),
            str(version["frames"]),
            str(version["proposals"]),
            "" if version["accepted_share"] is None else f"{100 * version['accepted_share']:.0f} %",
            _cell((version["iou"] or {}).get("mean"), 2),
            _cell(version["seconds_per_frame"], 1),
            _cell((version["corrections"] or {}).get("mean"), 1),
        )
        lines.append(f"{name:<24}  " + "  ".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)


def told(report: Mapping[str, Any]) -> str:
    """What there is, in one sentence."""
    counts, idle = report["counts"], report["idle"]["clips"]
    if not counts["clips"]:
        return "nothing was submitted yet"
    many = report["project"]["unit"] + ("" if counts["clips"] == 1 else "s")
    cut = f"; idle time was cut on {idle}" if idle else ""
    return (
        f"{counts['clips']} {many}, {counts['frames']} frames, {counts['masks']} masks: {counts['accepted']} "
        f"left as proposed, {counts['corrected']} changed, {counts['painted']} by hand{cut}"
    )


def _cell(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
