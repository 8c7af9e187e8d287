"""A project's page in a real browser, against the real server: figures, plots and tables, empty states."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.export_shelf import home
from backends.loop.folder import ProjectFolder
from backends.queues import EXPORT
from backends.registry import Registry
from pipelines.browser import chromium
from pipelines.export.project import LabelledClip
from pipelines.loop.report import write_report
from tests.browser.conftest import EVIDENCE, FAILED
from tests.predict_requests import LABEL_CONFIG
from tests.redis_server import RedisServer
from tests.run_folders import write_run
from tests.saved_clips import V1, V2, clip, project, proposals, saved
from tests.served_house import SECRET, ServedHouse, wait_until

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser

NUMBERS = itertools.count(1)
PROJECT = {"title": "Buses", "label_config": LABEL_CONFIG}
WORK = [
    *[clip([saved("painted", f) for f in range(10)], number=n, seconds=300) for n in (1, 2, 3)],
    *[clip(proposals(V1, 4, [0.6] * 5), number=n, seconds=100) for n in (4, 5, 6)],
    *[clip(proposals(V2, 8, [0.9]), number=n, seconds=50) for n in (7, 8, 9)],
    clip(proposals(V2, 8, [0.9]), number=10, seconds=40_000),
]


@pytest.fixture(scope="module")
def house() -> Iterator[ServedHouse]:
    """One server for all; each test has a project of its own."""
    place = Path(tempfile.mkdtemp(prefix="ml-page-"))  # short: it holds a socket
    server = RedisServer(place)
    server.start()
    (place / "data").mkdir()
    made = ServedHouse(place / "data", server.url)
    made.label_studio.documents.update({f"/api/projects/{number}/": PROJECT for number in range(1, 30)})
    yield made
    made.close()
    server.kill()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def folder(house: ServedHouse) -> ProjectFolder:
    return ProjectFolder(house.settings.data_dir, next(NUMBERS))


@pytest.fixture(scope="module")
def browser(chromium_there: None) -> Iterator[playwright.Browser]:
    with chromium.open_page() as opened:
        assert opened.context.browser is not None
        yield opened.context.browser


@pytest.fixture
def page(
    house: ServedHouse, browser: playwright.Browser, request: pytest.FixtureRequest
) -> Iterator[playwright.Page]:
    """Logged in; a failed test leaves a picture, and nothing may have been refused or gone elsewhere."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    watch = chromium.OriginWatch(opened, [house.url])
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda told: troubles.append(told.text) if told.type == "error" else None)
    opened.goto(f"{house.url}/console/login?key={SECRET}")
    yield opened
    if request.node.stash.get(FAILED, False):
        (EVIDENCE / request.node.name).mkdir(parents=True, exist_ok=True)
        opened.screenshot(path=EVIDENCE / request.node.name / "page.png", full_page=True)
    opened.close()
    assert watch.leaks == []
    assert [text for text in troubles if "422" not in text and "503" not in text] == []


def _report(house: ServedHouse, folder: ProjectFolder, clips: Sequence[LabelledClip], **more: Any) -> None:
    work = replace(project(clips, **more), project_id=folder.project_id)
    write_report(work, house.settings)


def _open(page: playwright.Page, house: ServedHouse, folder: ProjectFolder) -> None:
    page.goto(f"{house.url}/console/projects/{folder.project_id}")
    page.locator("#title", has_text="Buses").wait_for()


def test_the_page_shows_what_the_work_says(
    page: playwright.Page, house: ServedHouse, folder: ProjectFolder
) -> None:
    write_run(folder)
    _report(house, folder, WORK)
    _open(page, house, folder)
    tiles = page.locator("#tiles")
    tiles.wait_for()
    told = " ".join(tiles.inner_text().split())
    assert f"The last version that helped: {V2}, compared with {V1}. Of few clips: read with care." in told
    assert "0.99 mean IoU ▲ 0.21, better of 36 proposals" in told
    assert "89 % of the masks ▲ 44 points, better 32 masks of 36" in told
    # 3 clips of 50 s and one cut at five medians of 5 s per frame: 400 s on 40 frames
    assert "10.0 s" not in told and "10 s as before on 4 clips, idle time cut on 1; by hand 30 s" in told
    assert "2.0 ▼ 4.0, better of 10 frames each" in told
    rows = page.locator("#versions tbody tr").all_inner_texts()
    assert [" ".join(row.split()) for row in rows] == [
        f"by hand {_day(page)} 3 30 30 30 10.0 frames",
        f"{V1} {_day(page)} 3 30 12 (44 %) 15 0 3 0.78 10 6.0 frames",
        f"{V2} {_day(page)} 4 40 32 (89 %) 4 0 4 0.99 10 2.0 frames",
        f"{house.version}served no clip was submitted with its help yet",
    ]
    waiting = page.locator("#waiting-card")
    assert V2 in waiting.inner_text() and "a gain of 10.00 points" in waiting.inner_text()
    assert waiting.get_by_role("button").all_inner_texts() == ["Promote", "Refuse"]


