"""Clips that are odd, through the job that labels them, with a real network: each trouble is named, the rest
goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from backends.catalogue import ALGORITHMS
from backends.core.frames import FolderFrames
from backends.core.types import Clip, FrameMasks, Segmenter
from backends.ledger import JobRow, Ledger
from backends.queues import ClipRequest
from backends.settings import from_env
from backends.video_semantic.loaders.camvid import CLASSES
from pipelines import jobs
from pipelines.working.collaborators import Collaborators
from tests.knowing_scene import REACH, write_knowing_scene
from tests.unit.video_semantic.footage import SIZE, picture

ROOT = Path(__file__).parents[2]
VERSION = "video_semantic-00000000"
ALL = dict.fromkeys(CLASSES, ())


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("knowing") / "weights.safetensors"
    return write_knowing_scene(path, [picture(8 + 6 * index) for index in range(6)], CLASSES)


@pytest.fixture(scope="module")
def model(weights: Path) -> Segmenter:
    return ALGORITHMS["video_semantic"].load(weights, from_env({}), VERSION)


class Desk:
    """Where predictions end up; takes everything."""

    def put(self, task_id: int, frames: Sequence[FrameMasks], model_version: str) -> Sequence[str]:
        return ()


@dataclass
class Street:
    """A folder of frames and the job that labels it."""

    folder: Path
    model: Segmenter
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.folder / "ledger.sqlite3")

    def draw(self, *frames: np.ndarray) -> None:
        for number, rgb in enumerate(frames):
            cv2.imwrite(str(self.folder / f"{number:05d}.png"), rgb[..., ::-1])

    def clip(self, row: JobRow) -> Clip:
        paths = [self.folder / f"{number:05d}.png" for number in range(row.total)]
        frames = FolderFrames(paths, size_hw=row.size_hw)
        return Clip("street", frames, row.size_hw, tuple(path.stem for path in paths))

    def labelled(self, frames: int, labels: Mapping[str, Sequence[str]] = ALL) -> JobRow:
        refs = tuple(f"/data/local-files/?d=street/{number:05d}.png" for number in range(frames))
        request = ClipRequest(3, 9, refs, SIZE, {k: tuple(v) for k, v in labels.items()}, VERSION)
        row = self.ledger.want_job(request.wanted())
        work = Collaborators(
            ledger=self.ledger,
            worker="w",
            segmenter=lambda version: self.model,
            clip=self.clip,
            sink=lambda row: Desk(),
            warm=lambda: VERSION,
            tell=lambda level, text, task: self.told.append(text),
        )
        jobs.label_clip(work, row.id, row.generation)
        return self.ledger.job(row.id)

    def masks(self, row: JobRow, index: int) -> dict[str, np.ndarray]:
        """What the frame shows."""
        frame = self.ledger.frame(row.id, index)
        assert frame is not None
        return {name: mask for name, mask in frame.masks.items() if mask.any()}

    def bonds(self, row: JobRow) -> list[str]:
        figures = self.ledger.clip_figures(row.id)
        assert figures is not None
        return [pair.bond for pair in figures.pairs]


@pytest.fixture
def street(tmp_path: Path, model: Segmenter) -> Street:
    return Street(tmp_path, model)


def same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("frames", [1, REACH], ids=["one frame", "fewer frames than it looks back"])
def test_short_clips_are_labelled_and_delivered(street: Street, frames: int) -> None:
    street.draw(*(picture(8 + 3 * number)[0] for number in range(frames)))
    row = street.labelled(frames)
    assert (row.state, row.done, row.delivery, row.error) == ("done", frames, "delivered", "")
    for index in range(frames):
        masks = street.masks(row, index)
        assert {"sky", "road", "car"} <= masks.keys()
        assert (sum(mask.astype(int) for mask in masks.values()) == 1).all()
    assert street.bonds(row) == ["measured"] * (frames - 1)


def test_at_a_change_of_scene_the_past_is_forgotten(street: Street, tmp_path: Path) -> None:
    first = [picture(8 + 3 * number)[0] for number in range(3)]
    second = [255 - picture(20 + 3 * number)[0] for number in range(3)]
    street.draw(*first, *second)
    row = street.labelled(6)
    (tmp_path / "alone").mkdir()
    alone = Street(tmp_path / "alone", street.model)
    alone.draw(*second)
    only = alone.labelled(3)
    assert all(same(street.masks(row, 3 + index), alone.masks(only, index)) for index in range(3))
    assert street.bonds(row) == ["measured", "measured", "cut", "measured", "measured"]


def test_a_frame_of_another_size_is_named_and_the_others_are_labelled(street: Street) -> None:
    frames = [picture(8 + 3 * number)[0] for number in range(4)]
    street.draw(frames[0], frames[1], frames[2][:48, :80], frames[3])
    row = street.labelled(4)
    assert (row.state, row.done) == ("done", 4)
    [told] = street.told
    assert "Page 3 has no masks" in told and "80x48 pixels, but 00000.png has 96x64" in told
    assert street.masks(row, 2) == {} and street.masks(row, 3)
    assert street.bonds(row) == ["measured", "unread", "unread"]


def test_labels_and_classes_that_do_not_match_are_told_and_the_others_are_labelled(street: Street) -> None:
    street.draw(*(picture(8 + 3 * number)[0] for number in range(2)))
    labels = {"Vehicle": ["car", "lorry"], "Road": [], "unicorn": []}
    row = street.labelled(2, labels)
    assert row.state == "done" and street.masks(row, 1).keys() == {"Vehicle", "Road"}
    told = "\n".join(street.told)
    assert "'Vehicle' names 'lorry' in predicted_values, which the model does not know" in told
    assert "'unicorn' is none of the model's classes" in told
    assert "stands for 'sky', 'building'" in told, "what the model knows and the project does not"
    assert len(street.told) == 3, "said once per clip, not per frame"


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"unicorn": ["horn"]}, "no label of this project ('unicorn') stands for a class of the model"),
        ({"A": ["car"], "B": ["car"]}, "'A' and 'B' both stand for the class 'car'"),
    ],
)
def test_a_class_map_that_cannot_work_fails_the_job_in_words(
    street: Street, labels: Mapping[str, Sequence[str]], words: str
) -> None:
    street.draw(picture(8)[0])
    row = street.labelled(1, labels)
    assert (row.state, row.done) == ("failed", 0) and words in row.error


def test_too_little_memory_for_a_4k_frame_is_a_refusal_and_the_worker_lives(
    weights: Path, tmp_path: Path
) -> None:
    """A limit on this process stands in for a small machine."""
    cv2.imwrite(str(tmp_path / "4k.png"), np.full((2160, 3840, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "small.png"), picture(8)[0][..., ::-1])
    script = f"""
import resource
from pathlib import Path
from backends.core.errors import BadMedia
from backends.core.images import open_image
from backends.video_semantic.reader import ClipReader
from backends.video_semantic.weights_file import load_weights
reader = ClipReader(load_weights(Path({str(weights)!r})))
small, large = (open_image(Path(name)) for name in ("small.png", "4k.png"))
reader.push(small)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000, resource.RLIM_INFINITY))
try:
    reader.push(large)
except BadMedia as error:
    print(error)
print((reader.push(small).labels >= 0).all())
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    refusal, again = run.stdout.splitlines()
    assert "not enough memory for a frame of" in refusal and "scale the frames down" in refusal
    assert again == "True"
