"""What tasks open with after a promotion and after going back: predictions of the version that is served."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from backends.labelstudio.opening import NEWEST, open_with
from pipelines.browser.editor import Editor
from tests.clip_house import on
from tests.editor_house import EditorHouse, mask_of

pytestmark = [pytest.mark.browser, pytest.mark.labelstudio]

OLD, NEW, LATER = "video_object-0000000a", "video_object-0000000b", "video_object-0000000c"


@pytest.fixture
def house(editor_house: EditorHouse) -> Iterator[EditorHouse]:
    yield editor_house
    editor_house.client.patch_project(editor_house.project["id"], model_version=NEWEST)


@pytest.fixture
def opened(editor: Editor, house: EditorHouse) -> Callable[[int], set[str]]:
    def open_task(task: int) -> set[str]:
        editor.open(house.project["id"], task)
        return {region.id for region in editor.regions()}

    return open_task


def predict(house: EditorHouse, task: int, *versions: str) -> None:
    """One region, called after the version that made it."""
    for version in versions:
        result = [on(0, "object 1", mask_of("object 1", 0), f"by-{version}")]
        house.client.create_prediction(task, result, version)


def test_after_going_back_a_task_opens_with_what_is_served_again(
    house: EditorHouse, opened: Callable[[int], set[str]]
) -> None:
    project, both, only_new = house.project["id"], house.new_task(), house.new_task()
    predict(house, both, OLD, NEW)
    predict(house, only_new, NEW)
    assert opened(both) == {f"by-{NEW}"}, "the newest made, by itself"

    assert open_with(house.client, project, OLD) == ""
    assert opened(both) == {f"by-{OLD}"}
    assert opened(only_new) == {f"by-{NEW}"}, "nothing else is there"

    assert open_with(house.client, project, LATER) == "", "it has made none yet"
    assert house.client.project(project)["model_version"] == NEWEST
    predict(house, both, LATER)
    assert opened(both) == {f"by-{LATER}"}
