"""What the page of one project shows, put together from its folder, the registry, the ledger and the report.

Label Studio is asked behind the answer and remembered, so the page never waits for it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput, MaskLoopError, SetupFault
from backends.ledger import JobRow, Ledger
from backends.loop.folder import Cycle, ProjectFolder
from backends.loop.policy import Policy
from backends.notices import KEPT, Notices
from backends.pointers import pointer
from backends.policy_form import form, in_words
from backends.project_abouts import About, ProjectAbouts
from backends.registry import Registry
from backends.served_versions import KINDS
from backends.shown_names import PROJECT_JOBS

FORMAT = 1
"""Of report.json."""

_MOST_BYTES = 32 * 2**20  # of a report: the figures of many thousand clips are below 5 MB
_PICTURE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,150}\.(?:jpg|png)")
_SAVED = {"ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED"}


@dataclass(frozen=True)
class ProjectPages:
    """The console's ProjectBoard."""

    data_dir: Path
    registry: Registry
    ledger: Ledger
    notices: Notices
    abouts: ProjectAbouts
    public_url: str
    enqueue_report: Callable[[int], JobRow]
    _reports: dict[int, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    """Project -> when its report was written and what it says."""

    def state(self, project_id: int) -> dict[str, Any]:
        """All that may change while somebody looks, as JSON values."""
        folder = ProjectFolder(self.data_dir, project_id)
        report, trouble = self._report(folder)
        about = self.abouts.known(project_id)
        told: Mapping[str, Any] = report.get("project", {})
        kind = about.kind or str(told.get("kind") or "") or next((c.algorithm for c in folder.cycles()), "")
        return {
            "project": {
                "id": project_id,
                "title": about.title or str(told.get("title") or ""),
                "kind": kind,
                "kind_words": KINDS.get(kind, ""),
                "url": f"{self.public_url.rstrip('/')}/projects/{project_id}/data",
            },
            "report": {
                "made_at": report.get("made_at"),
                "error": trouble,
                "is_old": bool(report) and self._is_old(folder, float(report["made_at"])),
            },
            "served": self._served(folder, kind, about),
            "waiting": _waiting(folder.waiting()),
            "jobs": self._jobs(project_id),
            "policy": _policy(folder),
        }

    def report(self, project_id: int) -> dict[str, Any]:
        """The last report. Raises BadInput where there is none, or none that can be read."""
        report, trouble = self._report(ProjectFolder(self.data_dir, project_id))
        if not report:
            raise BadInput(trouble or f"project {project_id} has no report yet; press Refresh")
        return report

    def example(self, project_id: int, run: str, name: str) -> Path:
        """A picture of a run. Raises BadInput for a name that is none, or leads elsewhere."""
        folder = (ProjectFolder(self.data_dir, project_id).run(run) / "shown").resolve()
        path = (folder / name).resolve()
        if not _PICTURE.fullmatch(name) or path.parent != folder or not path.is_file():
            raise BadInput(f"run {run!r} of project {project_id} has no picture {name!r}")
        return path

    def refresh(self, project_id: int) -> str:
        """Have the report made anew."""
        row = self.enqueue_report(project_id)
        return (
            "Making the report; it appears here when it is done."
            if row.done == 0
            else "It is being made already."
        )

    def _report(self, folder: ProjectFolder) -> tuple[dict[str, Any], str]:
        """The report and why there is none; neither where none was made."""
        path = folder.report_path
        try:
            stamp = path.stat().st_mtime_ns
        except OSError:
            return {}, ""
        kept = self._reports.get(folder.project_id)
        if kept is not None and kept[0] == stamp:
            return kept[1], ""
        try:
            report = _read(path)
        except BadInput as error:
            return {}, str(error)
        self._reports[folder.project_id] = (stamp, report)
        return report, ""

    def _is_old(self, folder: ProjectFolder, made_at: float) -> bool:
        """Something was saved, or a run ended, since it was made."""
        saved = any(
            event.project_id == folder.project_id and event.action in _SAVED and event.at > made_at
            for event in self.notices.events(KEPT)
        )
        return saved or any(cycle.ended_at > made_at for cycle in folder.cycles()[:1])

    def _served(self, folder: ProjectFolder, kind: str, about: About) -> dict[str, Any]:
        nothing = {"version": "", "since": None, "is_shipped": False, "words": "", "before": "", "error": ""}
        if not kind:
            return {**nothing, "error": about.error or "Asking Label Studio what kind of project this is…"}
        try:
            served = self.registry.served(kind, folder.project_id)
        except (SetupFault, BadInput) as error:
            return {**nothing, "error": str(error)}
        models, number = self.registry.models_dir / kind, folder.project_id
        own, common = pointer(models, number), pointer(models)
        asked = own if own.read() else common
        return {
            "version": served.version,
            "since": asked.path.stat().st_mtime if asked.path.is_file() else None,
            "is_shipped": not served.weights.is_relative_to(self.registry.models_dir),
            "words": _origin(folder, served.version, is_own=asked is own),
            "before": self._before(kind, own.read()),
            "error": "",
        }

    def _before(self, kind: str, named: list[str]) -> str:
        """What a roll back of the project would serve, by its own pointer's lines; empty: there is none."""
        for name in named[1:]:
            with suppress(MaskLoopError):
                return self.registry.find(kind, name).version
        with suppress(MaskLoopError):
            return self.registry.served(kind).version if named else ""
        return ""

    def _jobs(self, project_id: int) -> list[dict[str, Any]]:
        """Those under way, and the last of each kind where it failed."""
        found = []
        for kind in PROJECT_JOBS:
            rows = self.ledger.project_jobs(kind, project_id, limit=3)
            found += [row for row in rows if not row.is_over or (row is rows[0] and row.state == "failed")]
        return [_job(row) for row in sorted(found, key=lambda row: row.created_at)]


def _read(path: Path) -> dict[str, Any]:
    """Raises BadInput, saying what is wrong with it and what helps."""
    helps = "press Refresh to make it anew"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise BadInput(
                f"{path} has more than {_MOST_BYTES >> 20} MB, so it is no report of ours; {helps}"
            )
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"the report {path} cannot be read ({error}); {helps}") from error
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        came = report.get("format") if isinstance(report, dict) else type(report).__name__
        raise BadInput(f"the report {path} is of format {came!r}, this release reads {FORMAT}; {helps}")
    if not isinstance(report.get("made_at"), (int, float)) or not isinstance(report.get("versions"), list):
        raise BadInput(f"the report {path} lacks its time or its versions; {helps}")
    return report


