"""Whole scenes in the real editor with real weights: predicted by the queue, seen, corrected, read back."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from playwright.sync_api import Page

from backends.core.types import Mask
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import anchors, read_masks, region_id
from backends.registry import Registry
from pipelines.browser.annotator import middle
from pipelines.browser.editor import Editor
from pipelines.export.layouts import WholeScenes
from pipelines.export.project import work_of
from pipelines.tag_project.clips import REGIONS
from tests.browser.conftest import EVIDENCE, EditorOpener
from tests.editor_house import SIZE_HW, EditorHouse
from tests.knowing_scene import near_only, write_knowing_scene
from tests.street import CAR, CLASSES, GLARE, N_FRAMES, labels_of, picture_of, write_street
from tests.up_process import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.labelstudio]

PATIENCE_MS = 120_000
Place = tuple[str, int]


@dataclass(frozen=True)
class SceneHouse:
    """A project of one street made by ``maskloop project``, its clip predicted through the queue."""

    house: EditorHouse
    project_id: int
    config: LabelConfig
    task: int
    version: str

    def masks(self, result: list[dict[str, Any]]) -> dict[Place, Mask]:
        """(class, frame) -> mask; one region each, under its stable id."""
        regions, refusals = read_masks(result, self.config, N_FRAMES, SIZE_HW)
        assert refusals == []
        assert {region.id for region in regions} == {region_id(r.object_id, r.frame_index) for r in regions}
        return {(region.object_id, region.frame_index): region.mask for region in regions}

    @property
    def job(self) -> str:
        return self.house.jobs(self.task)[0].id


@pytest.fixture(scope="module")
def scenes(editor_house: EditorHouse, tmp_path_factory: pytest.TempPathFactory) -> SceneHouse:
    assert editor_house.project  # the clips' project is looked up while it is the only one
    folder = tmp_path_factory.mktemp("scenes")
    known = [(picture_of(index), labels_of(index)) for index in range(N_FRAMES) if index != GLARE]
    weights = write_knowing_scene(folder / "w.safetensors", known, CLASSES, near_only, past=0.008)
    registry = Registry(editor_house.settings.models_dir)
    served = registry.add("video_semantic", weights)
    registry.promote("video_semantic", served.version)
    street = write_street(folder / "street")
    made = editor_house.up.run(
        *("project", "video_semantic", "--frames", str(street), "--labels", ",".join(CLASSES)),
        *("--title", "Streets"),
    )
    assert made.returncode == 0, made.stderr
    client = editor_house.client
    [project] = [one for one in client.projects() if one["title"] == "Streets"]
    [task] = [int(task["id"]) for task in client.tasks(project["id"])]
    client.connection.post(
        "/api/dm/actions",
        {"selectedItems": {"all": False, "included": [task]}},
        {"id": "retrieve_tasks_predictions", "project": project["id"]},
    )
    wait_until(lambda: bool(client.predictions(task)), 120, lambda: str(editor_house.jobs(task)))
    config = LabelConfig.parse(project["label_config"])
    return SceneHouse(editor_house, int(project["id"]), config, task, served.version)


@pytest.fixture
def editor(scenes: SceneHouse, open_editor: EditorOpener) -> Iterator[Editor]:
    """For whole scenes."""
    with open_editor(scenes.config) as editor:
        yield editor


def open_clip_page(page: Page, scenes: SceneHouse) -> None:
    """From the console's list to the clip, once its figures are there."""
    page.goto(scenes.house.console_link)
    row = page.locator("#clips tr", has_text=f"task {scenes.task}")
    row.locator("td", has_text="%").wait_for(timeout=PATIENCE_MS)
    row.get_by_role("link", name="Look at clip").click()
    page.locator("#strip .cell").first.wait_for(timeout=PATIENCE_MS)


def shown(page: Page, frame: int) -> NDArray[np.int_]:
    """What the player shows of the clip's frame, (240, 426, 3) RGB, once it is that frame."""
    page.wait_for_function("(n) => document.getElementById('canvas').dataset.frame === String(n)", arg=frame)
    url: str = page.evaluate("() => document.getElementById('canvas').toDataURL()")
    picture = Pillow.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert picture.size == SIZE_HW[::-1]
    return np.asarray(picture.convert("RGB"), np.int_)


