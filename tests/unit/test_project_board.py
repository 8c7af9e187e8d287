"""What a project's page is told: served version, decision, policy, jobs, and a report that may be missing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.core.errors import BadInput, LabelStudioDown
from backends.ledger import JobRow, Ledger
from backends.loop.folder import ProjectFolder
from backends.loop.policy import Policy
from backends.notices import Event, Notices
from backends.policy_form import FIELDS, in_words
from backends.project_abouts import ProjectAbouts
from backends.project_board import ProjectPages
from backends.queues import ImproveRequest, ReportRequest
from backends.registry import Registry
from backends.settings import Settings
from pipelines.loop.report import write_report
from pipelines.loop.report_runs import runs_told
from tests.predict_requests import LABEL_CONFIG
from tests.run_folders import write_run
from tests.saved_clips import V1, V2, clip, project, proposals


class FakeLabelStudio:
    """Project 3, or an outage; answers when ``go`` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.is_down = False
        self.asked = 0

    def project(self, project_id: int) -> dict[str, Any]:
        self.asked += 1
        assert self.go.wait(30)
        if self.is_down:
            raise LabelStudioDown("Label Studio at http://127.0.0.1:8080 does not answer")
        return {"id": project_id, "title": "Buses", "label_config": LABEL_CONFIG}


class BoardHouse:
    def __init__(self, folder: Path) -> None:
        self.data_dir = folder
        self.folder = ProjectFolder(folder, 3)
        self.ledger = Ledger(folder / "ledger.sqlite3")
        self.notices = Notices(folder / "ledger.sqlite3")
        self.registry = Registry(folder / "models")
        self.label_studio = FakeLabelStudio()
        self.abouts = ProjectAbouts(self.label_studio)
        self.pages = ProjectPages(
            folder,
            self.registry,
            self.ledger,
            self.notices,
            self.abouts,
            "http://labels.example.com/",
            self._enqueue,
        )

    def _enqueue(self, project_id: int) -> JobRow:
        return self.ledger.want_alone(ReportRequest(project_id).wanted())

    def state(self) -> dict[str, Any]:
        """When Label Studio has answered."""
        self.pages.state(3)
        self.abouts.behind.submit(lambda: None).result(30)
        return self.pages.state(3)

    def version(self, content: bytes) -> str:
        weights = self.data_dir / "w.safetensors"
        weights.write_bytes(content)
        return self.registry.add("video_object", weights).version

    def write_report(self) -> dict[str, Any]:
        return write_report(project([clip(proposals(V1, 2))]), Settings(data_dir=self.data_dir))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[BoardHouse]:
    made = BoardHouse(tmp_path)
    yield made
    made.ledger.close()


def test_a_fresh_project_says_what_it_is_and_that_nothing_is_there(house: BoardHouse) -> None:
    state = house.state()
    assert state["project"] == {
        "id": 3,
        "title": "Buses",
        "kind": "video_object",
        "kind_words": "Objects in video",
        "url": "http://labels.example.com/projects/3/data",
    }
    assert state["report"] == {"made_at": None, "error": "", "is_old": False}
    assert state["waiting"] is None and state["jobs"] == []
    assert state["served"]["is_shipped"] and state["served"]["before"] == ""
    assert "every project without a version of its own" in state["served"]["words"]


def test_a_slow_label_studio_is_not_waited_for(house: BoardHouse) -> None:
    house.label_studio.go.clear()
    for _ in range(3):
        state = house.pages.state(3)
    assert "Asking Label Studio" in state["served"]["error"]
    house.label_studio.go.set()
    assert house.state()["served"]["version"]
    assert house.label_studio.asked == 1, "once for all of them"


def test_with_label_studio_down_the_report_knows_the_project(house: BoardHouse) -> None:
    house.label_studio.is_down = True
    assert "does not answer" in house.state()["served"]["error"]
    house.write_report()
    state = house.state()
    assert (state["project"]["title"], state["project"]["kind"]) == ("Buses", "video_object")
    assert state["served"]["version"] and not state["served"]["error"]


