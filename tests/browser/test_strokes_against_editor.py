"""What we read out of a draft is what the editor makes of the same strokes on Submit."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from backends.core.masks import iou
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import Region, read_masks
from tests.label_studio import LabelStudioServer

pytestmark = [pytest.mark.browser, pytest.mark.labelstudio]

XML = (Path(__file__).resolve().parents[2] / "labelstudio_config" / "video_object.xml").read_text()
CONFIG = LabelConfig.parse(XML)
SIZE_HW = (240, 426)


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of headless Chromium, large enough that the editor shows the whole frame."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if binary is None:
        reason = "no chromium on PATH: apt-get install chromium"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=binary,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
        )
        yield browser.new_page(viewport={"width": 1500, "height": 950})
        browser.close()


@pytest.fixture
def client(label_studio: LabelStudioServer) -> LabelStudioClient:
    return LabelStudioClient(label_studio.url, label_studio.token)


@pytest.fixture
def opened(page: Page, client: LabelStudioClient, label_studio: LabelStudioServer) -> int:
    """A task of two frames, open in the editor; its id."""
    folder = label_studio.media_root / "strokes" / "clip"
    folder.mkdir(parents=True)
    for index in range(2):
        Image.new("RGB", SIZE_HW[::-1], (60, 90, 120 * index)).save(folder / f"{index}.png")
    project = int(client.create_project("strokes", XML)["id"])
    client.put_local_storage(project, str(folder.parent))
    frames = [f"/data/local-files/?d=strokes/clip/{i}.png" for i in range(2)]
    [task] = client.import_tasks(project, [{"data": {"frames": frames}}])
    page.goto(f"{label_studio.url}/user/login/")
    page.fill("input[name=email]", label_studio.username)
    page.fill("input[name=password]", label_studio.password)
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: "/login" not in url, timeout=60_000, wait_until="commit")
    page.goto(f"{label_studio.url}/projects/{project}/data?task={task}")
    page.wait_for_function(
        "() => window.Htx?.annotationStore?.selected?.objects[0]?.stageWidth > 100", timeout=60_000
    )
    page.wait_for_selector("canvas", timeout=60_000)
    return task


def drag(page: Page, *percent: tuple[float, float]) -> None:
    """Press at the first point, move through the others, let go; in percent of the frame."""
    box = page.locator("canvas").first.bounding_box()
    assert box is not None
    image = "Htx.annotationStore.selected.objects[0]"
    width, height = page.evaluate(f"() => [{image}.stageWidth, {image}.stageHeight]")
    points = [(box["x"] + x / 100 * width, box["y"] + y / 100 * height) for x, y in percent]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()


def until(condition: Callable[[], Any], what: str, limit_s: float = 60) -> Any:
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {limit_s:g} s for {what}"
        time.sleep(0.2)
    return found


def touches(draft: Any) -> list[str]:
    return [t["type"] for item in draft.result for t in item["value"].get("touches", [])]


def one_region(result: Any) -> Region:
    [region], refused = read_masks(result, CONFIG, 2, SIZE_HW)
    assert refused == [] and (region.object_id, region.frame_index) == ("object 1", 0)
    return region


def test_a_draft_is_read_as_the_editor_saves_it(page: Page, client: LabelStudioClient, opened: int) -> None:
    page.locator(".lsf-label").first.click()
    drag(page, (20, 30), (60, 40), (50, 70))
    page.wait_for_function("() => Htx.annotationStore.selected.areas.size === 1")
    drag(page, (70, 60), (75, 65))
    page.keyboard.press("e")
    drag(page, (30, 20), (35, 60))
    draft = until(
        lambda: next((d for d in client.drafts(opened) if touches(d) == ["add", "add", "eraser"]), None),
        "the draft with all strokes",
    )
    drawn = one_region(draft.result)
    page.locator("button:has-text('Submit')").click()
    [annotation] = until(lambda: client.annotations(opened), "the annotation")
    saved = one_region(annotation["result"])
    assert saved.mask.sum() > 500
    assert iou(drawn.mask, saved.mask) > 0.97