def _day(page: playwright.Page) -> str:
    """The day of the clips as this browser writes it."""
    how = "[], {day: 'numeric', month: 'short'}"
    return str(page.evaluate(f"new Date('2026-03-01T12:00:00Z').toLocaleDateString({how})"))


def test_each_plot_has_its_numbers_for_keyboard_and_reader(
    page: playwright.Page, house: ServedHouse, folder: ProjectFolder
) -> None:
    write_run(folder)
    _report(house, folder, WORK)
    _open(page, house, folder)
    page.locator("#savings figure").nth(3).wait_for()
    for figure in page.locator("figure.plot").all():
        picture = figure.locator("svg")
        assert picture.get_attribute("role") == "img" and picture.get_attribute("aria-label")
        assert picture.locator("circle, rect, polyline").count() > 0
        figure.locator("summary").focus()
        page.keyboard.press("Enter")
        assert figure.locator("tbody tr").first.is_visible()
        assert figure.locator("th[scope=col]").count() >= 2
    seconds = page.locator("figure.plot", has_text="Seconds per frame").first
    assert seconds.locator("circle").count() == len(WORK)
    assert seconds.locator("circle.hollow").count() == 1, "the clip whose idle time was cut"
    assert "so on 1 clip (hollow dots)" in seconds.inner_text()
    classes = page.locator("#run table").first.locator("tbody tr").all_inner_texts()
    assert [" ".join(row.split()) for row in classes] == [
        "bus 62.0 72.0 +10.0 12",
        "bike 59.5 58.0 −1.5 12",
        "All held-out clips 60.0 70.0 +10.0 12",
        "Benchmark: drawn clips 30.0 35.0 +5.0",
    ]


def test_examples_are_pictures_that_load(
    page: playwright.Page, house: ServedHouse, folder: ProjectFolder
) -> None:
    write_run(folder)
    _report(house, folder, WORK)
    _open(page, house, folder)
    images = page.locator(".example img")
    images.nth(7).scroll_into_view_if_needed()
    assert images.count() == 8, "two examples of four pictures"
    loaded = "[...document.querySelectorAll('.example img')].every((image) => image.naturalWidth > 0)"
    wait_until(lambda: page.evaluate(loaded), "the pictures")
    assert images.nth(1).get_attribute("alt") == "market-000, frame 5: Served, mean IoU 0.33"


def test_nothing_yet_says_what_to_do_and_a_report_appears_by_itself(
    page: playwright.Page, house: ServedHouse, folder: ProjectFolder
) -> None:
    _open(page, house, folder)
    page.locator("#no-savings", has_text="No report was made yet. Press Refresh").wait_for()
    assert "No version was trained" in page.locator("#no-runs").inner_text()
    page.locator("#report-actions").get_by_role("button", name="Refresh").click()
    page.locator("#said.bad", has_text="no worker listens to the queue 'maintenance'").wait_for()
    _report(house, folder, [], tasks=4, untouched=4)
    page.locator("#no-savings", has_text="Nothing was submitted yet").wait_for()
    assert "4 tasks wait for it" in page.locator("#no-savings").inner_text()
    _report(house, folder, WORK)
    page.locator("#tiles").wait_for()


def test_a_broken_report_is_told_and_the_rest_stands(
    page: playwright.Page, house: ServedHouse, folder: ProjectFolder
) -> None:
    write_run(folder)
    folder.report_path.write_text("{")
    _open(page, house, folder)
    page.locator("#report-trouble", has_text="cannot be read").wait_for()
    assert house.version in page.locator("#served").inner_text()
    assert page.locator("#policy").get_by_label("Least gain").input_value() == "0.5"