def _origin(folder: ProjectFolder, version: str, *, is_own: bool) -> str:
    """Where the version came from and to whom it answers."""
    run = next((cycle.name for cycle in folder.cycles() if cycle.candidate == version), "")
    came = f"It was made of this project's work, in run {run}. " if run else ""
    return came + (
        "It answers in this project only."
        if is_own
        else "It answers in every project without a version of its own."
    )


def _waiting(cycle: Cycle | None) -> dict[str, Any] | None:
    if cycle is None:
        return None
    return {
        "run": cycle.name,
        "candidate": cycle.candidate,
        "served": cycle.served,
        "ended_at": cycle.ended_at,
        "reasons": list(cycle.reasons),
        "against": list(cycle.against),
    }


def _policy(folder: ProjectFolder) -> dict[str, Any]:
    try:
        policy = folder.policy()
    except BadInput as error:
        return {"fields": form(Policy()), "error": f"{error}. Save writes a new one.", "words": ""}
    return {"fields": form(policy), "error": "", "words": in_words(policy)}


def _job(row: JobRow) -> dict[str, Any]:
    now = time.time()
    return {
        "id": row.id,
        "what": PROJECT_JOBS[row.kind],
        "state": row.state,
        "stage": row.stage,
        "done": row.done,
        "total": row.total,
        "took_s": None if row.started_at is None else max(0.0, (row.finished_at or now) - row.started_at),
        "error": row.error,
        "can_cancel": row.state in ("queued", "running"),
        "can_retry": row.state in ("failed", "cancelled"),
    }
