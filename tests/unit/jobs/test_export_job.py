"""The job behind the console's Export: a file at the end, and nothing half after a cancel or a failure."""

from __future__ import annotations

import errno
import json
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backends.core.errors import LabelStudioDown
from backends.export_shelf import KEPT, home
from backends.ledger import JobRow, Ledger
from backends.queues import EXPORT, ExportRequest
from backends.queues.tickets import MAINTENANCE, queue_of, run_ticket
from backends.settings import Settings
from pipelines.export import packed
from pipelines.export.export_job import make
from pipelines.export.packed import pack_project
from pipelines.export.project import ProjectWork
from pipelines.jobs import functions
from pipelines.progress import Track, quiet
from pipelines.working.collaborators import Collaborators
from tests.export_house import DISC, clip, project


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "ledger.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation whose Label Studio holds one clip."""
    work = project(clip(tmp_path / "frames", [("object 1", 0, DISC)]))

    def read(project_id: int, settings: Settings, *, progress: Track = quiet) -> ProjectWork:
        list(progress(range(3), total=3, label="reading the project"))
        return work

    monkeypatch.setattr(packed, "work_of", read)
    return Settings(data_dir=tmp_path)


def collaborators(ledger: Ledger, settings: Settings) -> Collaborators:
    def nothing(*_: object) -> Any:
        raise AssertionError("an export needs no model")

    def export(project_id: int, format_name: str, progress: Track) -> str:
        return pack_project(project_id, format_name, settings, progress=progress)[1]

    return Collaborators(
        ledger, "w", segmenter=nothing, clip=nothing, sink=nothing, warm=nothing, export=export
    )


def run(ledger: Ledger, settings: Settings, format_name: str = "coco") -> JobRow:
    row = ledger.want_alone(ExportRequest(3, format_name).wanted())
    make(collaborators(ledger, settings), row.id, row.generation)
    return ledger.job(row.id)


def shelf(settings: Settings) -> list[Path]:
    return sorted(home(settings.data_dir).iterdir())


def test_it_ends_with_a_file_to_fetch(ledger: Ledger, settings: Settings) -> None:
    row = run(ledger, settings)
    assert (row.state, row.done) == ("done", row.total)
    assert row.stage.startswith("coco: tasks 1, frames 3, remarks 1")
    [file] = shelf(settings)
    with zipfile.ZipFile(file) as opened:
        assert opened.testzip() is None
        names = {Path(name).relative_to(file.stem).as_posix() for name in opened.namelist()}
        record = json.loads(opened.read(f"{file.stem}/maskloop.json"))
    assert names == {*record["files"], "maskloop.json"} and record["format"] == "coco"


def test_it_is_maintenance_and_a_worker_may_run_it(ledger: Ledger, settings: Settings) -> None:
    ticket = run_ticket(ledger.want_alone(ExportRequest(3, "voc").wanted()))
    assert (ticket.queue, queue_of(EXPORT)) == (MAINTENANCE, MAINTENANCE)
    assert ticket.function in functions(collaborators(ledger, settings))


@pytest.mark.parametrize("label", ["reading the project", "davis", "packing"])
def test_cancelled_at_any_stage_it_leaves_nothing(label: str, ledger: Ledger, settings: Settings) -> None:
    row = ledger.want_alone(ExportRequest(3, "davis").wanted())
    work = collaborators(ledger, settings)
    whole = work.export

    def cancelled(project_id: int, format_name: str, progress: Track) -> str:
        def watched(items: Any, *, total: int | None, label: str) -> Iterator[Any]:
            if label == wanted_label:
                ledger.request_cancel(row.id)
            return progress(items, total=total, label=label)

        return whole(project_id, format_name, watched)

    wanted_label = label
    work.export = cancelled
    make(work, row.id, row.generation)
    assert ledger.job(row.id).state == "cancelled"
    assert not home(settings.data_dir).exists() or not shelf(settings)


def test_a_worker_that_stops_gives_it_back(ledger: Ledger, settings: Settings) -> None:
    row = ledger.want_alone(ExportRequest(3, "davis").wanted())
    work = collaborators(ledger, settings)
    work.stopping = lambda: True
    make(work, row.id, row.generation)
    assert ledger.job(row.id).state == "queued" and not shelf(settings)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (LabelStudioDown("Label Studio does not answer"), "Label Studio does not answer"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (ValueError("odd"), "unexpected ValueError: odd"),
    ],
)
def test_a_failure_is_told_in_words(
    error: Exception, says: str, ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(packed, "_pack", fail)
    row = run(ledger, settings)
    assert row.state == "failed" and says in row.error
    assert not shelf(settings)


def test_only_the_newest_files_of_a_project_stay(
    ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = home(settings.data_dir) / "project-4-coco-20200101-000000.zip"
    other.parent.mkdir()
    other.write_bytes(b"PK")
    for second in range(KEPT + 2):
        name = f"project-3-coco-20260101-00000{second}.zip"
        monkeypatch.setattr(packed, "new_name", partial(_named, name))
        assert run(ledger, settings).state == "done"
    names = [path.name for path in shelf(settings)]
    assert names == [*(f"project-3-coco-20260101-00000{i}.zip" for i in range(2, KEPT + 2)), other.name]


def _named(name: str, project_id: int, format_name: str) -> str:
    return name
