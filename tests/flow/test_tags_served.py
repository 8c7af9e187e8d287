"""Tags become masks over HTTP: real server, real Redis, real ledger, a worker whose pace the test sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.core.types import Mask
from backends.labelstudio.regions import read_masks, unite
from tests.predict_requests import disc
from tests.redis_server import RedisServer
from tests.served_house import ServedHouse, serve_a_model, wait_until
from tests.tag_requests import (
    SIZE_HW,
    TAG_CONFIG,
    TAG_XML,
    annotation,
    batch,
    boxed,
    choices,
    draft,
    interactive,
    make_masks,
    painted,
    picture_task,
    write_picture,
)

TASK = 20


@pytest.fixture
def house(tmp_path: Path, redis_server: RedisServer) -> Iterator[ServedHouse]:
    house = ServedHouse(tmp_path, redis_server.url)
    house.version = serve_a_model(house.settings.models_dir, tmp_path, "weak_shot")
    write_picture(house.settings.media_root / "photos" / "a.png")
    house.worker.start()
    yield house
    house.close()


def asked(house: ServedHouse, *work: dict[str, Any], gesture: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer to a gesture in a task whose draft holds ``work`` and the gesture itself."""
    one = picture_task(TASK, drafts=[draft(*work, gesture)])
    [answer] = house.predict(interactive(one, [gesture]))
    regions: list[dict[str, Any]] = answer["result"]
    return regions


def masks_of(result: list[dict[str, Any]]) -> dict[str, Mask]:
    regions, refusals = read_masks(result, TAG_CONFIG, 1, SIZE_HW)
    assert refusals == []
    return {name: mask for (name, _), mask in unite(regions).items()}


def test_ticked_tags_become_masks(house: ServedHouse) -> None:
    result = asked(house, choices("dog", "sheep"), gesture=make_masks())
    assert [item["id"] for item in result] == ["dog_f0000", "sheep_f0000"]
    assert all(item["score"] == 0.9 and "item_index" not in item for item in result)
    assert np.array_equal(masks_of(result)["sheep"], disc(28, 16, 6))


def test_the_draft_that_holds_the_click_is_waited_for(house: ServedHouse) -> None:
    house.label_studio.save_draft(TASK, draft(choices("cat"), make_masks("now")))
    [answer] = house.predict(interactive(picture_task(TASK), [make_masks("now")]))
    assert [item["id"] for item in answer["result"]] == ["cat_f0000"]


def test_without_a_fresh_draft_the_last_saved_tags_count_and_the_console_says_so(house: ServedHouse) -> None:
    house.label_studio.save_draft(TASK)
    one = picture_task(TASK, annotations=[annotation(choices("dog"))])
    [answer] = house.predict(interactive(one, [make_masks()]))
    assert [item["id"] for item in answer["result"]] == ["dog_f0000"]
    assert "Make masks used the last saved state" in house.told()


def test_a_persons_mask_is_not_sent_back_and_nothing_lies_on_it(house: ServedHouse) -> None:
    mine = painted("by-hand", "dog", disc(22, 16, 8))
    result = asked(house, choices("dog", "cat"), mine, gesture=make_masks())
    masks = masks_of(result)
    assert set(masks) == {"cat"}
    assert np.array_equal(masks["cat"], disc(28, 16, 6) & ~disc(22, 16, 8))


def test_untouched_machine_masks_are_made_anew_and_corrected_ones_stay(house: ServedHouse) -> None:
    first = asked(house, choices("dog", "cat"), gesture=make_masks())
    again = asked(house, choices("dog", "cat"), *first, gesture=make_masks("again"))
    assert {item["id"] for item in again} == {"dog_f0000", "cat_f0000"}
    corrected = painted("dog_f0000", "dog", disc(8, 20, 7))
    cat = next(item for item in first if item["id"] == "cat_f0000")
    later = asked(house, choices("dog", "cat"), corrected, cat, gesture=make_masks("later"))
    assert [item["id"] for item in later] == ["cat_f0000"]


def test_a_box_replaces_the_machines_mask_of_its_class(house: ServedHouse) -> None:
    first = asked(house, choices("dog", "cat"), gesture=make_masks())
    [region] = asked(house, choices("dog", "cat"), *first, gesture=boxed("dog"))
    assert region["id"] == "dog_f0000"
    assert np.array_equal(masks_of([region])["dog"], disc(40, 20, 6))


def test_a_box_is_its_own_tag_and_a_second_box_stands_beside_the_first(house: ServedHouse) -> None:
    [first] = asked(house, gesture=boxed("dog"))
    [second] = asked(house, first, gesture=boxed("dog", "other", (0, 0, 20, 20)))
    assert first["id"] == "dog_f0000" != second["id"]
    kept = asked(house, choices("dog"), first, gesture=make_masks())
    assert kept == [] and "every tagged class has a mask of yours" in house.told(), "a box's mask stays"


def test_a_box_without_a_fresh_draft_replaces_nothing(house: ServedHouse) -> None:
    house.label_studio.save_draft(TASK)
    [answer] = house.predict(interactive(picture_task(TASK), [boxed("dog")]))
    [region] = answer["result"]
    assert region["id"].startswith("dog_f0000_")


@pytest.mark.parametrize(
    ("work", "says"),
    [
        ([], "No tag is ticked"),
        ([choices("cow")], "No mask can be made for 'cow'"),
        ([choices("dog", from_name="other")], "No tag is ticked"),
    ],
)
def test_what_gives_no_mask_is_said_in_words(house: ServedHouse, work: list[Any], says: str) -> None:
    assert asked(house, *work, gesture=make_masks()) == []
    assert says in house.told()


