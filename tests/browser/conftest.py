"""One MaskLoop for all tests that work in the editor, a fresh browser for each."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from backends.labelstudio.label_config import LabelConfig
from pipelines.browser import chromium
from pipelines.browser.editor import Editor
from tests import label_studio
from tests.editor_house import SIZE_HW, EditorHouse

EVIDENCE = label_studio.REPOSITORY / "build" / "test-logs"
FAILED = pytest.StashKey[bool]()
"""Set on a test that failed, for the ends of its fixtures."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember that a test failed, for the fixtures' ends."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed  # type: ignore[attr-defined]
    return report


def refuse(reason: str) -> None:
    """Skip with the reason; in CI a browser test may not skip."""
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        print(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium_there() -> None:
    """The test wants a Chromium."""
    refuse(chromium.missing())


@pytest.fixture(scope="session")
def editor_house(chromium_there: None) -> Iterator[EditorHouse]:
    """Wants Label Studio as well."""
    refuse(label_studio.missing())
    folder = Path(tempfile.mkdtemp(prefix="ml-editor-"))
    house = EditorHouse(folder)
    try:
        house.start()
        yield house
    finally:
        house.close()
        shutil.rmtree(folder, ignore_errors=True)


EditorOpener = Callable[[LabelConfig], AbstractContextManager[Editor]]


@pytest.fixture
def open_editor(editor_house: EditorHouse, request: pytest.FixtureRequest) -> EditorOpener:
    """Opens a browser, logged in, for a configuration. A failed test leaves a picture and the logs."""

    @contextmanager
    def opened(config: LabelConfig) -> Iterator[Editor]:
        settings = editor_house.settings
        with chromium.open_page() as page:
            watch = chromium.OriginWatch(page, [settings.label_studio_url, _console_origin(editor_house)])
            editor = Editor(page, settings.label_studio_url, config, SIZE_HW)
            editor.log_in(editor_house.login.email, editor_house.login.password)
            yield editor
            if request.node.stash.get(FAILED, False):
                evidence = EVIDENCE / request.node.name
                editor_house.keep_logs(evidence)
                with suppress(Exception):  # the browser itself may have died
                    editor.screenshot(evidence / "page.png")
            assert watch.leaks == []

    return opened


@pytest.fixture
def editor(editor_house: EditorHouse, open_editor: EditorOpener) -> Iterator[Editor]:
    """For the clips' project."""
    with open_editor(editor_house.config) as editor:
        yield editor


def _console_origin(house: EditorHouse) -> str:
    return house.console_link.split("/console")[0]