def test_refresh_becomes_a_job_and_an_old_report_is_told(
    page: playwright.Page, house: ServedHouse, folder: ProjectFolder
) -> None:
    _report(house, folder, WORK)
    house.post(
        "/webhook", {"action": "ANNOTATION_CREATED", "project": {"id": folder.project_id}, "task": {"id": 1}}
    )
    _open(page, house, folder)
    page.locator("#report-age", has_text="work was saved since").wait_for()
    house.ledger.register_worker("someone", ("maintenance",))
    page.locator("#report-actions").get_by_role("button", name="Refresh").click()
    page.locator("#jobs li", has_text="Make the report").wait_for()
    [row] = house.ledger.project_jobs("report", folder.project_id)
    assert row.state == "queued"
    page.locator("#jobs").get_by_role("button", name="Cancel").click()
    page.locator("#jobs-card").wait_for(state="hidden")


def test_nothing_sticks_out_at_any_width(
    page: playwright.Page, house: ServedHouse, folder: ProjectFolder
) -> None:
    write_run(folder, error="a sentence that is long " * 20, reasons=["a" * 200, "loses " * 60])
    _report(house, folder, WORK)
    _open(page, house, folder)
    page.locator("#tiles").wait_for()
    for summary in page.locator("summary").all():
        summary.click()
    for width in (1280, 760, 390):
        page.set_viewport_size({"width": width, "height": 900})
        drawn = f"[...document.querySelectorAll('figure svg')].every((svg) => svg.clientWidth <= {width})"
        wait_until(lambda told=drawn: page.evaluate(told), "plots of the new width")  # type: ignore[misc]
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_export_is_asked_for_in_the_chosen_format_and_a_finished_one_fetched(
    page: playwright.Page, house: ServedHouse, folder: ProjectFolder
) -> None:
    number = folder.project_id
    finished = home(house.settings.data_dir) / f"project-{number}-voc-20260301-120000.zip"
    finished.parent.mkdir(exist_ok=True)
    finished.write_bytes(b"PK")
    house.ledger.register_worker("someone", ("maintenance",))
    try:
        _open(page, house, folder)
        card = page.locator("#export-card")
        card.get_by_label("Format").select_option("yolo-seg")
        card.get_by_role("button", name="Export").click()
        page.locator("#said", has_text="Exporting as yolo-seg").wait_for()
        [row] = house.ledger.project_jobs(EXPORT, number)
        assert row.payload == {"format": "yolo-seg"}
        page.locator("#jobs li", has_text="Export").get_by_role("button", name="Cancel").click()
        wait_until(lambda: house.ledger.job(row.id).state == "cancelled")
        with page.expect_download() as fetched:
            card.locator("li", has_text="voc").get_by_role("link", name="Download").click()
        assert fetched.value.suggested_filename == finished.name
    finally:
        house.ledger.forget_worker("someone")


def test_promote_and_roll_back_are_a_click_each(
    page: playwright.Page, house: ServedHouse, folder: ProjectFolder
) -> None:
    weights = house.settings.data_dir / "candidate.safetensors"
    weights.write_bytes(b"not loaded by the server either")
    registry = Registry(house.settings.models_dir)
    candidate = registry.add("video_object", weights).version
    write_run(folder, candidate=candidate, served=house.version)
    _open(page, house, folder)
    page.locator("#waiting-actions").get_by_role("button", name="Promote").click()
    page.locator("#served", has_text=candidate).wait_for()
    page.locator("#waiting-card").wait_for(state="hidden")
    assert registry.served("video_object", folder.project_id).version == candidate
    assert registry.served("video_object").version == house.version, "the other projects keep theirs"
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#served-actions").get_by_role("button", name="Roll back").click()
    page.locator("#served", has_text=house.version).wait_for()
    assert registry.served("video_object", folder.project_id).version == house.version


def test_refuse_leaves_it_unserved_and_a_policy_is_saved(
    page: playwright.Page, house: ServedHouse, folder: ProjectFolder
) -> None:
    write_run(folder, served=house.version)
    _open(page, house, folder)
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#waiting-actions").get_by_role("button", name="Refuse").click()
    page.locator("#waiting-card").wait_for(state="hidden")
    assert folder.cycle("0001-1a2b3c4d").outcome == "declined"
    page.get_by_label("Least gain").fill("1.5")
    page.get_by_label("Begin by itself after").fill("7")
    page.get_by_label("An accepted version").select_option("auto")
    page.locator("#policy").get_by_role("button", name="Save").click()
    page.locator("#policy", has_text="Begins by itself after every 7 tasks.").wait_for()
    policy = folder.policy()
    assert (policy.min_gain, policy.after_tasks, policy.promote) == (1.5, 7, "auto")
    assert policy.max_benchmark_loss is None, "what was left empty stays so"
