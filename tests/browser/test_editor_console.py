"""The console beside the editor: it says what the editor does not, and its button does the same work."""

from __future__ import annotations

import pytest

from backends.labelstudio.label_config import PROPAGATE
from backends.queues import workers_alive
from pipelines.browser.annotator import middle, paint, propagate
from pipelines.browser.editor import Editor
from tests.editor_house import N_FRAMES, OBJECTS, EditorHouse, mask_of
from tests.up_process import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.labelstudio]

PATIENCE_MS = 120_000


def test_the_link_logs_in_and_a_job_is_shown_done(editor: Editor, editor_house: EditorHouse) -> None:
    task = editor_house.new_task()
    editor.open(editor_house.project["id"], task)
    editor.switch_on_auto()
    paint(editor, editor_house.config, OBJECTS[0], mask_of(OBJECTS[0], 0))
    propagate(editor, editor_house.config, mask_of(OBJECTS[0], 0), N_FRAMES)
    page = editor.page
    page.goto(editor_house.console_link)
    assert "key=" not in page.url, "the key does not stay in the address"
    row = page.locator("#jobs tr", has_text=f"task {task}").first
    row.locator(".state.done").wait_for(timeout=PATIENCE_MS)
    assert f"{N_FRAMES} of {N_FRAMES} frames" in row.inner_text()
    assert "1 worker ready" in page.locator("#facts").inner_text()


def test_the_propagate_button_makes_a_prediction(editor: Editor, editor_house: EditorHouse) -> None:
    task = editor_house.new_task()
    editor.open(editor_house.project["id"], task)
    paint(editor, editor_house.config, OBJECTS[0], mask_of(OBJECTS[0], 0))
    editor.submit()
    page = editor.page
    page.goto(editor_house.console_link)
    row = page.locator("#tasks tr", has_text=f"task {task}")
    row.get_by_role("button", name="Propagate").click(timeout=PATIENCE_MS)
    client = editor_house.client
    wait_until(lambda: bool(client.predictions(task)), 120, lambda: page.inner_text("body"))
    [prediction] = client.predictions(task)
    masks = editor_house.masks(prediction["result"])
    assert {index for _, index in masks} >= set(range(1, N_FRAMES))
    assert prediction["model_version"] == editor_house.jobs(task)[0].model_version


def test_without_a_worker_the_console_says_so(editor: Editor, editor_house: EditorHouse) -> None:
    task = editor_house.new_task()
    editor.open(editor_house.project["id"], task)
    editor.switch_on_auto()
    paint(editor, editor_house.config, OBJECTS[0], mask_of(OBJECTS[0], 0))
    assert editor_house.config.point is not None
    editor.choose_smart(editor_house.config.point, PROPAGATE)
    with editor_house.no_worker():
        wait_until(lambda: not workers_alive(editor_house.ledger), 60, lambda: "alive")
        assert editor.ctrl_click(*middle(mask_of(OBJECTS[0], 0))) == []
    assert [region.frame for region in editor.regions() if region.kind == "brushregion"] == [0]
    page = editor.page
    page.goto(editor_house.console_link)
    told = page.locator("#notices li", has_text=f"Task {task}")
    told.first.wait_for(timeout=PATIENCE_MS)
    assert "no worker listens" in told.first.inner_text().lower()
    ready = page.locator("#facts", has_text="1 worker ready")
    ready.wait_for(timeout=PATIENCE_MS)  # the supervisor brings it back: the other tests need it