def test_the_served_version_its_origin_and_what_a_roll_back_brings(house: BoardHouse) -> None:
    common, first, second = (house.version(bytes([n])) for n in range(3))
    house.registry.promote("video_object", common)
    assert house.state()["served"]["version"] == common
    house.registry.promote("video_object", first, project=3)
    write_run(house.folder, candidate=first, outcome="promoted")
    served = house.state()["served"]
    assert (served["version"], served["before"], served["is_shipped"]) == (first, common, False)
    assert "run 0001-1a2b3c4d" in served["words"] and "this project only" in served["words"]
    assert served["since"] == pytest.approx((house.data_dir / "models/video_object/served-3").stat().st_mtime)
    house.registry.promote("video_object", second, project=3)
    served = house.state()["served"]
    assert (served["version"], served["before"]) == (second, first)
    assert house.registry.roll_back("video_object", project=3).version == served["before"]


def test_a_pointer_to_a_version_that_is_gone_is_told(house: BoardHouse) -> None:
    version = house.version(b"x")
    house.registry.promote("video_object", version, project=3)
    (house.data_dir / "models" / "video_object" / version / "weights.safetensors").unlink()
    served = house.state()["served"]
    assert served["version"] == "" and version in served["error"]


def test_a_waiting_version_comes_with_all_reasons(house: BoardHouse) -> None:
    write_run(house.folder, reasons=["a gain of 10 points", "class 'bike' loses 1.5"], against=[])
    waiting = house.state()["waiting"]
    assert (waiting["run"], waiting["candidate"], waiting["served"]) == ("0001-1a2b3c4d", V2, V1)
    assert waiting["reasons"] == ["a gain of 10 points", "class 'bike' loses 1.5"]
    house.folder.answer("0001-1a2b3c4d", "declined")
    assert house.state()["waiting"] is None


def test_jobs_under_way_and_the_last_failure_are_shown(house: BoardHouse) -> None:
    improve = house.ledger.want_alone(ImproveRequest(3, "video_object", "a person asked").wanted())
    house.ledger.want_alone(ImproveRequest(4, "video_object", "another project").wanted())
    house.ledger.start(improve.id, 0, "w")
    house.ledger.put_progress(improve.id, 0, 2, 9, "training")
    house.pages.refresh(3)
    jobs = house.state()["jobs"]
    assert [(job["what"], job["state"]) for job in jobs] == [
        ("Train and judge a new version", "running"),
        ("Make the report", "queued"),
    ]
    assert (jobs[0]["stage"], jobs[0]["done"], jobs[0]["total"]) == ("training", 2, 9)
    house.ledger.fail(improve.id, 0, "out of memory")
    failed = house.state()["jobs"][0]
    assert (failed["state"], failed["error"], failed["can_retry"]) == ("failed", "out of memory", True)
    again = house.ledger.want_alone(ImproveRequest(3, "video_object", "again").wanted())
    house.ledger.request_cancel(again.id)
    assert [job["what"] for job in house.state()["jobs"]] == ["Make the report"], "a newer one hides it"


def test_a_report_is_read_once_and_again_when_it_changed(house: BoardHouse) -> None:
    made = house.write_report()
    assert house.state()["report"]["made_at"] == made["made_at"]
    assert house.pages.report(3)["counts"] == made["counts"]
    changed = {**made, "made_at": 5.0}
    house.folder.report_path.write_text(json.dumps(changed))
    assert house.pages.report(3)["made_at"] == 5.0


BROKEN = [
    ("", "cannot be read"),
    ("{", "cannot be read"),
    ("[]", "format 'list'"),
    ('{"format": 99}', "format 99, this release reads 1"),
    ('{"format": 1}', "lacks its time"),
    ('{"format": 1, "made_at": 3}', "lacks its time or its versions"),
    ('{"format": 1, "made_at": "x", "versions": []}', "lacks its time"),
]


