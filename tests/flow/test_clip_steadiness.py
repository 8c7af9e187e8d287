"""How steady a labelled clip is: from frames and the ledger's masks, in bounded time, trouble in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from backends.core.errors import BadMedia
from backends.core.frames import FolderFrames
from backends.core.types import Clip, FrameMasks
from backends.ledger import ClipFigures, JobRow, Ledger
from backends.queues import ClipRequest
from backends.video_semantic.consistency import IGNORE, Consistency
from pipelines.clip_figures import PIXELS, compared_hw, measure
from pipelines.working.collaborators import Collaborators
from tests.unit.video_semantic.footage import CAR, ROAD, SIZE, SKY, picture

NUMBERS = {"sky": SKY, "road": ROAD, "car": CAR}
VERSION = "video_semantic-00000000"


def _unused(*asked: object) -> Any:
    raise AssertionError(f"measuring asks for frames and masks only, not for {asked}")


@dataclass
class Drive:
    """A done clip job over drawn frames; each test spoils what it is about before it measures."""

    folder: Path
    frames: int = 6
    size_hw: tuple[int, int] = SIZE
    labels: dict[int, np.ndarray] = field(default_factory=dict)
    stops: bool = False

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.folder / "ledger.sqlite3")
        for index in range(self.frames):
            rgb, ids = picture(8 + 3 * index)
            self.draw(index, rgb)
            self.labels[index] = ids

    def path(self, index: int) -> Path:
        return self.folder / f"{index:05d}.png"

    def draw(self, index: int, rgb: np.ndarray) -> None:
        cv2.imwrite(str(self.path(index)), rgb[..., ::-1])

    def clip(self, row: JobRow) -> Clip:
        paths = [self.path(index) for index in range(row.total)]
        if not paths[0].is_file():
            raise BadMedia("frame 0 of 6: the clip folder is gone from the media folder")
        return Clip("drive", FolderFrames(paths, size_hw=row.size_hw), row.size_hw, tuple(map(str, paths)))

    def finished(self) -> str:
        refs = tuple(f"/data/local-files/?d=drive/{index:05d}.png" for index in range(self.frames))
        request = ClipRequest(3, 9, refs, self.size_hw, dict.fromkeys(NUMBERS, ()), VERSION)
        row = self.ledger.want_job(request.wanted())
        assert self.ledger.start(row.id, row.generation, "w") is not None
        for index in range(self.frames):
            masks = {name: self.labels[index] == number for name, number in NUMBERS.items()}
            self.ledger.put_frame(row.id, row.generation, FrameMasks(index, masks, {}))
        self.ledger.finish(row.id, row.generation, 0.1)
        return row.id

    def measured(self) -> ClipFigures | None:
        job = self.finished()
        self.measure(job)
        return self.ledger.clip_figures(job)

    def measure(self, job: str) -> None:
        nobody = Collaborators(
            ledger=self.ledger,
            worker="w",
            segmenter=_unused,
            clip=self.clip,
            sink=_unused,
            warm=_unused,
            stopping=lambda: self.stops,
        )
        measure(nobody, job)


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    return Drive(tmp_path)


def by_hand(drive: Drive) -> Consistency:
    """The same by the measure itself; void counts as a label that is left out of the mean."""
    numbers = np.full(256, len(NUMBERS), np.uint8)
    for position, number in enumerate(NUMBERS.values()):
        numbers[number] = position
    steady = Consistency(len(NUMBERS) + 1)
    for index in range(drive.frames - 1):
        one, other = (numbers[drive.labels[i]] for i in (index, index + 1))
        steady.add(picture(8 + 3 * index)[0], picture(11 + 3 * index)[0], one, other)
    return steady


def test_the_figures_are_those_of_the_measure_and_a_flickering_frame_stands_out(drive: Drive) -> None:
    drive.labels[3] = np.where(drive.labels[3] == CAR, ROAD, drive.labels[3])  # the car is gone for a frame
    figures = drive.measured()
    steady = by_hand(drive)
    assert figures is not None and not figures.trouble and not figures.unread
    assert [pair.bond for pair in figures.pairs] == ["measured"] * 5
    for position, name in enumerate(NUMBERS):
        assert figures.every[name] == pytest.approx(steady.per_class[position], abs=1e-4)
        assert figures.seen[name] == pytest.approx(steady.per_class_occ[position], abs=1e-4)
    cars = [pair.seen["car"] for pair in figures.pairs]
    assert max(cars[2], cars[3]) == 0.0 and min(cars[0], cars[1], cars[4]) > 0.7
    assert figures.mean == pytest.approx(sum(figures.seen.values()) / 3)


def test_a_label_that_flickers_to_no_label_counts_as_flicker(drive: Drive) -> None:
    drive.labels[3] = np.where(drive.labels[3] == CAR, IGNORE, drive.labels[3])
    figures = drive.measured()
    assert figures is not None and figures.pairs[2].seen["car"] == 0.0
    assert set(figures.seen) == set(NUMBERS), "no label is no class"


def test_a_change_of_scene_is_marked_and_not_taken_for_flicker(drive: Drive) -> None:
    for index in (3, 4, 5):
        rgb, ids = picture(8 + 3 * index)
        drive.draw(index, (255 - rgb)[::-1])
        drive.labels[index] = ids[::-1].copy()
    figures = drive.measured()
    assert figures is not None
    assert [pair.bond for pair in figures.pairs] == ["measured", "measured", "cut", "measured", "measured"]
    assert figures.pairs[2].every == {} and figures.mean is not None and figures.mean > 0.9


def test_frames_that_cannot_be_compared_are_named_and_the_others_are_compared(drive: Drive) -> None:
    drive.path(1).write_bytes(b"no picture")
    drive.draw(4, picture(30)[0][:48, :80])
    drive.labels[5] = np.full(SIZE, IGNORE, np.uint8)
    figures = drive.measured()
    assert figures is not None
    assert [pair.bond for pair in figures.pairs] == ["unread", "unread", "measured", "unread", "unread"]
    assert "not an image" in figures.unread[1] and "one size" in figures.unread[4]
    assert figures.unread[5] == "no label was given on this frame"


def test_one_frame_has_no_neighbour(tmp_path: Path) -> None:
    figures = Drive(tmp_path, frames=1).measured()
    assert figures == ClipFigures() and figures.mean is None


def test_gone_frames_are_told_and_measured_when_they_are_back(drive: Drive) -> None:
    drive.path(0).rename(drive.folder / "away.png")
    job = drive.finished()
    drive.measure(job)
    figures = drive.ledger.clip_figures(job)
    assert figures is not None and "gone from the media folder" in figures.trouble and not figures.pairs
    (drive.folder / "away.png").rename(drive.path(0))
    drive.measure(job)
    figures = drive.ledger.clip_figures(job)
    assert figures is not None and not figures.trouble and len(figures.pairs) == 5


def test_a_worker_that_is_asked_to_stop_leaves_it_for_later(drive: Drive) -> None:
    drive.stops = True
    assert drive.measured() is None


def test_a_job_that_is_no_done_clip_is_passed_by(drive: Drive) -> None:
    refs = ("/data/local-files/?d=drive/00000.png",)
    row = drive.ledger.want_job(ClipRequest(3, 8, refs, SIZE, {"car": ()}, VERSION).wanted())
    drive.measure(row.id)
    assert drive.ledger.clip_figures(row.id) is None


@pytest.mark.parametrize("size_hw", [(480, 854), (2160, 3840), (64, 96), (20, 4000)])
@pytest.mark.parametrize("frames", [1, 50, 600])
def test_what_is_compared_is_bounded_whatever_comes(size_hw: tuple[int, int], frames: int) -> None:
    height, width = compared_hw(size_hw, frames)
    assert height * width * max(frames, 50) <= 50 * PIXELS + 1
    assert height <= size_hw[0] and width <= size_hw[1]
    assert abs(width / height - size_hw[1] / size_hw[0]) < 0.2 * size_hw[1] / size_hw[0]


def test_large_frames_are_compared_on_smaller_copies(tmp_path: Path) -> None:
    drive = Drive(tmp_path, frames=2, size_hw=(1024, 1536))
    for index in range(2):
        rgb, ids = picture(8 + 3 * index)
        drive.draw(index, cv2.resize(rgb, (1536, 1024), interpolation=cv2.INTER_NEAREST))
        drive.labels[index] = cv2.resize(ids, (1536, 1024), interpolation=cv2.INTER_NEAREST)
    figures = drive.measured()
    assert figures is not None and figures.mean is not None and figures.mean > 0.8
