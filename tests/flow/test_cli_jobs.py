"""``maskloop jobs`` against a real ledger and a real Redis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backends.core.types import MaskPrompt
from backends.ledger import JobRow, Ledger
from backends.queues import PROPAGATE, PropagationRequest, enqueue_propagation
from backends.registry import Registry
from pipelines import cli
from tests.redis_server import RedisServer

Case = tuple[Ledger, RedisServer]


@pytest.fixture
def case(tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setenv("MASKLOOP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MASKLOOP_REDIS_URL", redis_server.url)
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    ledger.register_worker("w", (PROPAGATE,))
    return ledger, redis_server


SERVED = Registry(Path("none")).served("video_object").version
"""What ships."""


def enqueue(case: Case, task_id: int = 7, version: str = SERVED) -> JobRow:
    ledger, redis_server = case
    mask = np.zeros((8, 8), bool)
    mask[2:4] = True
    request = PropagationRequest(
        project_id=1,
        task_id=task_id,
        frame_refs=("a", "b", "c"),
        size_hw=(8, 8),
        anchors=(MaskPrompt("object 1", 0, mask),),
        model_version=version,
        deliver_prediction=False,
    )
    with redis_server.client() as redis:
        return enqueue_propagation(ledger, redis, request)


def test_list_cancel_retry(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    job, other = enqueue(case), enqueue(case, task_id=8)
    assert cli.main(["jobs"]) == 0
    listed = capsys.readouterr().out
    assert job.id[:12] in listed and other.id[:12] in listed and "queued" in listed and "0/3" in listed

    assert cli.main(["jobs", "cancel", job.id[:10]]) == 0
    assert "cancelled" in capsys.readouterr().out
    assert (case[0].job(job.id).state, case[0].job(other.id).state) == ("cancelled", "queued")

    assert cli.main(["jobs", "retry", job.id]) == 0
    assert "queued" in capsys.readouterr().out
    assert case[0].job(job.id).state == "queued"

    assert cli.main(["jobs", "list", "--limit", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_retry_of_a_job_whose_version_was_taken_back_asks_anew(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    job = enqueue(case, version="video_object-1a2b3c4d")
    assert cli.main(["jobs", "cancel", job.id]) == 0
    assert cli.main(["jobs", "retry", job.id]) == 0
    [again] = case[0].jobs(states=["queued"])
    assert again.id[:12] in capsys.readouterr().out and again.id != job.id
    assert (again.task_id, again.model_version) == (job.task_id, SERVED)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cancel"], "which job?"),
        (["cancel", "zzz"], "no jobs begin with 'zzz'"),
        (["retry", ""], "which job?"),
    ],
)
def test_what_names_no_job_is_refused(
    case: Case, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    enqueue(case)
    assert cli.main(["jobs", *words]) == 2
    assert said in capsys.readouterr().err


def test_retry_with_redis_down_or_no_worker_is_exit_3(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    job = enqueue(case)
    assert cli.main(["jobs", "cancel", job.id]) == 0
    case[0].forget_worker("w")
    assert cli.main(["jobs", "retry", job.id]) == 3
    assert "no worker" in capsys.readouterr().err
    case[1].kill()
    assert cli.main(["jobs", "retry", job.id]) == 3
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["jobs"]) == 0, "the list needs no Redis"


def test_before_the_first_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKLOOP_DATA_DIR", str(tmp_path / "new"))
    assert cli.main(["jobs"]) == 0
    assert "no jobs" in capsys.readouterr().out
    assert cli.main(["jobs", "cancel", "abc"]) == 2
    assert "no job" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
