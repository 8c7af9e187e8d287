"""What is saved on a clip's last page starts the next clip, and nothing that somebody began is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from backends.core.errors import NoWorker
from backends.next_clip import NextClip, following_clip
from backends.notices import Notices
from backends.queues import PropagationRequest
from tests.predict_requests import LABEL_CONFIG, SIZE_HW, annotation, brush, disc, frame_refs

LAST = 3
ON_LAST_PAGE = brush("a", "object 1", LAST, disc(20, 24))


class Project:
    """A project of two clips of one video, as Label Studio lists it."""

    def __init__(self) -> None:
        self.drafted: set[int] = set()
        self.listed = [self._task(1, "video-000"), self._task(2, "video-001")]

    @staticmethod
    def _task(number: int, clip: str) -> dict[str, Any]:
        frames = frame_refs(LAST + 1, f"clips/{clip}")
        return {"id": number, "data": {"clip": clip, "frames": frames}, "is_labeled": False}

    def project(self, project_id: int) -> dict[str, Any]:
        return {"id": project_id, "label_config": LABEL_CONFIG}

    def tasks(self, project_id: int) -> list[dict[str, Any]]:
        return self.listed

    def tasks_with_drafts(self, project_id: int) -> set[int]:
        return self.drafted

    def path(self, reference: str) -> Path:
        return self.frame

    frame = Path()


class Bench:
    """NextClip with everything around it in reach."""

    def __init__(self, folder: Path) -> None:
        self.project = Project()
        self.project.frame = folder / "frame.png"
        cv2.imwrite(str(self.project.frame), np.zeros((*SIZE_HW, 3), np.uint8))
        self.notices = Notices(folder / "ledger.sqlite3")
        self.wanted: list[PropagationRequest] = []
        self.next_clip = NextClip(
            self.project,
            self.project,
            self.notices,
            lambda project: f"video_object-{project:08x}",
            self._enqueue,
            10**6,
        )

    def _enqueue(self, request: PropagationRequest) -> Any:
        self.wanted.append(request)

    def deliver(self, *results: dict[str, Any], **changes: Any) -> None:
        """A webhook delivery, and what follows from it until the end."""
        payload = {
            "action": "ANNOTATION_CREATED",
            "annotation": annotation(*results),
            "task": self.project.listed[0],
            "project": {"id": 16},
            **changes,
        }
        if after := self.next_clip.saved(payload):
            after.result(30)

    def told(self) -> str:
        return "\n".join(notice.text for notice in self.notices.recent())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_last_pages_masks_are_wanted_on_the_next_clip(bench: Bench) -> None:
    other = brush("b", "object 2", LAST, disc(50, 10))
    bench.deliver(brush("c", "object 1", 0, disc(9, 9)), ON_LAST_PAGE, other)
    [request] = bench.wanted
    assert (request.project_id, request.task_id, request.deliver_prediction) == (16, 2, True)
    assert request.model_version == "video_object-00000010", "what is served to this project"
    assert request.frame_refs == tuple(frame_refs(LAST + 1, "clips/video-001"))
    assert {(a.object_id, a.frame_index) for a in request.anchors} == {("object 1", 0), ("object 2", 0)}
    assert np.array_equal(request.anchors[0].mask, disc(20, 24))
    assert "video-001 starts with the masks" in bench.told()


@pytest.mark.parametrize("begun", ["labeled", "drafted", "gone"])
def test_a_clip_that_somebody_began_is_left_alone(bench: Bench, begun: str) -> None:
    if begun == "labeled":
        bench.project.listed[1]["is_labeled"] = True
    elif begun == "drafted":
        bench.project.drafted.add(2)
    else:
        del bench.project.listed[1]
    bench.deliver(ON_LAST_PAGE)
    assert bench.wanted == [] and bench.told() == ""


def test_nothing_on_the_last_page_starts_nothing(bench: Bench) -> None:
    bench.deliver(brush("c", "object 1", 0, disc(9, 9)))
    bench.deliver(brush("d", "object 1", LAST, np.zeros(SIZE_HW, bool)))
    assert bench.wanted == []


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "ANNOTATIONS_DELETED"},
        {"annotation": {"result": [ON_LAST_PAGE], "was_cancelled": True}},
        {"annotation": None},
        {"task": {"id": 1, "data": {"clip": "holiday", "frames": frame_refs(4)}}},
        {"task": None},
        {"project": {}},
    ],
)
def test_other_deliveries_start_nothing(bench: Bench, changes: dict[str, Any]) -> None:
    bench.deliver(ON_LAST_PAGE, **changes)
    assert bench.wanted == [] and bench.told() == ""


def test_what_goes_wrong_is_told_on_the_console(bench: Bench) -> None:
    def refuse(request: PropagationRequest) -> Any:
        raise NoWorker("no worker is running")

    object.__setattr__(bench.next_clip, "enqueue", refuse)
    bench.deliver(ON_LAST_PAGE)
    assert "could not be started: no worker is running" in bench.told()
    bench.project.frame.unlink()
    bench.deliver(ON_LAST_PAGE)
    assert "frame.png" in bench.told()


@pytest.mark.parametrize(
    ("clip", "following"),
    [
        ("bus-36d8-000", "bus-36d8-001"),
        ("a-099", "a-100"),
        ("a-999", "a-1000"),
        ("a-1", None),
        (None, None),
        ("", None),
    ],
)
def test_clips_are_numbered_in_a_row(clip: str | None, following: str | None) -> None:
    assert following_clip(clip) == following