@pytest.mark.parametrize(("text", "why"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_report_is_told_and_refresh_named(house: BoardHouse, text: str, why: str) -> None:
    house.folder.path.mkdir(parents=True)
    house.folder.report_path.write_text(text)
    report = house.state()["report"]
    assert why in report["error"] and "Refresh" in report["error"] and report["made_at"] is None
    with pytest.raises(BadInput, match="Refresh"):
        house.pages.report(3)


def test_without_a_report_the_document_is_refused_in_words(house: BoardHouse) -> None:
    with pytest.raises(BadInput, match="project 3 has no report yet; press Refresh"):
        house.pages.report(3)


def test_work_saved_since_makes_a_report_old(house: BoardHouse) -> None:
    house.write_report()
    house.notices.record(Event("ANNOTATION_CREATED", 4, 9, 1))
    assert not house.state()["report"]["is_old"], "another project's"
    house.notices.record(Event("ANNOTATION_UPDATED", 3, 9, 1))
    assert house.state()["report"]["is_old"]
    house.write_report()
    assert not house.state()["report"]["is_old"]


def test_a_run_that_ended_since_makes_a_report_old(house: BoardHouse) -> None:
    house.write_report()
    write_run(house.folder, ended_at=4e9)
    assert house.state()["report"]["is_old"]


def test_the_policy_is_a_form_with_a_sentence(house: BoardHouse) -> None:
    house.folder.save_policy(Policy(min_gain=2.5, after_tasks=7))
    policy = house.state()["policy"]
    values = {one["name"]: one["value"] for one in policy["fields"]}
    assert (values["min_gain"], values["after_tasks"], values["promote"]) == (2.5, 7, "ask")
    assert policy["words"] == "Begins by itself after every 7 tasks."
    assert not policy["error"]


def test_a_spoilt_policy_shows_the_default_and_says_so(house: BoardHouse) -> None:
    house.folder.path.mkdir(parents=True)
    house.folder.policy_path.write_text('{"min_gian": 3}')
    policy = house.state()["policy"]
    assert "min_gian" in policy["error"] and len(policy["fields"]) == len(FIELDS)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Policy(after_tasks=0, every_h=0), "Never begins by itself."),
        (Policy(after_tasks=1), "Begins by itself after each submitted task."),
        (Policy(after_tasks=0, every_h=24), "Begins by itself every 24 hours with new work."),
        (
            Policy(after_tasks=5, every_h=12),
            "Begins by itself after every 5 tasks and every 12 hours with new work.",
        ),
    ],
    ids=range(4),
)
def test_the_sentence_of_a_policy(policy: Policy, words: str) -> None:
    assert in_words(policy) == words


def test_the_form_asks_for_fields_that_a_policy_has() -> None:
    assert {one.name for one in FIELDS} <= set(Policy().to_json())


def test_pictures_of_a_run_are_found_by_name_only(house: BoardHouse) -> None:
    write_run(house.folder)
    name = runs_told(house.folder)[0]["examples"][0]["pictures"]["served"]
    assert house.pages.example(3, "0001-1a2b3c4d", name).is_file()


BAD_PICTURES = [
    ("0001-1a2b3c4d", "no-such.jpg"),
    ("0001-1a2b3c4d", "../scores.json"),
    ("0001-1a2b3c4d", "..%2fscores.json"),
    ("0001-1a2b3c4d", "scores.json"),
    ("0001-1a2b3c4d", ""),
    ("..", "x.jpg"),
    ("../../models", "x.jpg"),
    ("", "x.jpg"),
    (".lock", "x.jpg"),
    ("0001-1a2b3c4d", "x.jpg\n"),
]


@pytest.mark.parametrize(("run", "name"), BAD_PICTURES, ids=range(len(BAD_PICTURES)))
def test_nothing_else_of_the_data_folder_can_be_asked_for(house: BoardHouse, run: str, name: str) -> None:
    folder = write_run(house.folder)
    (folder / "shown").mkdir(exist_ok=True)
    (folder / "shown" / "scores.json").write_text("{}")
    with pytest.raises(BadInput):
        house.pages.example(3, run, name)


def test_a_link_out_of_the_folder_is_not_followed(house: BoardHouse) -> None:
    folder = write_run(house.folder)
    (folder / "shown").mkdir()
    secret = house.data_dir / "secret.jpg"
    secret.write_bytes(b"x")
    (folder / "shown" / "a.jpg").symlink_to(secret)
    with pytest.raises(BadInput):
        house.pages.example(3, "0001-1a2b3c4d", "a.jpg")
