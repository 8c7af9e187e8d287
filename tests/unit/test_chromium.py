"""Without a browser, demo-check says what to type before it starts anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import demo_check
from pipelines.browser import chromium


@pytest.fixture
def no_chromium(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))


def test_the_remedy_is_a_command(no_chromium: None) -> None:
    assert "apt-get install chromium" in chromium.missing()


def test_demo_check_ends_at_once_and_leaves_old_results(
    no_chromium: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "out" / "demo-check" / "page-01.png"
    old.parent.mkdir(parents=True)
    old.touch()
    assert demo_check.main(["--out", str(tmp_path / "out")]) == 1
    assert "apt-get install chromium" in capsys.readouterr().err
    assert old.exists() and not (tmp_path / "out" / "demo-check-data").exists()