def test_an_unknown_tag_is_told_and_the_others_go_on(house: ServedHouse) -> None:
    result = asked(house, choices("cow", "dog"), gesture=make_masks())
    assert [item["id"] for item in result] == ["dog_f0000"]
    assert "No mask can be made for 'cow'" in house.told()


def test_all_tags_at_once_are_answered_with_a_warning(house: ServedHouse) -> None:
    assert len(asked(house, choices("dog", "cat", "sheep"), gesture=make_masks())) == 3
    assert "all 3 tags are ticked" in house.told()


def test_low_trust_is_told_and_stands_at_the_region(house: ServedHouse) -> None:
    house.worker.trust = {"cat": 0.12}
    result = asked(house, choices("dog", "cat"), gesture=make_masks())
    assert {item["id"]: item["score"] for item in result} == {"dog_f0000": 0.9, "cat_f0000": 0.12}
    assert "Low trust: cat 0.12" in house.told()


def test_a_picture_that_cannot_be_read_is_told(house: ServedHouse) -> None:
    (house.settings.media_root / "photos" / "a.png").write_bytes(b"no picture")
    assert asked(house, choices("dog"), gesture=make_masks()) == []
    assert "not an image" in house.told()


def test_a_failed_job_is_told(house: ServedHouse) -> None:
    house.worker.fail_at = 0
    assert asked(house, choices("dog"), gesture=make_masks()) == []
    assert "Make masks stopped: the picture cannot be decoded" in house.told()


def test_what_is_late_follows_as_a_prediction(tmp_path: Path, redis_server: RedisServer) -> None:
    house = ServedHouse(tmp_path, redis_server.url, predict_budget_s=0.3)
    try:
        serve_a_model(house.settings.models_dir, tmp_path, "weak_shot")
        write_picture(house.settings.media_root / "photos" / "a.png")
        house.worker.go.clear()
        house.worker.start()
        assert asked(house, choices("dog"), gesture=make_masks()) == []
        assert "They follow as a prediction" in house.told()
        [job] = house.ledger.jobs(task_id=TASK)
        assert (job.kind, job.delivery) == ("pseudo_label_now", "pending")
    finally:
        house.close()


def test_a_batch_queues_one_job_per_tagged_picture_and_answers_nothing(house: ServedHouse) -> None:
    house.worker.go.clear()
    (house.settings.media_root / "photos" / "broken.png").write_bytes(b"no picture")
    tasks = [
        picture_task(1, annotations=[annotation(choices("dog"))]),
        picture_task(2),
        picture_task(3, data={"tags": ["cat"]}),
        picture_task(4, "photos/broken.png", annotations=[annotation(choices("dog"))]),
    ]
    assert house.predict(batch(*tasks)) == [[], [], [], []]
    jobs = {job.task_id: job for job in house.ledger.jobs()}
    assert set(jobs) == {1, 3}
    assert all((job.kind, job.delivery) == ("pseudo_label", "pending") for job in jobs.values())
    assert jobs[3].payload["tags"] == ["cat"] and jobs[1].model_version.startswith("weak_shot-")
    assert "1 of 4 tasks have no tag" in house.told() and "not an image" in house.told()
    assert house.predict(batch(*tasks)) == [[], [], [], []]
    assert len(house.ledger.jobs()) == 2, "asked twice, done once"


def test_setup_names_the_version_of_the_projects_way_of_working(house: ServedHouse) -> None:
    told = house.post("/setup", {"project": "1.1", "schema": TAG_XML}).json()
    assert told == {"model_version": house.version} and told["model_version"].startswith("weak_shot-")
    assert house.post("/setup", {"project": "1.1"}).json()["model_version"].startswith("video_object-")


def test_a_project_can_be_connected_before_there_are_weights(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.registry._SHIPPED", tmp_path)
    house = ServedHouse(tmp_path, redis_server.url)
    try:
        write_picture(house.settings.media_root / "photos" / "a.png")
        told = house.post("/setup", {"project": "1.1", "schema": TAG_XML})
        assert (told.status_code, told.json()) == (200, {"model_version": "weak_shot-none"})
        assert asked(house, choices("dog"), gesture=make_masks()) == []
        assert "No weights for 'weak_shot'" in house.told() and "maskloop train weak_shot" in house.told()
    finally:
        house.close()


def test_the_console_lists_the_doubtful_pictures_first_until_they_are_saved(house: ServedHouse) -> None:
    for task, trust in ((1, 0.8), (2, 0.3), (3, 0.6)):
        house.worker.trust = {"dog": trust}
        house.predict(batch(picture_task(task, annotations=[annotation(choices("dog"))])))
        wait_until(lambda task=task: house.ledger.jobs(states=["done"], task_id=task))
    console = house.console()

    def review() -> dict[str, Any]:
        found: dict[str, Any] = console.get(f"{house.url}/console/state", timeout=30).json()["review"]
        return found

    assert [(item["task_id"], item["worst_trust"]) for item in review()["items"]] == [
        (2, 0.3),
        (3, 0.6),
        (1, 0.8),
    ]
    assert [item["is_doubtful"] for item in review()["items"]] == [True, False, False]
    saved = {
        "action": "ANNOTATION_CREATED",
        "task": {"id": 2},
        "project": {"id": 16},
        "annotation": {"id": 1},
    }
    assert house.post("/webhook", saved).status_code == 202
    assert [item["task_id"] for item in review()["items"]] == [3, 1]
