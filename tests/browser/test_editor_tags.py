"""Tags in the real editor with real networks: tick, Make masks, correct, submit, read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from backends.core.masks import iou
from backends.core.types import Mask
from backends.labelstudio.label_config import MAKE_MASKS, LabelConfig
from backends.labelstudio.regions import read_masks, unite
from backends.labelstudio.tags import read_tags
from backends.registry import Registry
from pipelines.browser.annotator import middle, paint
from pipelines.browser.editor import Editor
from tests.browser.conftest import EVIDENCE, EditorOpener
from tests.editor_house import SIZE_HW, EditorHouse, truth, write_frames
from tests.knowing_bundle import KNOWN, write_knowing_bundle
from tests.up_process import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.labelstudio]

PATIENCE_MS = 120_000


@dataclass(frozen=True)
class TagHouse:
    """A project of six pictures made by ``maskloop project``, and weights that know their shapes."""

    house: EditorHouse
    project_id: int
    config: LabelConfig
    tasks: list[int]
    version: str

    def masks(self, result: list[dict[str, Any]]) -> dict[str, Mask]:
        regions, refusals = read_masks(result, self.config, 1, SIZE_HW)
        assert refusals == []
        return {name: mask for (name, _), mask in unite(regions).items()}


@pytest.fixture(scope="module")
def tags(editor_house: EditorHouse, tmp_path_factory: pytest.TempPathFactory) -> TagHouse:
    assert editor_house.project  # the clips' project is looked up while it is the only one
    folder = tmp_path_factory.mktemp("tags")
    registry = Registry(editor_house.settings.models_dir)
    served = registry.add("weak_shot", write_knowing_bundle(folder / "w.safetensors"))
    registry.promote("weak_shot", served.version)
    photos = write_frames(folder / "photos")
    made = editor_house.up.run(
        *("project", "weak_shot", "--images", str(photos), "--labels", ",".join(KNOWN), "--title", "Animals")
    )
    assert made.returncode == 0, made.stderr
    assert "6 photos added, 6 in all" in made.stdout
    client = editor_house.client
    [project] = [one for one in client.projects() if one["title"] == "Animals"]
    tasks = sorted(int(task["id"]) for task in client.tasks(project["id"]))
    config = LabelConfig.parse(project["label_config"])
    return TagHouse(editor_house, int(project["id"]), config, tasks, served.version)


@pytest.fixture
def editor(tags: TagHouse, open_editor: EditorOpener) -> Iterator[Editor]:
    """For pictures with tags."""
    with open_editor(tags.config) as editor:
        yield editor


def shape(name: str, index: int) -> Mask:
    """The true mask of a class in a picture."""
    return truth(index) == KNOWN.index(name) + 1


def press_make_masks(editor: Editor, tags: TagHouse) -> list[dict[str, Any]]:
    """The command, clicked beside all shapes. Returns the answered regions."""
    assert tags.config.point is not None
    editor.choose_smart(tags.config.point, MAKE_MASKS)
    return editor.ctrl_click(20, 20)


def test_tick_make_masks_correct_submit_and_read_back(editor: Editor, tags: TagHouse) -> None:
    task = tags.tasks[0]
    editor.open(tags.project_id, task)
    editor.switch_on_auto()
    editor.tick("dog", "cat")
    assert {item["id"] for item in press_make_masks(editor, tags)} == {"dog_f0000", "cat_f0000"}
    made = tags.masks(editor.result())
    assert set(made) == {"dog", "cat"}
    assert all(iou(made[name], shape(name, 0)) > 0.6 for name in made)
    kinds = [region.kind for region in editor.regions()]
    assert kinds.count("brushregion") == 2 and "keypointregion" not in kinds, "no click point stays behind"
    editor.screenshot(EVIDENCE / "tags" / "made.png")

    editor.pick(*middle(made["dog"]))
    editor.page.keyboard.press("e")
    editor.set_brush(16)
    x, y = middle(shape("dog", 0))
    editor.drag(((x - 40, y - 30), (x + 40, y - 30)))
    editor.let_go()
    corrected = tags.masks(editor.result())
    assert corrected["dog"].sum() < made["dog"].sum()
    assert np.array_equal(corrected["cat"], made["cat"])

    again = press_make_masks(editor, tags)
    assert "dog_f0000" not in {item["id"] for item in again}, "a corrected mask is not overwritten"
    assert np.array_equal(tags.masks(editor.result())["dog"], corrected["dog"])

    editor.submit()
    editor.screenshot(EVIDENCE / "tags" / "submitted.png")
    [annotation] = tags.house.client.annotations(task)
    saved = tags.masks(annotation["result"])
    assert np.array_equal(saved["dog"], corrected["dog"])
    assert set(saved) == {"dog", "cat"}
    assert read_tags(annotation["result"], tags.config).names == ("dog", "cat")


def test_a_smart_box_says_where(editor: Editor, tags: TagHouse) -> None:
    editor.open(tags.project_id, tags.tasks[1])
    editor.switch_on_auto()
    assert tags.config.box is not None
    editor.choose_smart(tags.config.box, "cat")
    rows, columns = np.nonzero(shape("cat", 1))
    corners = (columns.min() - 6.0, rows.min() - 6.0), (columns.max() + 6.0, rows.max() + 6.0)
    [region] = editor.smart_drag(corners)
    [(name, mask)] = tags.masks(editor.result()).items()
    assert name == "cat" and region["value"]["brushlabels"] == ["cat"]
    found_rows, found_columns = np.nonzero(mask)
    assert corners[0][0] - 1 <= found_columns.min() <= found_columns.max() <= corners[1][0] + 1
    assert corners[0][1] - 1 <= found_rows.min() <= found_rows.max() <= corners[1][1] + 1
    assert iou(mask, shape("cat", 1)) > 0.5


def test_a_hand_drawn_mask_stays_as_it_is(editor: Editor, tags: TagHouse) -> None:
    editor.open(tags.project_id, tags.tasks[2])
    editor.switch_on_auto()
    paint(editor, tags.config, "dog", shape("dog", 2))
    mine = tags.masks(editor.result())["dog"]
    editor.tick("dog", "cat")
    assert [item["id"] for item in press_make_masks(editor, tags)] == ["cat_f0000"]
    after = tags.masks(editor.result())
    assert np.array_equal(after["dog"], mine) and not (after["cat"] & mine).any()


def test_without_a_tag_the_console_says_what_to_do(editor: Editor, tags: TagHouse) -> None:
    task = tags.tasks[3]
    editor.open(tags.project_id, task)
    editor.switch_on_auto()
    editor.tick()
    assert press_make_masks(editor, tags) == []
    page = editor.page
    page.goto(tags.house.console_link)
    told = page.locator("#notices li", has_text=f"Task {task}").first
    told.wait_for(timeout=PATIENCE_MS)
    assert "no tag is ticked" in told.inner_text().lower()


def test_the_button_makes_predictions_that_open_as_editable_masks(editor: Editor, tags: TagHouse) -> None:
    client = tags.house.client
    data = dict(client.task(tags.tasks[4])["data"])
    task, absent = client.import_tasks(
        tags.project_id, [{"data": {**data, "tags": ["dog", "cat"]}}, {"data": {**data, "tags": ["sheep"]}}]
    )
    page = editor.page
    page.goto(tags.house.console_link)
    row = page.locator("#tag-projects tr", has_text="Animals")
    row.get_by_role("button", name="Make masks").click(timeout=PATIENCE_MS)
    wait_until(
        lambda: bool(client.predictions(task) and client.predictions(absent)),
        120,
        lambda: page.inner_text("body"),
    )
    [prediction] = client.predictions(task)
    assert prediction["model_version"] == tags.version
    assert prediction["score"] > client.predictions(absent)[0]["score"], "what is not there is low trust"
    page.reload()
    first = page.locator("#review tbody tr").first
    first.wait_for(timeout=PATIENCE_MS)
    assert f"task {absent}" in first.inner_text(), "the doubtful picture comes first"
    page.screenshot(path=EVIDENCE / "tags" / "console.png", full_page=True)

    editor.open(tags.project_id, task)
    masks = tags.masks(editor.result())
    assert set(masks) == {"dog", "cat"}
    editor.pick(*middle(masks["dog"]))
    editor.page.keyboard.press("b")
    editor.set_brush(16)
    x, y = middle(shape("dog", 4))
    editor.drag(((x - 60, y), (x + 60, y)))
    editor.let_go()
    editor.screenshot(EVIDENCE / "tags" / "opened.png")
    editor.submit()
    [annotation] = client.annotations(task)
    saved = tags.masks(annotation["result"])
    assert saved["dog"].sum() > masks["dog"].sum() and np.array_equal(saved["cat"], masks["cat"])
    assert read_tags(annotation["result"], tags.config).names == ("dog", "cat")


def test_submitted_tags_become_a_prediction_that_can_be_copied(editor: Editor, tags: TagHouse) -> None:
    client = tags.house.client
    data = dict(client.task(tags.tasks[5])["data"])
    [task] = client.import_tasks(tags.project_id, [{"data": data}])
    editor.open(tags.project_id, task)
    editor.tick("cat", "dog")
    editor.submit()
    client.connection.post(
        "/api/dm/actions",
        {"selectedItems": {"all": False, "included": [task]}},
        {"id": "retrieve_tasks_predictions", "project": tags.project_id},
    )
    wait_until(lambda: bool(client.predictions(task)), 120, lambda: str(tags.house.jobs(task)))
    told = tags.house.up.run("make-masks", "Animals", "--wait")
    assert told.returncode == 0 and f"{task:>6}" in told.stdout, told.stderr
    [prediction] = client.predictions(task)

    editor.open(tags.project_id, task)
    page = editor.page
    tab = page.locator(
        ".lsf-annotation-button", has=page.locator(".lsf-annotation-button__userpic_prediction")
    )
    tab.click()
    tab.hover()
    tab.locator(".lsf-annotation-button__trigger").click()
    page.get_by_text("Duplicate Annotation", exact=True).click()
    page.wait_for_function("() => window.Htx.annotationStore.selected.editable")
    masks = tags.masks(editor.result())
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        name: int(mask.sum()) for name, mask in tags.masks(prediction["result"]).items()
    }
    editor.submit()
    assert len(client.annotations(task)) == 2
    newest = max(client.annotations(task), key=lambda annotation: int(annotation["id"]))
    assert set(tags.masks(newest["result"])) == {"dog", "cat"}
    assert read_tags(newest["result"], tags.config).names == ("dog", "cat")
