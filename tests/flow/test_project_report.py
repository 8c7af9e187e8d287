"""``maskloop report`` on a project in a running Label Studio: its figures are those of the saved work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backends.core.types import Mask
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.regions import region_id
from backends.loop.folder import ProjectFolder
from backends.settings import PREFIX, Settings, to_env
from pipelines import cli
from tests.clip_house import clip_xml, on, write_frames
from tests.label_studio import LabelStudioServer
from tests.project_house import block
from tests.saved_clips import V1

pytestmark = pytest.mark.labelstudio

SIZE_HW = (48, 64)
N_FRAMES = 4
NAME = "object 1"


def at(column: int) -> Mask:
    return block(10, 30, column, column + 20, size_hw=SIZE_HW)


@dataclass
class Buses:
    """A project of clips on which V1 proposed a mask on frames 1 to 3."""

    server: LabelStudioServer
    client: LabelStudioClient
    id: int
    settings: Settings

    def add(self, clip: str, proposed: Sequence[int] = (1, 2, 3)) -> int:
        folder = f"clips/p{self.id}-{clip}"
        paths = write_frames(self.server.media_root / folder, N_FRAMES, SIZE_HW)
        frames = [f"/data/local-files/?d={folder}/{path.name}" for path in paths]
        [task] = self.client.import_tasks(self.id, [{"data": {"frames": frames, "clip": clip}}])
        result = [on(frame, NAME, at(4 * frame), region_id(NAME, frame)) for frame in proposed]
        if result:
            self.client.create_prediction(task, result, V1)
        return task

    def submit(self, task: int, columns: dict[int, int], lead_time: float | None, **fields: Any) -> None:
        """As the editor does: made from the prediction, where there is one, without the deleted frames."""
        result = [
            on(frame, NAME, at(column), region_id(NAME, frame) if frame else "hand")
            for frame, column in columns.items()
        ]
        opened = [prediction["id"] for prediction in self.client.predictions(task)]
        parent = {"parent_prediction": opened[0]} if opened else {}
        body = {"result": result, "lead_time": lead_time, **parent, **fields}
        self.client.connection.post(f"/api/tasks/{task}/annotations/", body)


KEPT = {0: 0, 1: 4, 2: 8, 3: 12}


@pytest.fixture
def buses(label_studio: LabelStudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Buses:
    client = LabelStudioClient(label_studio.url, label_studio.token)
    number = int(client.create_project("buses to report on", clip_xml())["id"])
    (label_studio.media_root / "clips").mkdir(exist_ok=True)
    client.put_local_storage(number, str(label_studio.media_root / "clips"))
    settings = Settings(
        data_dir=tmp_path,
        models_dir=tmp_path / "models",
        media_root=label_studio.media_root,
        label_studio_url=label_studio.url,
        label_studio_token=label_studio.token,
    )
    for name, value in to_env(settings).items():
        monkeypatch.setenv(name, value)
    return Buses(label_studio, client, number, settings)


def test_the_figures_are_those_of_the_saved_work(
    buses: Buses, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    buses.submit(buses.add("bus-000"), KEPT, 8.0)
    buses.submit(buses.add("bus-001"), {**KEPT, 2: 18}, 12.0)
    buses.submit(buses.add("bus-002"), {0: 0, 1: 4, 2: 8}, 10.0)
    buses.submit(buses.add("bus-003"), KEPT, 40_000.0)
    buses.submit(buses.add("cat-000", proposed=()), {0: 0, 1: 1}, 60.0)
    buses.submit(buses.add("dog-000"), KEPT, 5.0, was_cancelled=True)
    buses.add("idle-000")
    out = tmp_path / "report.json"
    assert cli.main(["report", "--project", "buses to report on", "--json", str(out)]) == 0

    report = json.loads(out.read_text())
    assert report == json.loads(ProjectFolder(tmp_path, buses.id).report_path.read_text())
    versions = {version["kind"]: version for version in report["versions"]}
    helped, by_hand = versions["version"], versions["by_hand"]
    assert (helped["version"], helped["clips"], helped["frames"]) == (V1, 4, 16)
    assert (helped["accepted"], helped["corrected"], helped["removed"], helped["painted"]) == (10, 1, 1, 4)
    overlap = 10 / 30  # half of it in common
    assert helped["iou"]["mean"] == pytest.approx((10 + overlap + 0) / 12, abs=1e-5)
    # medians of 2, 3, 2.5 and 10,000 s a frame: 2.75, so more than 13.75 is idle
    assert (helped["idle_limit_s"], helped["idle_clips"]) == (13.75, 1)
    assert helped["seconds_per_frame"] == pytest.approx((8 + 12 + 10 + 55) / 16)
    assert helped["corrections"]["mean"] == (1 + 2 + 2 + 1) / 4
    assert (by_hand["clips"], by_hand["painted"], by_hand["accepted_share"]) == (1, 2, None)
    assert report["project"]["tasks"] == 7 and report["project"]["untouched"] == 1
    told = capsys.readouterr()
    assert f"project {buses.id} (buses to report on): 5 clips, 20 frames, 17 masks" in told.out
    assert "idle time was cut on 1" in told.out and "83 %" in told.out
    assert "skipped by the annotator" in told.err


def test_an_empty_project_and_one_that_is_not_there(buses: Buses, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "--project", str(buses.id)]) == 0
    assert "nothing was submitted yet" in capsys.readouterr().out
    assert cli.main(["report", "--project", "no such title"]) == 2
    assert cli.main(["report", "--project", "99999"]) == 2


def test_with_label_studio_away_the_last_report_stays(buses: Buses, monkeypatch: pytest.MonkeyPatch) -> None:
    buses.submit(buses.add("bus-000"), KEPT, 8.0)
    assert cli.main(["report", "--project", str(buses.id)]) == 0
    path = ProjectFolder(buses.settings.data_dir, buses.id).report_path
    before = path.read_bytes()
    monkeypatch.setenv(f"{PREFIX}LABEL_STUDIO_URL", "http://127.0.0.1:9")
    assert cli.main(["report", "--project", str(buses.id)]) == 3
    assert path.read_bytes() == before
