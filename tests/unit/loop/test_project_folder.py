"""A project's loop folder: cycles in order, answers to waiting versions, one process at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.core.errors import BadInput, Unavailable
from backends.loop.files import write_json
from backends.loop.folder import ProjectFolder


def told(folder: ProjectFolder, run: str, **more: object) -> None:
    write_json(
        folder.runs / run / "cycle.json",
        {"project": 3, "algorithm": "video_object", "snapshot": "ab", **more},
    )


def test_cycles_come_newest_first_and_odd_folders_are_passed_over(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path, 3)
    assert folder.cycles() == []
    told(folder, "0001-aa", outcome="refused", against=["worse"], reasons=["worse", "enough"])
    told(folder, "0002-bb", unknown_of_a_later_release=1)
    (folder.runs / "0003-cc").mkdir()
    (folder.runs / "0004-dd").mkdir()
    (folder.runs / "0004-dd" / "cycle.json").write_text("{")
    newest, oldest = folder.cycles()
    assert (newest.name, newest.outcome, newest.is_over) == ("0002-bb", "", False)
    assert (oldest.against, oldest.reasons, oldest.is_over) == (("worse",), ("worse", "enough"), True)


def test_a_waiting_version_is_answered_once(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path, 3)
    told(folder, "0001-aa", outcome="waiting")
    waiting = folder.waiting()
    assert waiting is not None
    assert folder.answer(waiting.name, "declined", by="ann").outcome == "declined"
    assert folder.waiting() is None
    with pytest.raises(BadInput, match="waits for nobody: it is declined"):
        folder.answer(waiting.name, "promoted")


def test_a_newer_decision_overtakes_a_waiting_version_and_an_unfinished_cycle_does_not(
    tmp_path: Path,
) -> None:
    folder = ProjectFolder(tmp_path, 3)
    told(folder, "0001-aa", outcome="waiting")
    told(folder, "0002-bb", outcome="failed")
    assert folder.waiting() is not None
    told(folder, "0003-cc", outcome="refused")
    assert folder.waiting() is None


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a\\b"])
def test_a_run_lies_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="no name of a run"):
        ProjectFolder(tmp_path, 3).run(name)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        ProjectFolder(tmp_path, 3).alone(),
        pytest.raises(Unavailable, match="project 3 is being trained"),
        ProjectFolder(tmp_path, 3).alone(),
    ):
        pass
    with ProjectFolder(tmp_path, 3).alone(), ProjectFolder(tmp_path, 4).alone():
        pass


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"a": float("nan")})
    assert path.read_text() == '{\n "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
