"""`maskloop doctor` against the real services: all well, then one thing broken at a time."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.label_studio import LabelStudioServer
from tests.up_process import UpProcess


def failures(report: str) -> dict[str, str]:
    """What failed -> its fix."""
    return dict(re.findall(r"^FAIL  (.*)\n      fix: (.*)$", report, re.M))


ALL_CONNECTIONS = (
    "backend reaches Redis",
    "backend reaches Label Studio",
    "Label Studio reaches the backend",
    "webhook with the secret",
    "may call the webhook",
    "shows the same file",
    "is idle",
    "append-only",
)


@pytest.mark.labelstudio
def test_all_is_well_beside_a_running_up(up_house: UpProcess) -> None:
    run = up_house.ensure_ready().run("doctor")
    assert run.returncode == 0, run.stdout + run.stderr
    for said in ALL_CONNECTIONS:
        assert re.search(rf"^OK  .*{said}", run.stdout, re.M), said


@pytest.mark.labelstudio
@pytest.mark.parametrize(
    ("extra", "said", "fix"),
    [
        ({"MASKLOOP_LABEL_STUDIO_TOKEN": "0" * 40}, "legacy token is refused", "Account & Settings"),
        ({"MASKLOOP_LABEL_STUDIO_URL": "http://127.0.0.1:1"}, "does not answer", "MASKLOOP_LABEL_STUDIO_URL"),
        ({"MASKLOOP_SECRET": "s" * 20}, "accepts the secret (401)", "MASKLOOP_SECRET"),
        ({"MASKLOOP_REDIS_URL": "redis://127.0.0.1:1"}, "Redis does not answer", "MASKLOOP_REDIS_URL"),
    ],
)
def test_what_is_wrong_is_named_with_its_fix(
    up_house: UpProcess, extra: dict[str, str], said: str, fix: str
) -> None:
    run = up_house.ensure_ready().run("doctor", **extra)
    assert run.returncode == 4
    found = [mend for what, mend in failures(run.stdout).items() if said in what]
    assert found and fix in found[0], run.stdout


@pytest.mark.labelstudio
def test_another_media_folder_than_label_studios_is_noticed(up_house: UpProcess, tmp_path: Path) -> None:
    run = up_house.ensure_ready().run("doctor", MASKLOOP_MEDIA_ROOT=str(tmp_path))
    found = failures(run.stdout)
    assert run.returncode == 4
    assert any("below our media folder" in what for what in found)
    assert any(f"DOCUMENT_ROOT={tmp_path}" in fix for fix in found.values())


@pytest.mark.labelstudio
def test_a_secret_that_others_can_read_is_noticed(up_house: UpProcess) -> None:
    up = up_house.ensure_ready()
    secret = up.data_dir / "secret"
    secret.chmod(0o644)
    try:
        run = up.run("doctor")
    finally:
        secret.chmod(0o600)
    assert failures(run.stdout) == {f"{secret} has mode 644": f"chmod 600 {secret}"}


class Blocking(LabelStudioServer):
    """Label Studio with its own defaults for private addresses."""

    def _environment(self) -> dict[str, str]:
        defaults = {"LABEL_STUDIO_ML_BLOCK_LOCAL_IP": "true", "LABEL_STUDIO_SSRF_PROTECTION_ENABLED": "true"}
        return super()._environment() | defaults


@pytest.mark.labelstudio
def test_a_label_studio_that_blocks_loopback_is_recognised(up_house: UpProcess, short_dir: Path) -> None:
    up = up_house.ensure_ready()
    shutil.copytree(up.data_dir / "label-studio", short_dir / "data")
    server = Blocking(short_dir, log_path=short_dir / "log")
    server.start()
    try:
        run = up.run("doctor", MASKLOOP_LABEL_STUDIO_URL=server.url)
    finally:
        server.stop()
    for what in ("Label Studio reaches the backend", "Label Studio may call the webhook"):
        found = [fix for said, fix in failures(run.stdout).items() if what in said]
        assert found and "LABEL_STUDIO_ML_BLOCK_LOCAL_IP=false" in found[0], run.stdout


def test_before_the_first_start_every_failure_has_a_fix(tmp_path: Path) -> None:
    run = UpProcess(tmp_path / "data").run("doctor", MASKLOOP_LABEL_STUDIO_URL="http://127.0.0.1:1")
    lines = run.stdout.splitlines()
    failed = [number for number, line in enumerate(lines) if line.startswith("FAIL")]
    assert run.returncode == 4 and run.stderr == "" and len(failed) >= 5, run.stdout
    assert all(re.match(r"      fix: \S", lines[number + 1]) for number in failed), run.stdout
    assert "maskloop up does not run" in run.stdout and "Traceback" not in run.stdout
