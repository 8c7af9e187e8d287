"""Gestures and batches through the real server: HTTP, Redis, ledger and files; the worker is a stand-in."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from backends.core.masks import iou
from backends.core.types import Mask
from backends.labelstudio.regions import region_id
from backends.labelstudio.rle import decode
from tests.predict_requests import (
    LABEL_CONFIG,
    SIZE_HW,
    annotation,
    batch,
    box,
    brush,
    click,
    disc,
    draft,
    interactive,
    task,
)
from tests.redis_server import RedisServer
from tests.served_house import ServedHouse, wait_until

TASK = 20
TRIGGER = "Tr1gger"
PAINTED = brush("hand-made", "object 1", 0, disc(20, 24))


@pytest.fixture
def house(tmp_path: Path, redis_server: RedisServer) -> Iterator[ServedHouse]:
    built = ServedHouse(tmp_path, redis_server.url)
    yield built
    built.close()


def propagate(frame: int = 0, x: float = 20, y: float = 24) -> dict[str, Any]:
    return click(TRIGGER, "Propagate", frame, x, y)


def pressed(*results: dict[str, Any], n_frames: int = 6, frame: int = 0, **parts: Any) -> dict[str, Any]:
    """Propagate on a task whose draft, already saved, holds these results and the click."""
    command = propagate(frame)
    return interactive(task(TASK, n_frames, drafts=[draft(*results, command)], **parts), [command])


def mask_of(result: dict[str, Any]) -> Mask:
    return decode(result["value"]["rle"], SIZE_HW)


def by_id(results: list[Any]) -> dict[str, Any]:
    assert len(results) == 1
    return {result["id"]: result for result in results[0]["result"]}


# Propagate


def test_propagate_gives_masks_for_every_frame_but_the_painted_one(house: ServedHouse) -> None:
    house.worker.start()
    regions = by_id(house.predict(pressed(PAINTED)))
    assert sorted(regions) == [region_id("object 1", frame) for frame in range(1, 6)]
    for frame in range(1, 6):
        region = regions[region_id("object 1", frame)]
        assert (region["item_index"], region["type"], region["from_name"]) == (frame, "brushlabels", "mask")
        assert iou(mask_of(region), disc(20 + 2 * frame, 24)) == 1
    assert house.told() == ""
    assert [job.delivery for job in house.ledger.jobs()] == [""], "an answered gesture needs no prediction"


def test_the_same_propagate_twice_is_one_job_and_works_without_redis_or_worker(
    house: ServedHouse, redis_server: RedisServer
) -> None:
    house.worker.start()
    first = house.predict(pressed(PAINTED))
    house.worker.end()
    redis_server.kill()
    assert house.predict(pressed(PAINTED)) == first
    assert len(house.ledger.jobs()) == 1


def test_a_corrected_machine_mask_becomes_an_anchor_and_untouched_ones_do_not(house: ServedHouse) -> None:
    house.worker.start()
    machine = by_id(house.predict(pressed(PAINTED)))
    corrected = brush(region_id("object 1", 3), "object 1", 3, disc(30, 30))
    untouched = [region for name, region in machine.items() if name != corrected["id"]]
    regions = by_id(house.predict(pressed(PAINTED, corrected, *untouched, frame=3)))
    assert sorted(regions) == [region_id("object 1", frame) for frame in (1, 2, 4, 5)]
    assert iou(mask_of(regions[region_id("object 1", 4)]), disc(32, 30)) == 1
    anchors = house.ledger.anchors(house.ledger.jobs(limit=1)[0].id)
    assert [(anchor.object_id, anchor.frame_index) for anchor in anchors] == [
        ("object 1", 0),
        ("object 1", 3),
    ]


def test_a_stray_duplicate_result_changes_nothing(house: ServedHouse) -> None:
    """With "keep label selected" the editor saves a mask a second time as a keypoint of the same id."""
    house.worker.start()
    stray = {**PAINTED, "type": "keypointlabels", "from_name": "point"}
    assert len(by_id(house.predict(pressed(PAINTED, stray)))) == 5
    assert house.told() == ""


def test_propagate_with_only_machine_masks_says_so(house: ServedHouse) -> None:
    house.worker.start()
    machine = by_id(house.predict(pressed(PAINTED)))
    assert house.predict(pressed(*machine.values())) == [{"result": []}]
    assert "as MaskLoop made them" in house.told()


def test_two_objects_go_in_one_job(house: ServedHouse) -> None:
    house.worker.start()
    blue = brush("hand-2", "object 2", 2, disc(46, 14, 6))
    regions = by_id(house.predict(pressed(PAINTED, blue)))
    assert len(regions) == 10
    assert region_id("object 2", 2) not in regions and region_id("object 1", 0) not in regions
    assert region_id("object 2", 0) in regions, "backward from frame 2"


def test_a_late_draft_is_waited_for(house: ServedHouse) -> None:
    house.worker.start()
    command = propagate()
    house.label_studio.save_draft(TASK)

    def autosave() -> None:
        wait_until(lambda: len(house.label_studio.asked) >= 2, "polling for the draft")
        house.label_studio.save_draft(TASK, draft(PAINTED, command))

    saver = threading.Thread(target=autosave)
    saver.start()
    regions = by_id(house.predict(interactive(task(TASK, 6), [command])))
    saver.join(30)
    assert len(regions) == 5
    assert house.told() == ""


@pytest.mark.parametrize("trouble", ["never saved", "down", "refused", "failing"])
def test_without_a_fresh_draft_the_last_known_work_counts(house: ServedHouse, trouble: str) -> None:
    house.worker.start()
    house.label_studio.save_draft(TASK, draft(brush("x", "object 1", 0, disc(50, 10)), draft_id=9))
    if trouble == "down":
        house.label_studio.stop()
    house.label_studio.status = {"refused": 401, "failing": 500}.get(trouble, 200)
    saved = task(TASK, 6, annotations=[annotation(PAINTED)])
    regions = by_id(house.predict(interactive(saved, [propagate()])))
    assert iou(mask_of(regions[region_id("object 1", 1)]), disc(22, 24)) == 1, "not another person's draft"
    assert "last saved state" in house.told()
    words = {
        "never saved": "No fresh draft",
        "down": "cannot be reached",
        "refused": "token",
        "failing": "500",
    }
    assert words[trouble] in house.told()


def test_what_is_not_ready_in_time_follows_as_a_prediction(tmp_path: Path, redis_server: RedisServer) -> None:
    house = ServedHouse(tmp_path, redis_server.url, predict_budget_s=1.0)
    try:
        house.worker.stop_after = 3
        house.worker.start()
        assert len(by_id(house.predict(pressed(PAINTED)))) == 2, "frames 1 and 2; 0 is painted"
        assert "3 of 6 frames were ready" in house.told()
        house.worker.go.set()
        job = wait_until(lambda: house.ledger.jobs(states=["done"]), "the rest")[0]
        assert job.delivery == "pending"
        assert len(by_id(house.predict(pressed(PAINTED)))) == 5
    finally:
        house.close()


def test_more_regions_than_the_editor_handles_follow_as_a_prediction(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    house = ServedHouse(tmp_path, redis_server.url, max_regions=2)
    try:
        house.worker.start()
        painted = brush("hand-made", "object 1", 3, disc(26, 24))
        regions = by_id(house.predict(pressed(painted, frame=3)))
        assert sorted(regions) == [region_id("object 1", 2), region_id("object 1", 4)], "nearest first"
        assert "2 of 5 masks" in house.told()
        assert house.ledger.jobs()[0].delivery == "pending"
        shown = house.ledger.machine_digests(TASK)
        assert sorted(shown) == sorted(regions), "only what was shown is remembered"
    finally:
        house.close()


def test_a_failed_job_gives_its_finished_frames_and_the_reason(house: ServedHouse) -> None:
    house.worker.fail_at = 4
    house.worker.start()
    assert len(by_id(house.predict(pressed(PAINTED)))) == 3
    assert "frame 4 cannot be decoded" in house.told()


def test_an_object_that_leaves_gives_no_mask_and_stale_ones_are_named(house: ServedHouse) -> None:
    house.worker.start()
    machine = by_id(house.predict(pressed(PAINTED)))
    house.worker.vanish_from = 4
    corrected = brush(region_id("object 1", 1), "object 1", 1, disc(22, 25))
    shown = [region for name, region in machine.items() if name != corrected["id"]]
    regions = by_id(house.predict(pressed(PAINTED, corrected, *shown)))
    assert sorted(regions) == [region_id("object 1", 2), region_id("object 1", 3)]
    assert "object 1 on page 5, 6" in house.told()


def test_cancel_on_the_console_ends_the_wait_and_keeps_finished_frames(house: ServedHouse) -> None:
    house.worker.stop_after = 3
    house.worker.start()
    console = house.console()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(house.predict, pressed(PAINTED))
        job = wait_until(lambda: [row for row in house.ledger.jobs() if row.done == 3], "three frames")[0]
        assert console.post(f"{house.url}/console/jobs/{job.id}/cancel", timeout=30).ok
        house.worker.go.set()
        assert len(by_id(answer.result(30))) >= 2
    assert "cancelled" in house.told()
    listed = console.get(f"{house.url}/console/state", timeout=30).json()["jobs"][0]
    assert (listed["state"], listed["can_retry"], listed["can_cancel"]) == ("cancelled", True, False)
    assert console.post(f"{house.url}/console/jobs/{job.id}/retry", timeout=30).ok
    wait_until(lambda: house.ledger.job(job.id).state == "done", "the retried job")


def test_no_worker_and_no_redis_are_told_and_nothing_is_kept_waiting(
    house: ServedHouse, redis_server: RedisServer
) -> None:
    assert house.predict(pressed(PAINTED)) == [{"result": []}]
    assert "worker" in house.told()
    assert house.ledger.jobs() == []
    house.worker.start()
    redis_server.kill()
    began = time.monotonic()
    assert house.predict(pressed(PAINTED)) == [{"result": []}]
    assert time.monotonic() - began < 10
    assert "Redis" in house.told()
    redis_server.start()
    assert len(by_id(house.predict(pressed(PAINTED)))) == 5, "works again by itself"


# bad input


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (pressed(), "No painted mask"),
        (pressed(brush("r", "object 9", 0, disc(20, 24))), "object 9"),
        (pressed(brush("r", "object 1", 17, disc(20, 24))), "item_index"),
        (
            pressed({**PAINTED, "value": {"format": "rle", "rle": [1, 2, 3], "brushlabels": ["object 1"]}}),
            "RLE",
        ),
        (pressed({**PAINTED, "original_width": 65}), "65x48"),
        (pressed(PAINTED, data={"frames": []}), "frames"),
        (pressed(PAINTED, data={"frames": ["/data/local-files/?d=clips/gone/00000.png"]}), "gone"),
        (pressed(PAINTED, data={"frames": ["/data/local-files/?d=../secret.png"]}), "outside"),
        (interactive(task(TASK, 6), [click("c", "object 9", 0, 3, 3)]), "object 9"),
        (interactive(task(TASK, 6), [click("c", "object 1", 6, 3, 3)]), "frames 0 to 5"),
        (interactive(task(TASK, 6), [propagate()], label_config="<View><Image"), "configuration"),
        (
            pressed(PAINTED, n_frames=6)
            | {"label_config": "<View><Image name='img' valueList='$frames'/></View>"},
            "smart tool",
        ),
    ],
)
def test_unusable_input_changes_nothing_and_the_reason_is_told(
    house: ServedHouse, body: dict[str, Any], words: str
) -> None:
    house.worker.start()
    assert house.predict(body) == [{"result": []}]
    assert words in house.told()
    assert house.ledger.jobs() == []


def test_one_bad_region_does_not_stop_the_others(house: ServedHouse) -> None:
    house.worker.start()
    broken = {**brush("broken", "object 2", 0, disc(46, 14, 6)), "original_height": 50}
    regions = by_id(house.predict(pressed(PAINTED, broken)))
    assert {region["value"]["brushlabels"][0] for region in regions.values()} == {"object 1"}
    assert "broken" in house.told()


def test_the_empty_context_after_submit_is_answered_with_nothing(house: ServedHouse) -> None:
    assert house.predict(interactive(task(TASK, 6, annotations=[annotation(PAINTED)]), [])) == [
        {"result": []}
    ]
    assert house.told() == ""
    assert house.ledger.jobs() == []


@pytest.mark.parametrize("body", [{}, {"tasks": 3}, [], "x", None])
def test_a_body_that_is_no_predict_request_is_refused(house: ServedHouse, body: Any) -> None:
    assert house.post("/predict", body).status_code == 422


# clicks


def test_a_click_gives_the_mask_of_this_frame(house: ServedHouse) -> None:
    regions = by_id(house.predict(interactive(task(TASK, 6), [click("c", "object 1", 2, 24, 24)])))
    assert list(regions) == [region_id("object 1", 2)]
    region = regions[region_id("object 1", 2)]
    assert region["item_index"] == 2 and region["value"]["brushlabels"] == ["object 1"]
    assert iou(mask_of(region), disc(24, 24)) > 0.8


def test_a_box_gives_the_mask_of_this_frame(house: ServedHouse) -> None:
    drag = box("b", "object 2", 0, (38, 6, 54, 22))
    regions = by_id(house.predict(interactive(task(TASK, 6), [drag])))
    assert iou(mask_of(regions[region_id("object 2", 0)]), disc(46, 14, 6)) > 0.8


def test_clicks_that_arrive_alone_add_up(house: ServedHouse) -> None:
    """Auto-Accept sends every click by itself, and the draft with the first mask comes seconds later."""
    one = by_id(house.predict(interactive(task(TASK, 6), [click("c", "object 1", 0, 20, 24)])))
    second = click("d", "object 1", 0, 46, 14)
    both = by_id(house.predict(interactive(task(TASK, 6), [second])))
    assert list(both) == list(one) == [region_id("object 1", 0)], "the same id replaces in place"
    grown = mask_of(both[region_id("object 1", 0)])
    assert grown[24, 20] and grown[14, 46]
    third = click("e", "object 1", 0, 46, 14, positive=False)
    cut = mask_of(by_id(house.predict(interactive(task(TASK, 6), [third])))[region_id("object 1", 0)])
    assert cut[24, 20] and not cut[14, 46]


def test_a_click_starts_from_the_mask_that_is_there(house: ServedHouse) -> None:
    painted = brush("hand-made", "object 1", 0, disc(20, 24))
    ask = interactive(task(TASK, 6, drafts=[draft(painted)]), [click("c", "object 1", 0, 46, 14)])
    [(name, region)] = by_id(house.predict(ask)).items()
    assert mask_of(region)[24, 20] and mask_of(region)[14, 46]
    assert name == "hand-made", "the editor replaces the painted region instead of laying one over it"


def test_a_click_beside_several_painted_regions_stands_by_itself(house: ServedHouse) -> None:
    painted = [brush("one", "object 1", 0, disc(20, 24)), brush("two", "object 1", 0, disc(24, 24))]
    ask = interactive(task(TASK, 6, drafts=[draft(*painted)]), [click("c", "object 1", 0, 46, 14)])
    assert list(by_id(house.predict(ask))) == [region_id("object 1", 0)]


def test_a_clicked_mask_is_an_anchor(house: ServedHouse) -> None:
    house.worker.start()
    clicked = by_id(house.predict(interactive(task(TASK, 6), [click("c", "object 1", 0, 20, 24)])))
    assert len(by_id(house.predict(pressed(*clicked.values())))) == 5


def test_a_frame_of_another_size_than_the_editor_shows_is_refused(house: ServedHouse) -> None:
    odd = {**click("c", "object 1", 0, 20, 24), "original_width": 128}
    assert house.predict(interactive(task(TASK, 6), [odd])) == [{"result": []}]
    assert "64x48" in house.told() and "128x48" in house.told()


# batches


def test_a_batch_is_queued_and_answered_at_once(house: ServedHouse) -> None:
    house.worker.go.clear()
    house.worker.start()
    painted = [task(number, 6, annotations=[annotation(PAINTED)]) for number in (1, 2)]
    unpainted = task(3, 6)
    broken = task(4, 6, annotations=[annotation(PAINTED)], data={"frames": ["/data/local-files/?d=no/0.png"]})
    began = time.monotonic()
    assert house.predict(batch(*painted, unpainted, broken)) == [[], [], [], []]
    assert time.monotonic() - began < 5
    jobs = house.ledger.jobs()
    assert sorted((job.task_id, job.state, job.delivery) for job in jobs) == [
        (1, "queued", "pending"),
        (2, "queued", "pending"),
    ]
    assert "1 of 4 tasks have no painted mask" in house.told()
    assert "gone from the media folder" in house.told()


def test_a_batch_takes_a_finished_result_from_the_ledger(house: ServedHouse) -> None:
    house.worker.start()
    house.predict(pressed(PAINTED))
    answer = house.predict(batch(task(TASK, 6, annotations=[annotation(PAINTED)])))
    assert answer[0]["model_version"] == house.version
    assert 0.9 <= answer[0]["score"] <= 1
    assert len(answer[0]["result"]) == 6, "a prediction stands by itself: the painted frame is in it"
    assert [job.delivery for job in house.ledger.jobs()] == [""], "not delivered a second time"


def test_a_batch_without_worker_says_so_once(house: ServedHouse) -> None:
    tasks = [task(number, 6, annotations=[annotation(PAINTED)]) for number in range(5)]
    assert house.predict(batch(*tasks)) == [[]] * 5
    assert len(house.notices.recent()) == 1 and house.notices.recent()[0].times == 1


@pytest.mark.parametrize("config", ["", "<View/>", "<View><Video name='v' value='$v'/></View>"])
def test_a_batch_with_an_unusable_configuration_is_answered_in_full(house: ServedHouse, config: str) -> None:
    assert house.predict(batch(task(1, 6), task(2, 6), label_config=config)) == [[], []]
    assert "configuration" in house.told()


# the console over the same parts


def labelled_project(house: ServedHouse, *drafts: dict[str, Any]) -> None:
    one = task(TASK, 6, is_labeled=False)
    project = {"id": 16, "title": "Street", "label_config": LABEL_CONFIG}
    house.label_studio.documents |= {
        "/api/projects/": {"results": [project, {"id": 17, "title": "Text", "label_config": "<View/>"}]},
        "/api/projects/16/": project,
        "/api/tasks/": {"tasks": [one], "total": 1},
        f"/api/tasks/{TASK}/": one,
        f"/api/tasks/{TASK}/annotations/": [],
        f"/api/tasks/{TASK}/drafts": list(drafts),
    }


def test_the_console_propagates_saved_work_as_a_prediction(house: ServedHouse) -> None:
    labelled_project(house, draft(PAINTED))
    house.worker.start()
    console = house.console()
    listing = console.get(f"{house.url}/console/tasks", timeout=30).json()
    assert [(row["id"], row["clip"], row["project"], row["frames"]) for row in listing["tasks"]] == [
        (TASK, "bus", "Street", 6)
    ]
    said = console.post(f"{house.url}/console/tasks/{TASK}/propagate", timeout=30)
    assert said.ok and "1 painted mask over 6 frames" in said.json()["message"]
    job = wait_until(lambda: house.ledger.jobs(states=["done"]), "the job")[0]
    assert (job.task_id, job.delivery) == (TASK, "pending")
    state = console.get(f"{house.url}/console/state", timeout=30).json()
    assert state["jobs"][0]["done"] == 6 and state["model"]["version"] == house.version
    assert len(state["workers"]) == 1


def test_the_console_stays_up_while_label_studio_and_redis_are_down(
    house: ServedHouse, redis_server: RedisServer
) -> None:
    house.label_studio.stop()
    redis_server.kill()
    console = house.console()
    assert "Label Studio" in console.get(f"{house.url}/console/tasks", timeout=30).json()["error"]
    assert "Redis" in console.get(f"{house.url}/console/state", timeout=30).json()["queue"]["error"]
    answer = console.post(f"{house.url}/console/tasks/{TASK}/propagate", timeout=30)
    assert answer.status_code == 503 and "Label Studio" in answer.json()["error"]


# promptness


def test_health_and_setup_answer_while_every_place_is_taken(house: ServedHouse) -> None:
    house.worker.go.clear()
    house.worker.start()
    limit = house.settings.max_waiting
    with ThreadPoolExecutor(limit) as pool:
        waiting = [
            pool.submit(
                house.predict,
                pressed(brush("hand", "object 1", 0, disc(20 + number, 24))),
            )
            for number in range(limit)
        ]
        wait_until(lambda: len(house.ledger.jobs()) == limit, "all places taken")
        health = [timed(lambda: requests.get(f"{house.url}/health", timeout=5)) for _ in range(40)]
        setup = [timed(lambda: house.post("/setup", {})) for _ in range(10)]
        refused = house.post("/predict", pressed(PAINTED))
        house.worker.go.set()
        assert all(len(answer.result(60)[0]["result"]) == 5 for answer in waiting)
    assert statistics.median(health) < 0.05, health
    assert max(health) < 1 and max(setup) < 3, "Label Studio's own limits"
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")


def timed(call: Any) -> float:
    began = time.monotonic()
    assert call().status_code == 200
    return time.monotonic() - began


def test_the_server_never_imports_torch() -> None:
    script = "import sys, backends.wsgi; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=120, check=False).returncode == 0
