"""``tools/environment`` with a stand-in for Python: what is made, made again, brought up to date, refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Does what the script asks of a Python: report a version, make a venv (a folder with a copy of itself), pip.
STAND_IN = """#!/usr/bin/env bash
echo "$*" >> "$CALLS"
case "$*" in
  *"pip install"*) exit "${PIP_STATUS:-0}" ;;
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  -V) echo "Python 3.11.99" ;;
esac
"""


class House:
    """A copy of the script in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tools").mkdir()
        shutil.copy(ROOT / "tools" / "environment", folder / "tools")
        for name in ("pyproject.toml", "constraints.txt", "constraints-label-studio.txt"):
            (folder / name).write_text("one\n")
        self.python = folder / "python-stand-in"
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)
        self.ready = folder / ".venv" / ".ready"
        self.calls_file = folder / "calls"

    def make(self, kind: str = "ours", **env: str) -> subprocess.CompletedProcess[str]:
        self.calls_file.write_text("")
        given = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "CALLS": str(self.calls_file),
            "PYTHON": str(self.python),
            "RETRY_PAUSE_S": "0",
        }
        return subprocess.run(
            [str(self.folder / "tools" / "environment"), kind],
            env=given | env,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def calls(self) -> str:
        return self.calls_file.read_text()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_it_is_made_once_and_then_left_alone(house: House) -> None:
    first = house.make()
    assert first.returncode == 0 and "Making .venv" in first.stderr and house.ready.is_file()
    assert "-c constraints.txt -e . --group dev" in house.calls
    second = house.make()
    assert (second.returncode, second.stderr) == (0, "")
    assert "pip install" not in house.calls and "-m venv" not in house.calls


def test_label_studio_has_one_of_its_own(house: House) -> None:
    assert house.make("label-studio").returncode == 0
    assert "-c constraints-label-studio.txt label-studio" in house.calls
    assert (house.folder / ".venv-label-studio" / ".ready").is_file() and not house.ready.exists()


def test_new_pins_bring_it_up_to_date_without_making_it_again(house: House) -> None:
    house.make()
    (house.folder / "constraints.txt").write_text("two\n")
    run = house.make()
    assert run.returncode == 0 and "up to date" in run.stderr
    assert "pip install" in house.calls and "-m venv" not in house.calls


def test_a_half_made_one_is_removed_and_made_again(house: House) -> None:
    assert house.make(PIP_STATUS="1").returncode == 4
    assert not house.ready.exists()
    (house.folder / ".venv" / "leftover").touch()
    run = house.make()
    assert run.returncode == 0 and ".venv is half-made" in run.stderr
    assert house.ready.is_file() and not (house.folder / ".venv" / "leftover").exists()


def test_a_moved_one_is_made_again(house: House, tmp_path_factory: pytest.TempPathFactory) -> None:
    house.make()
    moved = House(tmp_path_factory.mktemp("elsewhere"))
    shutil.copytree(house.folder / ".venv", moved.folder / ".venv")
    run = moved.make()
    assert run.returncode == 0 and "half-made" in run.stderr and "-m venv" in moved.calls


def test_one_made_by_hand_is_kept(house: House) -> None:
    by_hand = house.folder / ".venv" / "bin"
    by_hand.mkdir(parents=True)
    shutil.copy(house.python, by_hand / "python")
    (house.folder / ".venv" / "mine").touch()
    assert house.make().returncode == 0
    assert (house.folder / ".venv" / "mine").exists() and house.ready.is_file()


def test_pip_is_tried_three_times_and_then_says_where_to_look(house: House) -> None:
    run = house.make(PIP_STATUS="1")
    assert run.returncode == 4
    assert "attempt 3 of 3" in run.stderr and "build/logs/environment-ours.log" in run.stderr
    assert house.calls.count("pip install") == 3


@pytest.mark.parametrize("python", ["", "/nonexistent/python", "/bin/false"])
def test_without_a_usable_python_it_says_what_to_install(house: House, python: str) -> None:
    run = house.make(PYTHON=python)
    assert run.returncode == 4
    assert "Python 3.11 or 3.12" in run.stderr and "apt-get install" in run.stderr
    assert not (house.folder / ".venv").exists()
