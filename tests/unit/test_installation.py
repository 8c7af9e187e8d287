"""The data folder's files, its lock, and the choice of ports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.core.errors import SetupFault
from backends.settings import Settings, from_env, named_in, to_env
from pipelines.services import installation, ports
from pipelines.services.locks import DataDirLock, running_pid
from tests.up_process import ROOT, wait_until


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    installation.prepare(tmp_path)
    return tmp_path


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def wish(port: int, by_hand: bool = False) -> ports.PortWish:
    return ports.PortWish("the backend", "127.0.0.1", port, by_hand, "MASKLOOP_PORT")


def test_a_free_port_is_taken_as_wished(taken_port: int) -> None:
    free = next(port for port in range(taken_port + 1, 65535) if ports.is_free("127.0.0.1", port))
    assert ports.choose(wish(free)) == ports.PortChoice(free)


def test_a_default_port_in_use_moves_and_names_who_holds_it(taken_port: int) -> None:
    choice = ports.choose(wish(taken_port))
    assert choice.port > taken_port
    assert f"port {taken_port}" in choice.remark and f"process {os.getpid()}" in choice.remark
    assert str(choice.port) in choice.remark and "MASKLOOP_PORT" in choice.remark


def test_a_port_named_by_hand_does_not_move(taken_port: int) -> None:
    with pytest.raises(SetupFault, match=rf"port {taken_port} .* set MASKLOOP_PORT"):
        ports.choose(wish(taken_port, by_hand=True))


def test_two_services_do_not_get_the_same_port(taken_port: int) -> None:
    said: list[str] = []
    first, second = ports.settle([wish(taken_port), wish(taken_port)], said.append)
    assert len({taken_port, first, second}) == 3 and len(said) == 2


def test_the_lock_is_refused_while_another_process_holds_it(data_dir: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data_dir)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    assert running_pid(data_dir) == holder.pid
    with pytest.raises(SetupFault, match=f"process {holder.pid}"), DataDirLock(data_dir):
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert running_pid(data_dir) is None
    with DataDirLock(data_dir) as lock:
        assert lock.stale_pid == holder.pid, "the pid file of a killed run is recognised as stale"


HOLD = """
import sys, time
from pathlib import Path
from pipelines.services.locks import DataDirLock
with DataDirLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(1000)
"""


def test_a_clean_end_leaves_no_stale_pid(data_dir: Path) -> None:
    with DataDirLock(data_dir):
        assert running_pid(data_dir) == os.getpid()
    with DataDirLock(data_dir) as lock:
        assert lock.stale_pid is None


def test_secret_and_login_are_made_once_and_private(data_dir: Path) -> None:
    settings = Settings(data_dir=data_dir)
    secret, login = installation.ensure_secret(settings), installation.ensure_login(data_dir)
    assert len(secret) >= 16 and len(login.token) == 40
    assert (installation.ensure_secret(settings), installation.ensure_login(data_dir)) == (secret, login)
    for path in (data_dir / "secret", installation.login_path(data_dir)):
        assert path.stat().st_mode & 0o777 == 0o600
    for hidden in (login.token, login.password):
        assert hidden not in repr(login)


def test_a_damaged_login_says_how_to_mend_it(data_dir: Path) -> None:
    installation.login_path(data_dir).write_text('{"email": ')
    with pytest.raises(SetupFault, match="write it by hand"):
        installation.read_login(data_dir)


def test_other_commands_see_what_up_chose_but_not_over_the_environment(data_dir: Path) -> None:
    installation.keep_services(data_dir, installation.Services(9191, 8181, "unix:///tmp/r.sock"))
    login = installation.ensure_login(data_dir)
    seen = installation.effective(Settings(data_dir=data_dir), frozenset())
    assert (seen.port, seen.label_studio_url) == (9191, "http://127.0.0.1:8181")
    assert (seen.redis_url, seen.label_studio_token) == ("unix:///tmp/r.sock", login.token)
    by_hand = {"MASKLOOP_DATA_DIR": str(data_dir), "MASKLOOP_PORT": "7000"}
    kept = installation.effective(from_env(by_hand), named_in(by_hand))
    assert (kept.port, kept.label_studio_url) == (7000, "http://127.0.0.1:8181")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupFault, match="MASKLOOP_DATA_DIR"):
        installation.prepare(tmp_path / "file" / "data")


def test_settings_survive_the_way_to_a_child(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, media_root=tmp_path / "m", models_dir=tmp_path / "v", port=9191)
    again = from_env(to_env(settings))
    assert to_env(again) == to_env(settings) and again.port == 9191 and again.media_root == tmp_path / "m"


def test_waiting_gives_up_in_words() -> None:
    with pytest.raises(AssertionError, match="never"):
        wait_until(lambda: False, 0.1, lambda: "never")


def test_label_studio_is_found_from_any_folder(tmp_path, monkeypatch):
    from pipelines.services import label_studio_process

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupFault) as missing:
        label_studio_process.installed_version(Settings(label_studio_env=Path(".venv-that-is-not-there")))
    root = Path(__file__).resolve().parents[2]
    assert f"{root / '.venv-that-is-not-there'};" in str(missing.value)
