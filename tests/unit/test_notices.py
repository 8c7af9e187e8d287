"""Messages for people: kept, counted, bounded, and never the reason for a failed request."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from backends import notices as module
from backends.core.errors import Unavailable
from backends.ledger import Ledger
from backends.notices import Event, Notices


@pytest.fixture
def notices(tmp_path: Path) -> Notices:
    return Notices(tmp_path / "ledger.sqlite3")


def test_newest_first_and_repeats_are_counted(notices: Notices) -> None:
    notices.add("error", "Redis is down.")
    notices.add("info", "All frames are there.", 7)
    notices.add("error", "Redis is down.")
    notices.add("error", "Redis is down.", 7)
    told = [(notice.text, notice.task_id, notice.times) for notice in notices.recent()]
    assert told == [("Redis is down.", 7, 1), ("Redis is down.", None, 2), ("All frames are there.", 7, 1)]
    assert len(notices.recent(1)) == 1
    notices.clear()
    assert notices.recent() == []


def test_an_old_message_is_not_counted_up(notices: Notices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPEAT_S", -1.0)
    notices.add("error", "Redis is down.")
    notices.add("error", "Redis is down.")
    assert [notice.times for notice in notices.recent()] == [1, 1]


def test_both_tables_are_bounded(notices: Notices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 5)
    for number in range(12):
        notices.add("info", f"{number} " + "x" * 5000)
        notices.record(Event(f"ACTION_{number}", 1, 2, 3))
    kept = notices.recent(100)
    assert [notice.text.split()[0] for notice in kept] == ["11", "10", "9", "8", "7"]
    assert max(len(notice.text) for notice in kept) == module.MAX_TEXT
    assert [event.action for event in notices.events(100)] == [f"ACTION_{n}" for n in (11, 10, 9, 8, 7)]


def test_a_broken_file_costs_the_message_and_not_the_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(b"this is no database" * 100)
    with caplog.at_level(logging.INFO):
        Notices(path).add("error", "The frame is gone.")
    assert "The frame is gone." in caplog.text and "could not be kept" in caplog.text
    with pytest.raises(Unavailable, match=r"ledger\.sqlite3"):
        Notices(path).recent()


@pytest.mark.parametrize("first", ["ledger", "notices"])
def test_ledger_and_notices_share_a_file_whoever_comes_first(tmp_path: Path, first: str) -> None:
    path = tmp_path / "ledger.sqlite3"
    if first == "notices":
        Notices(path).add("info", "early")
    ledger = Ledger(path)
    notices = Notices(path)
    notices.add("info", "late")
    assert notices.recent()[0].text == "late"
    assert ledger.jobs() == []
    ledger.close()
    assert Ledger(path).jobs() == []


def test_many_threads_at_once(notices: Notices) -> None:
    threads = [threading.Thread(target=notices.add, args=("info", f"from {n % 4}")) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(notice.times for notice in notices.recent()) == 24
