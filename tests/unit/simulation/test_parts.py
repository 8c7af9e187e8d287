"""The parts of a simulation: clips cut of videos, frames chosen, counts, tasks as files, the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.core.errors import BadInput
from backends.core.types import FrameMasks, Mask
from backends.labelstudio.connection import NotThere
from pipelines.simulation.choosing import STRATEGIES, chooser
from pipelines.simulation.counting import Count, Goal, Look, ObjectScorer, SceneScorer, count
from pipelines.simulation.plan import Simulation
from pipelines.simulation.report import report, table
from pipelines.simulation.studio import Studio
from pipelines.simulation.videos import TrueClip, cut
from tests.media import save_mask

SIZE_HW = (16, 24)


def half(index: int) -> Mask:
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[:, :12] = True
    return mask


def video(folder: Path, count: int = 10, *, is_followed: bool = True) -> TrueClip:
    """Of labels "object 1", seen from frame 2 on, and "object 2", seen on frames 0 to 3."""
    paths = []
    for index in range(count):
        paths.append(save_mask(folder / f"{index:05d}.png", np.full((*SIZE_HW, 3), index, np.uint8)))

    def truth(index: int) -> Mapping[str, Mask]:
        shown = {"object 1": index >= 2, "object 2": index <= 3}
        return {name: half(index) for name, is_there in shown.items() if is_there}

    return TrueClip("bus", "bus", tuple(paths), ("object 1", "object 2"), truth, is_followed)


def test_a_video_is_cut_into_clips_that_follow_what_they_begin_with(tmp_path: Path) -> None:
    first, second = cut(video(tmp_path), 2)
    assert (first.name, second.name) == ("bus-000", "bus-001")
    assert [path.stem for path in second.paths] == [f"{index:05d}" for index in range(5, 10)]
    assert first.labels == ("object 2",) and second.labels == ("object 1",)
    assert second.clip.names == ("00005", "00006", "00007", "00008", "00009")
    assert first.open_frames == range(1, 4) and first.masks(4)["object 2"].sum() == 0


def test_a_clip_begins_where_an_object_is_to_be_seen(tmp_path: Path) -> None:
    late = replace(
        video(tmp_path), labels=("object 1",), truth=lambda i: {"object 1": half(i)} if i > 1 else {}
    )
    [clip] = cut(late, 1)
    assert clip.paths[0].stem == "00002" and len(clip.paths) == 8
    with pytest.raises(BadInput, match="bus-000: no object is to be seen on its 10 frames"):
        cut(replace(late, truth=lambda index: {}), 1)


def test_whole_scenes_are_open_on_every_frame(tmp_path: Path) -> None:
    [clip] = cut(video(tmp_path, is_followed=False), 1)
    assert clip.open_frames == range(10) and clip.labels == ("object 1", "object 2")


@pytest.mark.parametrize("is_followed", [True, False])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_takes_one_more_open_frame_each_time(
    strategy: str, is_followed: bool, tmp_path: Path
) -> None:
    [clip] = cut(video(tmp_path, is_followed=is_followed), 1)
    sure = dict.fromkeys(clip.open_frames, 0.5)
    choose, corrected = chooser(strategy, clip, 3), ()
    for number in range(1, len(clip.open_frames) + 1):
        corrected = choose(corrected, sure)
        assert len(set(corrected)) == number and set(corrected) <= set(clip.open_frames)


def test_lots_differ_by_seed_and_by_clip_and_repeat(tmp_path: Path) -> None:
    def order(clip: TrueClip, seed: int) -> tuple[int, ...]:
        choose, found = chooser("random", clip, seed), ()
        for _ in range(6):
            found = choose(found, {})
        return found

    clip = video(tmp_path)
    other = replace(clip, name="bear-000")
    assert order(clip, 0) == order(clip, 0)
    assert len({order(clip, 0), order(clip, 1), order(other, 0)}) == 3


def test_what_we_propose_is_the_least_sure_frame_that_is_not_corrected(tmp_path: Path) -> None:
    choose = chooser("propose", video(tmp_path))
    assert choose((4,), {3: 0.4, 4: 0.1, 5: 0.3}) == (4, 5)


@pytest.mark.parametrize(("target", "most", "frames", "reached"), [
    (40, 9, 0, True), (60, 9, 1, True), (100, 9, 3, True), (100, 2, 2, False), (100, 1, 1, False),
])  # fmt: skip
def test_corrections_are_counted_until_the_goal(target: float, most: int, frames: int, reached: bool) -> None:
    def look(corrected: tuple[int, ...]) -> Look:
        return Look({"j": 40.0 + 20 * len(corrected)}, {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4})

    found = count(look, lambda corrected, sure: (*corrected, len(corrected) + 1), Goal(target, most), "j")
    assert (found.corrections, found.reached, len(found.figures)) == (frames, reached, frames + 1)
    assert Count.from_json(found.to_json()) == found


def test_no_more_is_corrected_than_there_are_frames() -> None:
    found = count(lambda corrected: Look({"j": 0.0}, {1: 0.1}), lambda c, sure: (*c, 1), Goal(50, 9), "j")
    assert found.corrected == (1,) and not found.reached


def test_a_corrected_frame_of_objects_scores_as_the_truth_and_others_as_they_are(tmp_path: Path) -> None:
    [clip] = cut(replace(video(tmp_path, 5), truth=lambda index: {"object 1": half(index)}), 1)
    nothing = {index: FrameMasks(index, {}, {"object 1": 0.1 * index}) for index in range(5)}
    scorer = ObjectScorer(clip)
    assert scorer.look(nothing, ()).figures == {"j": 0, "f": 0, "j_and_f": 0}
    found = scorer.look(nothing, (2,))
    assert found.figures["j"] == pytest.approx(100 / 3)
    assert found.sure == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3})
    better = {**nothing, 1: FrameMasks(1, {"object 1": half(1)}, {})}
    assert scorer.look(better, (2,)).figures["j"] == pytest.approx(200 / 3)


def test_whole_scenes_score_over_shown_classes_and_known_pixels(tmp_path: Path) -> None:
    [clip] = cut(replace(video(tmp_path, 4, is_followed=False), truth=lambda i: {"object 1": half(i)}), 1)
    right = {index: FrameMasks(index, {"object 1": half(index)}, {}) for index in range(4)}
    assert SceneScorer(clip, right, {}).look(()).figures == {"miou": 100.0}
    wrong = {**right, 3: FrameMasks(3, {"object 2": half(3)}, {})}
    scorer = SceneScorer(clip, wrong, {})
    assert scorer.look(()).figures["miou"] == pytest.approx(75.0)
    assert scorer.look((3,)).figures == {"miou": 100.0}


def test_tasks_are_kept_as_files_and_submitted_once(tmp_path: Path) -> None:
    studio = Studio(tmp_path / "studio", {1: "<View/>", 2: "<View/>"})
    first = studio.put_task(1, {"clip": "bus-000", "frames": ["a"]})
    aside = studio.put_task(2, {"clip": "bus-000", "frames": ["a"]})
    number = studio.create_prediction(first, [{"id": "r"}], "v-1", 0.5)
    studio.create_prediction(first, [], "v-2")
    studio.update_prediction(number, [{"id": "s"}])
    studio.submit(first, [{"id": "r"}], number)
    studio.submit(first, [])
    again = Studio(tmp_path / "studio", {1: "<View/>"})
    assert again.put_task(1, {"clip": "bus-000"}) == first != aside
    assert [p["result"] for p in again.predictions(first, "v-1")] == [[{"id": "s"}]]
    [annotation] = again.task(first)["annotations"]
    assert annotation["result"] == [{"id": "r"}] and annotation["parent_prediction"] == number
    assert [task["total_annotations"] for task in again.tasks(1)] == [1] and not again.is_submitted(aside)
    again.delete_prediction(number)
    assert [p["model_version"] for p in again.predictions(first)] == ["v-2"]
    with pytest.raises(NotThere):
        again.task(99)
    with pytest.raises(NotThere):
        again.project(2)


def test_the_table_marks_what_never_got_there_and_tells_decisions() -> None:
    def counts(corrections: int, reached: bool = True) -> dict[str, Any]:
        figures = ({"j": 70.0, "f": 80.0, "j_and_f": 75.0},) * (corrections + 1)
        return {"bus-000": {"propose": [Count(tuple(range(1, corrections + 1)), figures, reached)]}}

    decision = {
        "outcome": "refused",
        "candidate": "v-2",
        "reasons": ["a", "b"],
        "against": ["b"],
        "serves": "v-1",
    }
    rounds = [
        {"round": 0, "served": "v-1", "test": counts(3, False), "loop": counts(2), "without_loop": {},
         "decision": decision},
        {"round": 1, "served": "v-1", "test": counts(1), "loop": {}, "without_loop": {}, "decision": None},
    ]  # fmt: skip
    simulation = Simulation(
        "video_object", Path("davis"), ("one",), ("two",), rounds=1, strategies=("propose",)
    )
    lines = table(report(simulation, {"propose": rounds})).splitlines()
    assert "corrections until J 90, at most 10" in lines[0]
    assert lines[2].split() == ["0", "v-1", "75.0", "3.00*"] and lines[3].split() == [
        "1",
        "v-1",
        "75.0",
        "1.00",
    ]
    assert lines[5].split() == ["0", "v-1", "75.0", "2.00", "-"]
    assert lines[6] == "round 0: refused v-2: b"
    assert "3.00 corrections per test clip before the first round, 1.00 after the last" in lines[7]
