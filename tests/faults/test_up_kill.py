"""What is left when the supervisor dies, and what is said when something it needs is broken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from backends.core.errors import SetupFault
from backends.settings import Settings
from pipelines.services import installation, label_studio_process, redis_process
from pipelines.services.supervisor import ChildSpec, Supervisor
from tests.up_process import ROOT, UpProcess, wait_until


@pytest.mark.labelstudio
def test_kill_9_leaves_no_process_and_the_next_start_goes_on(up_house: UpProcess) -> None:
    up = up_house.ensure_ready()
    assert up.process is not None
    family = up.family()
    assert len(family) >= 7, family  # supervisor, guard, Redis, Label Studio, backend, worker, trainer
    killed = up.process.pid
    up.process.kill()
    up.process.wait(10)
    wait_until(lambda: not up.family(), 15, lambda: f"left behind: {up.family()}")
    up.ensure_ready()
    assert f"The last run (process {killed}) did not end cleanly" in up.output


GRANDPARENT = """
import sys, time
from pathlib import Path
from pipelines.services.supervisor import ChildSpec, Supervisor
import os
folder = Path(sys.argv[1])
supervisor = Supervisor(print)
script = f"sleep 987 & echo $! > {folder}/grandchild; wait"
supervisor.start(ChildSpec("shell", ("/bin/sh", "-c", script), dict(os.environ), folder, folder / "log"))
(folder / "child").write_text(str(supervisor.child("shell").pid))
time.sleep(1000)
"""


def test_kill_9_reaches_the_childrens_own_children(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", GRANDPARENT, str(tmp_path)], cwd=ROOT)
    files = [tmp_path / "child", tmp_path / "grandchild"]
    wait_until(lambda: all(f.is_file() and f.read_text().strip() for f in files), 30, lambda: "no start")
    pids = [int(file.read_text()) for file in files]
    assert all(alive(pid) for pid in pids)
    process.kill()
    process.wait(10)
    wait_until(lambda: not any(alive(pid) for pid in pids), 10, lambda: f"alive: {pids}")


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def spec_of(folder: Path, script: str) -> ChildSpec:
    return ChildSpec(
        "service", ("/bin/sh", "-c", script), dict(os.environ), folder, folder / "service.log", grace_s=0.5
    )


def test_a_child_that_ends_while_starting_shows_its_last_words(tmp_path: Path) -> None:
    said: list[str] = []
    with Supervisor(said.append) as supervisor:
        supervisor.start(spec_of(tmp_path, "echo something is wrong; exit 3"))
        with pytest.raises(SetupFault, match=r"service ended while starting \(exit status 3\)"):
            supervisor.wait_until(lambda: False, "the service", limit_s=20)
    assert "something is wrong" in "".join(said)


def test_a_full_disk_is_named_when_a_child_dies_of_it(tmp_path: Path) -> None:
    said: list[str] = []
    with Supervisor(said.append) as supervisor:
        child = supervisor.start(
            spec_of(tmp_path, "echo 'OSError: [Errno 28] No space left on device'; exit 1")
        )
        child.process.wait(10)
        supervisor.tend()
    assert "The disk is full" in "".join(said)


def test_a_child_that_keeps_dying_is_started_ever_more_slowly(tmp_path: Path) -> None:
    said: list[str] = []
    with Supervisor(said.append) as supervisor:
        supervisor.start(spec_of(tmp_path, "exit 1"))

        def three_deaths() -> bool:
            supervisor.tend()
            return sum("starts again in" in line for line in said) >= 3

        wait_until(three_deaths, 30, lambda: "\n".join(said))
    pauses = [line.split("starts again in ")[1].split(" s")[0] for line in said if "starts again in" in line]
    assert pauses[:3] == ["1", "2", "4"]


def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    with Supervisor(print) as supervisor:
        child = supervisor.start(spec_of(tmp_path, "trap '' TERM; touch trapped; while :; do sleep 1; done"))
        wait_until(lambda: (tmp_path / "trapped").exists(), 10, lambda: "never started")
    assert child.process.returncode == -signal.SIGKILL


def test_a_damaged_queue_file_is_set_aside_and_said(short_dir: Path) -> None:
    said: list[str] = []
    installation.prepare(short_dir)
    with Supervisor(said.append) as supervisor:
        redis_process.run(supervisor, short_dir, said.append)
    stored = short_dir / "redis" / "appendonly.aof"
    if not stored.exists():  # Redis 7 and later keep a folder of files
        stored = next((short_dir / "redis" / "appendonlydir").glob("*.incr.aof"))
    stored.write_bytes(
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n?? not a command ??\r\n*1\r\n$4\r\nPING\r\n"
    )
    with Supervisor(said.append) as supervisor:
        url = redis_process.run(supervisor, short_dir, said.append)
        assert redis_process.answers(url)
    assert any("could not read its queue file" in line for line in said), said
    (aside,) = short_dir.glob("redis-damaged-*")
    assert list(aside.rglob(stored.name)), "the damaged file is kept"


def test_a_folder_too_deep_for_a_socket_still_gets_its_redis(short_dir: Path) -> None:
    deep = short_dir / ("d" * 60) / ("e" * 60)
    installation.prepare(deep)
    with Supervisor(print) as supervisor:
        url = redis_process.run(supervisor, deep, print)
        assert redis_process.answers(url)
    socket = redis_process.socket_path(deep)
    assert len(os.fsencode(socket)) <= 107 and socket.parent.stat().st_mode & 0o077 == 0
    socket.unlink(missing_ok=True)
    socket.parent.rmdir()


def test_a_half_made_label_studio_environment_is_told(tmp_path: Path) -> None:
    half = tmp_path / "venv"
    (half / "bin").mkdir(parents=True)
    for name in ("label-studio", "python"):
        (half / "bin" / name).touch()
    (half / ".making").touch()
    with pytest.raises(SetupFault, match="make environments"):
        label_studio_process.find_label_studio(Settings(label_studio_env=half))


def test_no_redis_anywhere_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_process, "_candidates", lambda: ["/nonexistent/redis-server"])
    with pytest.raises(SetupFault, match="apt-get install redis-server"):
        redis_process.find_redis()


def test_a_named_redis_that_is_away_is_told(tmp_path: Path) -> None:
    up = UpProcess(tmp_path / "data")
    refused = up.run("up", MASKLOOP_REDIS_URL="unix:///nonexistent/redis.sock")
    assert refused.returncode == 4 and "MASKLOOP_REDIS_URL" in refused.stderr
    assert not up.family()


def test_a_full_disk_is_told_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "MIN_FREE_MB", 10**9)
    with pytest.raises(SetupFault, match=r"MB left and MaskLoop wants"):
        installation.prepare(tmp_path / "data")