def test_the_clip_page_plays_the_labels_and_shows_where_they_flicker(
    editor: Editor, scenes: SceneHouse
) -> None:
    page = editor.page
    open_clip_page(page, scenes)
    assert page.locator("#strip .cell").count() == (1 + len(CLASSES)) * N_FRAMES
    first = page.locator("#eyes li").first
    assert f"Page {GLARE + 1}" in first.inner_text() and "car 0" in first.inner_text()
    figures = scenes.house.ledger.clip_figures(scenes.job)
    assert figures is not None and figures.mean is not None
    assert f"{100 * figures.mean:.0f} % over the clip" in page.inner_text("#share")

    plain, labelled = picture_of(0).astype(np.int_), shown(page, 0)
    assert np.abs(labelled - plain).mean() > 25
    page.fill("#opacity", "0")
    page.wait_for_function("() => document.getElementById('opacity').value === '0'")
    assert np.abs(shown(page, 0) - plain).mean() < 6, "the frame itself, but for its JPEG"
    page.fill("#opacity", "100")
    frame = scenes.house.ledger.frame(scenes.job, 0)
    assert frame is not None
    solid = shown(page, 0)
    for mask in frame.masks.values():
        assert (solid[mask] == solid[mask][0]).all(), "one colour for one label, to the pixel"
    page.fill("#opacity", "55")

    page.click("#play")
    shown(page, 2)
    page.click("#play")
    assert page.inner_text("#play") == "Play"
    first.get_by_role("button", name="Show").click()
    shown(page, GLARE)
    strip = page.get_by_role("slider", name="Frame, with its agreement")
    assert strip.get_attribute("aria-valuenow") == str(GLARE + 1)
    page.screenshot(path=EVIDENCE / "scenes" / "clip.png", full_page=True)
    strip.focus()
    page.keyboard.press("ArrowLeft")
    shown(page, GLARE - 1)
    assert f"page {GLARE}: all labels" in (strip.get_attribute("aria-valuetext") or "")
    box = page.locator("#strip .cell").nth(2 * (1 + len(CLASSES))).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 8, box["y"] + 8)
    assert page.inner_text("#readout").startswith("Page 3")
    page.mouse.click(box["x"] + 8, box["y"] + 8)
    shown(page, 2)
    assert page.locator("#numbers tr").count() == N_FRAMES + 2, "the numbers behind it, as a table"


def test_a_class_is_corrected_on_the_frame_that_needs_eyes_and_only_that_is_a_persons(
    editor: Editor, scenes: SceneHouse
) -> None:
    open_clip_page(editor.page, scenes)
    with editor.page.expect_popup() as opened:
        editor.page.locator("#eyes li").first.get_by_role("link", name="Edit").click()
    there = Editor(opened.value, scenes.house.settings.label_studio_url, scenes.config, SIZE_HW)
    there.wait_until_open()
    predicted = scenes.masks(there.result())
    [prediction] = scenes.house.client.predictions(scenes.task)
    assert prediction["model_version"] == scenes.version and len(prediction["result"]) <= REGIONS
    said = scenes.masks(prediction["result"])
    assert predicted.keys() == said.keys()
    for index in range(N_FRAMES):
        kept = scenes.house.ledger.frame(scenes.job, index)
        assert kept is not None
        on_frame = {name: mask for (name, at), mask in predicted.items() if at == index}
        assert on_frame.keys() == {name for name, mask in kept.masks.items() if mask.any()}
        assert all(np.array_equal(mask, kept.masks[name]) for name, mask in on_frame.items())
        assert (sum(mask.astype(int) for mask in on_frame.values()) == 1).all(), "a class for every pixel"

    there.type_page(GLARE)
    wrong = predicted["building", GLARE] & (labels_of(GLARE) == CAR)
    x, y = middle(wrong)
    there.pick(x, y)
    there.page.keyboard.press("e")
    there.set_brush(16)
    there.drag(((x - 30, y), (x + 30, y)))
    there.let_go()
    corrected = scenes.masks(there.result())
    there.screenshot(EVIDENCE / "scenes" / "corrected.png")
    assert corrected["building", GLARE].sum() < predicted["building", GLARE].sum()
    there.submit()

    [annotation] = scenes.house.client.annotations(scenes.task)
    saved = scenes.masks(annotation["result"])
    assert saved.keys() == predicted.keys(), "region ids are stable"
    for place, mask in saved.items():
        assert np.array_equal(mask, corrected[place]), f"{place} is saved as it was shown"
        assert np.array_equal(mask, predicted[place]) == (place != ("building", GLARE)), place
    only_a_persons(scenes, annotation["result"])
    page = editor.page
    page.goto(scenes.house.console_link)
    page.locator("#clips tr", has_text="saved").wait_for(timeout=PATIENCE_MS)
    page.screenshot(path=EVIDENCE / "scenes" / "board.png", full_page=True)


def only_a_persons(scenes: SceneHouse, result: list[dict[str, Any]]) -> None:
    """What was corrected is a person's work, by the digests and by what a snapshot would teach."""
    regions, _ = read_masks(result, scenes.config, N_FRAMES, SIZE_HW)
    changed = anchors(regions, scenes.house.ledger.machine_digests(scenes.task))
    assert [(prompt.object_id, prompt.frame_index) for prompt in changed] == [("building", GLARE)]
    work = work_of(scenes.project_id, scenes.house.settings)
    [clip] = work.clips
    [opinion] = clip.work.opinions
    theirs = {(m.label, m.frame_index): m for m in opinion.masks if m.origin != "accepted"}
    assert list(theirs) == [("building", GLARE)]
    found = theirs["building", GLARE]
    assert found.origin == "corrected" and found.proposed_by == scenes.version
    assert found.proposed_iou is not None and 0.5 < found.proposed_iou < 1.0
    assert WholeScenes(work.labels).labelled(clip) == (GLARE,)
