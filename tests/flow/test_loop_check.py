"""The loop's whole circle in real services, as ``make loop-check`` goes through it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.core.errors import SetupFault
from backends.settings import from_env
from pipelines import loop_check
from pipelines.circle import videos
from pipelines.circle.annotator import WentWrong
from pipelines.circle.steps import Circle
from pipelines.services import installation
from tests import label_studio as label_studio_server
from tests.label_studio import PASSWORD, TOKEN, USERNAME
from tests.up_process import UpProcess

LOGS = label_studio_server.REPOSITORY / "build" / "test-logs" / "loop-check"


@pytest.fixture
def up(short_dir: Path) -> Iterator[UpProcess]:
    """All services on a folder whose Label Studio has started before; what they say is kept."""
    if reason := label_studio_server.missing():
        if os.environ.get("CI"):
            pytest.fail(reason)
        print(reason)
        pytest.skip(reason)
    up = UpProcess(short_dir / "data")
    up.data_dir.mkdir()
    label_studio_server.copy_migrated(up.data_dir / "label-studio")
    installation.keep_login(up.data_dir, installation.Login(USERNAME, PASSWORD, TOKEN))
    clip = videos.write(short_dir / "drawn", 0)
    shutil.rmtree(LOGS, ignore_errors=True)
    up.start("--clip", str(clip), MASKLOOP_ENGINE="torch", MASKLOOP_THREADS="1")
    try:
        up.ensure_ready()
        yield up
    finally:
        up.end()
        shutil.copytree(up.data_dir / "logs", LOGS, dirs_exist_ok=True)
        (LOGS / "up.log").write_text(up.output)


@pytest.mark.labelstudio
def test_corrections_make_a_better_version_a_spoilt_one_is_refused_and_going_back_restores(
    up: UpProcess,
) -> None:
    said: list[str] = []
    circle = Circle(up.settings, said.append)
    try:
        circle.go()
    finally:
        print("\n".join(said))
    better, spoilt = circle.figures["cycles"]
    assert (better["outcome"], spoilt["outcome"]) == ("promoted", "refused")
    assert sum(count > 0 for count in circle.figures["corrected_per_clip"]) >= 3
    assert circle.figures["iou_of_new_clip"]["better"] > 0.9
    assert any("a loss of" in reason or "nonsense" in reason for reason in spoilt["against"])


def test_what_went_wrong_is_said_and_is_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raising(out: Path) -> None:
        raise SetupFault("no Label Studio")

    monkeypatch.setattr(loop_check, "check", raising)
    assert loop_check.main(["--out", str(tmp_path)]) == 1
    assert "loop-check: no Label Studio (logs in" in capsys.readouterr().err


def test_a_step_that_does_not_lead_where_it_should_ends_the_circle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    circle = Circle(from_env({"MASKLOOP_DATA_DIR": str(tmp_path)}), said.append)

    def leads_astray() -> str:
        raise WentWrong("0 masks to correct")

    monkeypatch.setattr(circle, "_import", leads_astray)
    with pytest.raises(WentWrong, match="small videos become tasks: 0 masks to correct"):
        circle.go()
    assert list(circle.figures["seconds"]) == ["weak weights are served"]
    assert json.dumps(circle.figures) and said[-1] == "small videos become tasks …"
