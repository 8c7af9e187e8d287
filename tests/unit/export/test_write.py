"""An export is there as a whole or not at all, and never takes the place of what it did not make."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from backends.core.errors import BadInput, SetupFault
from pipelines.export import write
from pipelines.export.project import ProjectWork
from pipelines.export.write import RECORD, export
from pipelines.progress import Track, quiet
from tests.export_house import DISC, LEFT, clip, project


@pytest.fixture
def work(tmp_path: Path) -> ProjectWork:
    return project(clip(tmp_path / "frames", [("object 1", 0, DISC)]))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "below" / "out"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """The format ``davis`` writes one file, then fails."""

    def half(work: ProjectWork, folder: Path, *, progress: Track = quiet) -> tuple[str, ...]:
        (folder / "half").write_text("x")
        raise error

    monkeypatch.setitem(write.FORMATS, "davis", half)  # type: ignore[arg-type]


def test_the_record_says_what_the_folder_is(work: ProjectWork, out: Path) -> None:
    exported = export(work, "davis", out)
    told = json.loads((out / RECORD).read_text())
    assert (told["project"], told["format"], told["kind"]) == (3, "davis", "video_object")
    assert told["labels"] == {"1": "object 1", "2": "Hündin", "3": "dog: red #2"}
    assert told["clips"][work.clips[0].name]["frames"] == ["00000", "00001", "00002"]
    assert told["lost"] == list(exported.lost) and (exported.clips, exported.frames) == (1, 3)
    assert set(told["files"]) == set(everything(out)) - {RECORD}
    assert [path.name for path in out.parent.iterdir()] == ["out"], "nothing hidden is left"


def test_a_later_export_takes_the_place_of_an_earlier_one(
    work: ProjectWork, out: Path, tmp_path: Path
) -> None:
    export(work, "davis", out)
    before = everything(out)
    later = project(clip(tmp_path / "later", [("object 1", 0, LEFT)], name="other-000"))
    export(later, "davis", out)
    assert not any("bus-" in name for name in everything(out))
    export(work, "davis", out)
    assert everything(out) == before


@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            SetupFault,
            "the disk is full; nothing was written",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "x"), SetupFault, "cannot be written"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (BadInput("no"), BadInput, "no"),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_what_ends_an_export_leaves_nothing_half(
    error: BaseException,
    raised: type[BaseException],
    says: str | None,
    there: bool,
    work: ProjectWork,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if there:
        export(work, "davis", out)
    before = everything(out.parent)
    failing(monkeypatch, error)
    with pytest.raises(raised, match=says):
        export(work, "davis", out)
    assert everything(out.parent) == before and out.exists() == there


def test_a_folder_of_others_is_left_alone(work: ProjectWork, out: Path) -> None:
    out.mkdir(parents=True)
    export(work, "davis", out)  # empty: nobody's
    (out / "mine.txt").write_text("x")
    with pytest.raises(BadInput, match=r"holds mine\.txt, which no export put there"):
        export(work, "davis", out)
    (out / "mine.txt").unlink()
    with pytest.raises(BadInput, match="holds project 3 as davis"):
        export(work, "coco", out)
    (out / RECORD).unlink()
    with pytest.raises(BadInput, match="holds other files"):
        export(work, "davis", out)
    assert (out / "objects.json").is_file()


def test_a_file_in_the_way_is_refused(work: ProjectWork, out: Path) -> None:
    out.parent.mkdir()
    out.write_text("x")
    with pytest.raises(BadInput, match="is a file"):
        export(work, "davis", out)


def test_a_folder_filled_meanwhile_is_left_alone(
    work: ProjectWork, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    davis = write.FORMATS["davis"]

    def beside(*args: Any, **kwargs: Any) -> tuple[str, ...]:
        out.mkdir(parents=True)
        (out / "mine.txt").write_text("x")
        return davis(*args, **kwargs)

    monkeypatch.setitem(write.FORMATS, "davis", beside)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"mine\.txt"):
        export(work, "davis", out)
    assert everything(out.parent) == {"out/mine.txt": b"x"}


def test_what_a_killed_run_left_goes_away_in_time(work: ProjectWork, out: Path) -> None:
    old, fresh = out.parent / ".out.part-00000000", out.parent / ".out.part-11111111"
    for left in (old, fresh):
        left.mkdir(parents=True)
    os.utime(old, (time.time() - 86400,) * 2)
    export(work, "davis", out)
    assert not old.exists() and fresh.exists(), "the fresh one may be another process at work"


def test_an_unknown_format_and_a_project_without_work_are_refused(work: ProjectWork, out: Path) -> None:
    with pytest.raises(BadInput, match="no format 'kitti'; there are davis, youtube-vos, coco"):
        export(work, "kitti", out)
    with pytest.raises(BadInput, match="nothing to export"):
        export(project(), "davis", out)
    assert not out.parent.exists()
