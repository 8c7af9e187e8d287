"""The command line: help, exit codes, one-line errors."""

from __future__ import annotations

import argparse
import errno
import subprocess
import sys
from pathlib import Path

import pytest

from backends.core.errors import (
    BadInput,
    BadMedia,
    Cancelled,
    LabelStudioDown,
    MaskLoopError,
    NoWorker,
    RedisDown,
    SetupFault,
)
from pipelines import cli

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("up", "doctor", "ingest", "propagate", "train", "evaluate", "study", "jobs", "worker")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *words], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_and_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"example:\n  maskloop {name}" in text


def test_the_examples_can_be_typed() -> None:
    parser = cli.build_parser()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                example = (command.epilog or "").split("maskloop ", 1)[1].split()
                assert parser.parse_args(example).run is cli._COMMANDS[name][3]


def test_all_commands_are_listed() -> None:
    listed = run("--help")
    assert listed.returncode == 0
    for name in COMMANDS:
        assert f"\n    {name}" in listed.stdout
    assert run("--version").stdout.startswith("maskloop ")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from pipelines import cli; cli.build_parser()\n"
        "heavy = ('torch', 'rq', 'redis', 'av', 'cv2', 'numpy', 'label_studio_sdk')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert said.stdout.strip() == "[]", said.stderr


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (BadInput("bad"), 2, "maskloop: bad"),
        (BadMedia("a.mp4: two\nlines"), 2, "maskloop: a.mp4: two lines"),
        (LabelStudioDown("down"), 3, "maskloop: down"),
        (RedisDown("down"), 3, "maskloop: down"),
        (NoWorker("none"), 3, "maskloop: none"),
        (SetupFault("half"), 4, "maskloop: half"),
        (Cancelled("stopped"), 130, "maskloop: stopped"),
        (MaskLoopError("odd"), 1, "maskloop: odd"),
        (OSError(errno.ENOSPC, "No space left on device", "out/a.png"), 4, "out/a.png: No space left"),
        (KeyboardInterrupt(), 130, "maskloop: stopped; what was finished is kept"),
        (ZeroDivisionError("division"), 1, "internal fault, ZeroDivisionError: division (add --debug"),
    ],
)
def test_exit_codes(
    error: BaseException,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setitem(cli._COMMANDS, "doctor", ("check", "maskloop doctor", lambda parser: None, fail))
    assert cli.main(["doctor"]) == code
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1 and said.out == ""
    for debugging in (["--debug", "doctor"], ["doctor", "--debug"]):
        assert cli.main(debugging) == code
        assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [[], ["fly"], ["propagate"], ["train", "x", "--data", "d", "--out", "o", "--fresh", "--resume"]]
)
def test_wrong_usage_is_exit_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: maskloop")


@pytest.mark.parametrize(("words", "fresh"), [([], False), (["--resume"], False), (["--fresh"], True)])
def test_train_resumes_unless_told(words: list[str], fresh: bool) -> None:
    given = ["train", "video_object", "--data", "d", "--out", "o", "--set", "a=1", "--set", "b.c=2"]
    args = cli.build_parser().parse_args(given + words)
    assert args.fresh is fresh and args.overrides == ["a=1", "b.c=2"]


def test_unknown_names_are_refused_before_anything_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "magic", "--data", "."]) == 2
    assert "unknown algorithm 'magic'; known: " in capsys.readouterr().err
    assert cli.main(["train", "magic", "--data", ".", "--out", "."]) == 2
    assert "unknown algorithm 'magic'" in capsys.readouterr().err
    assert cli.main(["evaluate", "video_object", "--data", ".", "--weights", "nowhere"]) == 2
    assert "--weights nowhere: no such file" in capsys.readouterr().err


def test_reader_that_goes_away_is_no_fault(tmp_path: Path) -> None:
    code = "from pipelines import cli; import sys; sys.exit(cli.main(['jobs']))"
    pipe = subprocess.Popen(
        [sys.executable, "-c", f"import time; time.sleep(0.3); {code}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"MASKLOOP_DATA_DIR": str(tmp_path), "PATH": ""},
    )
    assert pipe.stdout is not None and pipe.stderr is not None
    pipe.stdout.close()
    assert pipe.stderr.read() == b""
    assert pipe.wait(60) == 0
    pipe.stderr.close()
