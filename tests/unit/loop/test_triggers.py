"""When a run begins by itself: enough tasks, quiet, the hour; and webhooks that lie, repeat or never come."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.core.errors import LabelStudioDown, NoWorker
from backends.ledger import JobRow
from backends.loop.corrections import leave_marks, read_marks
from backends.loop.policy import Policy
from backends.loop.triggers import Verdict, due
from backends.queues import IMPROVE, ImproveRequest
from tests.unit.loop.loop_world import BEGUN, PROJECT, World

THREE = Policy(after_tasks=3, debounce_s=60.0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(THREE, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("policy", "submitted_at", "last_begun", "verdict"),
    [
        (Policy(), [0.0] * 50, None, Verdict()),
        (THREE, [], None, Verdict()),
        (THREE, [0.0, 10.0], None, Verdict()),
        (THREE, [0.0, 10.0, 20.0], None, Verdict("3 tasks were submitted since the last run")),
        (THREE, [0.0, 10.0, 970.0], None, Verdict(wait_s=30.0)),
        (THREE, [0.0, 10.0, 400.0, 970.0], None, Verdict("4 tasks were submitted since the last run")),
        (THREE, [880.0, 910.0, 970.0], None, Verdict(wait_s=30.0)),
        (
            Policy(after_tasks=1, debounce_s=0.0),
            [1000.0],
            999.0,
            Verdict("1 task was submitted since the last run"),
        ),
        (Policy(every_h=0.25, debounce_s=0.0), [500.0], 101.0, Verdict()),
        (
            Policy(every_h=0.25, debounce_s=0.0),
            [500.0],
            100.0,
            Verdict("0.25 hours are over and 1 task was submitted since the last run"),
        ),
        (Policy(every_h=0.25), [], None, Verdict()),
        (
            Policy(every_h=24, debounce_s=0.0),
            [1.0, 2.0],
            None,
            Verdict("24 hours are over and 2 tasks were submitted since the last run"),
        ),
    ],
)
def test_due(policy: Policy, submitted_at: list[float], last_begun: float | None, verdict: Verdict) -> None:
    assert due(policy, submitted_at, last_begun, now=1000.0) == verdict


def test_enough_tasks_begin_a_run_when_it_is_quiet(world: World) -> None:
    world.pass_time(10)
    for task in (1, 2, 3):
        world.books.submit(task, world.now)
        world.heard()
        world.pass_time(30)
    assert world.runs == [], "not quiet for 60 s yet"
    world.pass_time(60)
    assert world.runs == ["3 tasks were submitted since the last run"] and not world.pending()
    assert "Project 3: 3 tasks were submitted since the last run, so a training is queued." in told(world)
    world.books.submit(4, world.now)
    world.pass_time(3600)
    assert len(world.runs) == 1 and world.pending() == {4}


def test_without_any_webhook_the_run_begins_all_the_same(world: World) -> None:
    for task in (1, 2, 3):
        world.books.submit(task, world.now)
    world.pass_time(400)
    assert len(world.runs) == 1


def test_webhooks_about_nothing_begin_no_run(world: World) -> None:
    for _ in range(100):
        world.heard()
        world.heard("TASKS_CREATED")
        world.pass_time(1)
    assert world.runs == []
    assert world.books.listed <= 2 + 100 / 5, "each look lists all tasks, so they are not as many as webhooks"


def test_people_who_never_pause_do_not_put_it_off_for_ever(world: World) -> None:
    for task in range(1, 60):
        world.books.submit(task, world.now)
        world.heard()
        world.pass_time(20)
    assert 1 <= len(world.runs) <= 3


def test_only_submitted_work_counts(world: World) -> None:
    for task in (1, 2, 3, 4):
        world.books.predict(task, world.now)
        world.books.submit(task, world.now, skipped=True)
    world.pass_time(400)
    assert world.pending() == set() and world.runs == []


def test_predictions_that_arrive_after_a_run_are_no_corrections(world: World) -> None:
    for task in (1, 2, 3):
        world.books.submit(task, world.now)
    world.pass_time(400)
    for task in (1, 2, 3):
        world.books.predict(task, world.now)
    world.pass_time(1000)
    assert len(world.runs) == 1
    assert world.books.looked_into == [1, 2, 3], "each is looked into once, not at every look"
    for task in (1, 2, 3):
        world.books.submit(task, world.now, again=True)
    world.pass_time(400)
    assert len(world.runs) == 2


def test_a_task_deleted_meanwhile_counts_no_more(world: World) -> None:
    for task in (1, 2, 3):
        world.books.submit(task, world.now)
    del world.books.touched[2]
    world.pass_time(400)
    assert world.runs == [] and world.pending() == {1, 3}


def test_a_failing_run_is_not_asked_for_again_and_again(world: World) -> None:
    for task in (1, 2, 3):
        world.books.submit(task, world.now)
    world.now += 400
    world.poller.step()
    (row,) = world.ledger.jobs()
    world.ledger.start(row.id, 0, "w")
    world.ledger.fail(row.id, 0, "no space left")  # before it left marks of its own
    world.pass_time(10_000)
    assert len(world.runs) == 1


def test_an_earlier_run_that_is_tried_again_is_under_way(world: World) -> None:
    for wish in ("first", "second"):
        row = world.triggers.ask(PROJECT, wish)
        world.ledger.start(row.id, 0, "w")
        world.ledger.fail(row.id, 0, "no space left")
    first = world.ledger.project_jobs(IMPROVE, PROJECT)[1]
    world.ledger.requeue(first.id)
    for task in (1, 2, 3):
        world.books.submit(task, world.now)
    world.now += 400
    world.poller.step()
    assert read_marks(world.folder).job == "", "nobody asked, so nobody left marks"
    assert [row.state for row in world.ledger.project_jobs(IMPROVE, PROJECT)] == ["failed", "queued"]


def test_a_run_that_begins_again_keeps_its_marks(world: World) -> None:
    world.books.submit(1, world.now)
    first = leave_marks(world.folder, world.books, "job", is_begun=True)
    world.books.submit(2, world.now)
    assert leave_marks(world.folder, world.books, "job", is_begun=True) == first
    assert read_marks(world.folder) == first and world.pending() == {2}
    leave_marks(world.folder, world.books, "job", is_begun=False)  # whoever asked comes too late
    assert read_marks(world.folder) == first


@pytest.mark.parametrize(
    "text", ["", "[]", '{"tasks": 7}', '{"tasks": {"x": 1}}', '{"tasks": {"1": "soon"}}']
)
def test_spoilt_marks_count_as_none(world: World, text: str) -> None:
    world.books.submit(1, world.now)
    (world.folder.path / "seen.json").write_text(text)
    assert world.pending() == {1}


def test_the_schedule_takes_what_little_there_is(tmp_path: Path) -> None:
    world = World(Policy(every_h=2, debounce_s=60), tmp_path)
    world.books.submit(1, world.now)
    world.pass_time(400)
    assert world.runs == ["2 hours are over and 1 task was submitted since the last run"]
    world.pass_time(3 * 3600)
    assert len(world.runs) == 1, "nothing new, so nothing to learn"
    world.close()


def test_trouble_is_told_once_and_tried_again(world: World) -> None:
    for task in (1, 2, 3):
        world.books.submit(task, world.now)
    right = world.triggers.enqueue

    def nobody(wish: ImproveRequest) -> JobRow:
        raise NoWorker("no worker listens to the queue 'train'")

    world.triggers.enqueue = nobody
    world.pass_time(2000)
    assert told(world).count("no worker listens") == 1
    world.triggers.enqueue = right
    world.pass_time(400)
    assert len(world.runs) == 1


def test_label_studio_down_is_waited_for(world: World) -> None:
    for task in (1, 2, 3):
        world.books.submit(task, world.now)
    right = world.books.tasks

    def down(project_id: int) -> Iterator[dict[str, object]]:
        raise LabelStudioDown("Label Studio does not answer")

    world.books.tasks = down  # type: ignore[method-assign]
    world.pass_time(1000)
    world.books.tasks = right  # type: ignore[method-assign]
    world.pass_time(400)
    assert len(world.runs) == 1


def test_a_spoilt_policy_begins_nothing_and_is_told(world: World) -> None:
    for task in (1, 2, 3):
        world.books.submit(task, world.now)
    world.folder.policy_path.write_text("{")
    world.pass_time(1000)
    assert world.runs == [] and told(world).count("policy.json: no policy") == 1


def test_start_training_asks_for_one_run_however_often_it_is_pressed(world: World) -> None:
    world.folder.save_policy(Policy())
    for _ in range(3):
        world.heard("START_TRAINING")
    world.poller.step()
    assert world.runs == ["Start training was pressed in Label Studio"]
    assert (
        "Start training was pressed: project 3 is queued for training; its page shows how far it is."
        in told(world)
    )


def test_start_training_that_cannot_begin_is_told(world: World) -> None:
    def nobody(wish: ImproveRequest) -> JobRow:
        raise NoWorker("no worker listens to the queue 'train'")

    world.triggers.enqueue = nobody
    world.heard("START_TRAINING")
    world.poller.step()
    assert "but nothing began: no worker listens to the queue 'train'." in told(world)


def test_the_thread_looks_when_it_is_woken_and_ends(tmp_path: Path) -> None:
    world = World(Policy(), tmp_path)
    asked = threading.Event()
    right = world.triggers.enqueue

    def enqueue(wish: ImproveRequest) -> JobRow:
        asked.set()
        return right(wish)

    world.triggers.enqueue = enqueue
    thread = world.poller.start()
    world.heard("START_TRAINING")
    assert asked.wait(10)
    world.poller.end()
    thread.join(10)
    assert not thread.is_alive()
    world.close()


# What webhooks do to a delivery: order, doubles and gaps. The truth is what Label Studio's tasks say.

BURSTS = st.lists(
    st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=6), min_size=1, max_size=4
)
HEARD = st.lists(
    st.sampled_from(["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED"]), max_size=8
)


def played(bursts: list[list[tuple[int, bool]]], heard: Iterator[list[str]], every_s: float = 300.0) -> World:
    """Work comes in bursts, twenty minutes apart; in and after each some deliveries arrive, or none."""
    world = World(THREE, every_s=every_s)
    for burst in bursts:
        for task, again in burst:
            for action in next(heard):
                world.heard(action)
            world.books.submit(task, world.now, again=again)
            world.pass_time(5)
        for action in next(heard):
            world.heard(action)
        world.pass_time(1200)
    return world


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BURSTS, st.lists(HEARD, min_size=1, max_size=30))
def test_lost_doubled_and_late_webhooks_lead_to_the_same_state(
    bursts: list[list[tuple[int, bool]]], deliveries: list[list[str]]
) -> None:
    silent = played(bursts, itertools.repeat([]))
    faithful = played(bursts, itertools.repeat(["ANNOTATION_CREATED"]))
    any_how = played(bursts, itertools.cycle(deliveries))
    try:
        assert silent.state() == faithful.state() == any_how.state()
        assert len(silent.pending()) < 3
    finally:
        for world in (silent, faithful, any_how):
            world.close()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.integers(1, 8),
            st.sampled_from(["submit", "again", "skip", "predict", "delete"]),
            st.floats(0, 400),
            HEARD,
        ),
        max_size=25,
    )
)
def test_whatever_happens_when_nothing_is_forgotten_and_nothing_runs_for_nothing(
    story: list[tuple[int, str, float, list[str]]],
) -> None:
    world = World(THREE)
    try:
        for task, what, pause_s, heard in story:
            if what == "predict":
                world.books.predict(task, world.now)
            elif what == "delete":
                world.books.touched.pop(task, None)
                world.books.annotations_of.pop(task, None)
            else:
                world.books.submit(task, world.now, again=what == "again", skipped=what == "skip")
            for action in heard:
                world.heard(action)
            world.pass_time(pause_s)
        world.pass_time(3600)
        assert len(world.pending()) < 3, "enough new work, and quiet, but no run"
        submissions = sum(what in ("submit", "again") for _, what, _, _ in story)
        assert len(world.runs) <= submissions // 3, "a run without three new tasks"
    finally:
        world.close()


def told(world: World) -> str:
    return "\n".join(notice.text for notice in world.notices.recent(100))


def test_the_world_of_these_tests_is_in_order(world: World) -> None:
    world.books.submit(1, BEGUN)
    assert world.pending() == {1} and world.triggers.projects() == [PROJECT]
