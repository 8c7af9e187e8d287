"""An annotator's work in the real editor with the real network: masks come, stay and change as wanted."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from backends.core.masks import iou
from backends.labelstudio.label_config import Control
from backends.labelstudio.regions import region_id
from pipelines.browser.annotator import middle, missing_frames, paint, propagate
from pipelines.browser.editor import Editor
from tests.editor_house import N_FRAMES, OBJECTS, EditorHouse, frame_picture, mask_of

pytestmark = [pytest.mark.browser, pytest.mark.labelstudio]

Interactions = list[dict[str, Any]]


def open_new(editor: Editor, house: EditorHouse) -> int:
    """A new task, open and ready for smart gestures."""
    task = house.new_task()
    editor.open(house.project["id"], task)
    editor.switch_on_auto()
    return task


def paint_both(editor: Editor, house: EditorHouse) -> None:
    for name in OBJECTS:
        paint(editor, house.config, name, mask_of(name, 0))


def propagate_all(editor: Editor, house: EditorHouse) -> None:
    """On the frame that is shown, by its first object."""
    propagate(editor, house.config, mask_of(OBJECTS[0], editor.frame()), N_FRAMES)
    assert missing_frames(editor, N_FRAMES) == []


def smart(house: EditorHouse, kind: str) -> Control:
    control = house.config.point if kind == "point" else house.config.box
    assert control is not None
    return control


def ids(editor: Editor) -> list[str]:
    return sorted(region.id for region in editor.regions())


def screen_colours(editor: Editor, points: list[tuple[float, float]]) -> NDArray[np.int_]:
    """What a person sees at these places of the frame, (n, 3) RGB."""
    picture = np.asarray(Pillow.open(io.BytesIO(editor.page.screenshot())).convert("RGB"), np.int_)
    places = [editor.place(point) for point in points]
    return np.stack([picture[round(y), round(x)] for x, y in places])


def test_painted_masks_reach_every_frame_and_are_saved_as_shown(
    editor: Editor, editor_house: EditorHouse
) -> None:
    task = open_new(editor, editor_house)
    asked: list[str] = []
    editor.page.on(
        "request", lambda r: asked.append(r.post_data or "") if "/interactive-annotating" in r.url else None
    )
    paint_both(editor, editor_house)
    painted = editor_house.masks(editor.result())
    painted_ids = ids(editor)
    propagate_all(editor, editor_house)

    shown = editor_house.masks(editor.result())
    assert set(shown) == {(name, index) for name in OBJECTS for index in range(N_FRAMES)}
    for (name, index), mask in shown.items():
        wanted = 0.9 if index == 0 else 0.3  # on the right object: how well is not the question here
        assert iou(mask, mask_of(name, index)) > wanted, (name, index)
    later = [region_id(name, index) for name in OBJECTS for index in range(1, N_FRAMES)]
    assert ids(editor) == sorted([*painted_ids, *later])
    assert {region.kind for region in editor.regions()} == {"brushregion"}, "no click point stays behind"

    editor.flip_to(4)
    inside = [middle(mask_of(name, 4)) for name in OBJECTS]
    outside = [(20.0, 20.0), (400.0, 220.0)]
    picture = frame_picture(4).astype(np.int_)
    plain = np.stack([picture[int(y), int(x)] for x, y in inside + outside])
    tinted = np.abs(screen_colours(editor, inside + outside) - plain).max(axis=1)
    assert (tinted[:2] > 40).all() and (tinted[2:] < 20).all(), tinted

    editor.submit()
    [annotation] = editor_house.client.annotations(task)
    saved = editor_house.masks(annotation["result"])
    assert set(saved) == set(shown)
    for place, mask in shown.items():
        assert np.array_equal(saved[place], mask), place
    for place, mask in painted.items():
        assert np.array_equal(saved[place], mask), f"{place} was painted by hand"
    assert len(asked) >= 1, "the gesture went through Label Studio"


def test_a_correction_changes_the_frames_up_to_the_next_anchor_only(
    editor: Editor, editor_house: EditorHouse
) -> None:
    task = open_new(editor, editor_house)
    paint_both(editor, editor_house)
    propagate_all(editor, editor_house)
    before_ids = ids(editor)

    first = editor_house.masks(editor.result())
    correct(editor, frame=2, key="b")
    second = corrected_and_propagated(editor, editor_house, frame=2)
    assert_only_changed(first, second, may={(OBJECTS[0], index) for index in (1, 2, 3, 4, 5)})
    assert second[OBJECTS[0], 2].sum() > first[OBJECTS[0], 2].sum()

    correct(editor, frame=4, key="e")
    third = corrected_and_propagated(editor, editor_house, frame=4)
    assert_only_changed(second, third, may={(OBJECTS[0], index) for index in (3, 4, 5)})
    assert third[OBJECTS[0], 4].sum() < second[OBJECTS[0], 4].sum()

    assert ids(editor) == before_ids, "regions are replaced in place"
    assert [job.state for job in editor_house.jobs(task)] == ["done"] * 3


def correct(editor: Editor, frame: int, key: str) -> None:
    """Take the mask of object 1 with the arrow and paint (b) or erase (e) a bar at its right end."""
    editor.flip_to(frame)
    x, y = middle(mask_of(OBJECTS[0], frame))
    editor.pick(x, y)
    editor.page.keyboard.press(key)
    editor.set_brush(16)
    editor.drag(((x + 35, y - 25), (x + 35, y + 5)))
    editor.let_go()


def corrected_and_propagated(editor: Editor, house: EditorHouse, frame: int) -> dict[tuple[str, int], Any]:
    """Propagate; the corrected mask must come out pixel for pixel as it went in."""
    corrected = house.masks(editor.result())[OBJECTS[0], frame]
    propagate_all(editor, house)
    after = house.masks(editor.result())
    assert np.array_equal(after[OBJECTS[0], frame], corrected)
    return after


def assert_only_changed(before: dict[Any, Any], after: dict[Any, Any], may: set[tuple[str, int]]) -> None:
    assert set(before) == set(after)
    changed = {place for place in before if not np.array_equal(before[place], after[place])}
    assert changed <= may, f"changed: {sorted(changed)}"
    assert len(changed) > 1, "the correction reached no other frame"


def test_a_smart_click_masks_this_frame_only(editor: Editor, editor_house: EditorHouse) -> None:
    open_new(editor, editor_house)
    editor.flip_to(1)
    editor.choose_smart(smart(editor_house, "point"), OBJECTS[1])
    editor.click(*middle(mask_of(OBJECTS[1], 1)))
    [(place, mask)] = editor_house.masks(editor.result()).items()
    assert place == (OBJECTS[1], 1)
    assert iou(mask, mask_of(*place)) > 0.8


def test_a_click_grows_the_painted_region_in_place(editor: Editor, editor_house: EditorHouse) -> None:
    task = open_new(editor, editor_house)
    whole = mask_of(OBJECTS[1], 0)
    columns = np.nonzero(whole)[1]
    half = whole & (np.arange(whole.shape[1]) < columns.mean())
    paint(editor, editor_house.config, OBJECTS[1], half)
    [painted] = ids(editor)
    editor_house.until_drafted(task, painted)
    editor.choose_smart(smart(editor_house, "point"), OBJECTS[1])
    editor.click(*middle(whole & ~half))
    assert ids(editor) == [painted]
    [mask] = editor_house.masks(editor.result()).values()
    assert iou(mask, whole) > max(0.8, iou(half, whole) + 0.1)


def test_a_smart_box_masks_this_frame_only(editor: Editor, editor_house: EditorHouse) -> None:
    open_new(editor, editor_house)
    editor.flip_to(3)
    editor.choose_smart(smart(editor_house, "box"), OBJECTS[0])
    rows, columns = np.nonzero(mask_of(OBJECTS[0], 3))
    corners = (columns.min() - 6.0, rows.min() - 6.0), (columns.max() + 6.0, rows.max() + 6.0)
    editor.smart_drag(corners)
    [(place, mask)] = editor_house.masks(editor.result()).items()
    assert place == (OBJECTS[0], 3)
    assert iou(mask, mask_of(*place)) > 0.8


def test_what_follows_a_submit_changes_nothing(editor: Editor, editor_house: EditorHouse) -> None:
    """After Submit the editor sends a request without clicks; its answer must not enter the annotation."""
    task = open_new(editor, editor_house)
    editor.choose_smart(smart(editor_house, "point"), OBJECTS[1])
    editor.click(*middle(mask_of(OBJECTS[1], 0)))
    editor.submit()
    [saved] = editor_house.client.annotations(task)
    answer = editor.page.evaluate(
        """async ([backend, task]) => {
            const csrf = document.cookie.match(/csrftoken=([^;]*)/)?.[1] ?? "";
            const answer = await fetch(`/api/ml/${backend}/interactive-annotating`, {
                method: "POST", headers: {"Content-Type": "application/json", "X-CSRFToken": csrf},
                body: JSON.stringify({task, context: {result: []}}),
            });
            return await answer.json();
        }""",
        [editor_house.client.ml_backends(editor_house.project["id"])[0]["id"], task],
    )
    assert answer["data"]["result"] == []
    assert editor_house.masks(editor.result()).keys() == editor_house.masks(saved["result"]).keys()
    assert editor_house.client.annotations(task)[0]["result"] == saved["result"]
