"""The split by video: what was decided stays, new videos go by their hash, and a spoilt list is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backends.core.errors import BadInput
from pipelines.export.split import Frozen, decide, freeze, read_frozen


def videos(count: int) -> list[str]:
    return [f"video-{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("count", "held_out"), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1), (5, 1), (6, 2), (8, 2), (40, 10)]
)
def test_one_in_four_is_held_out_and_one_of_two(count: int, held_out: int) -> None:
    decided = decide(Frozen(), videos(count))
    assert (len(decided.held_out), len(decided.train)) == (held_out, count - held_out)


def test_the_order_of_videos_decides_nothing() -> None:
    assert decide(Frozen(), videos(9)) == decide(Frozen(), reversed(videos(9)))


def test_what_was_decided_stays_however_the_project_grows() -> None:
    known = Frozen()
    for count in range(1, 41):
        decided = decide(known, videos(count))
        assert decided.held_out >= known.held_out and decided.train >= known.train
        assert not decided.held_out & decided.train and decided.train
        assert bool(decided.held_out) == (count > 1)
        known = decided
    assert len(known.held_out) == 10


def test_a_video_that_was_trained_on_never_judges_even_when_no_other_is_left() -> None:
    known = Frozen(held_out=frozenset({"gone"}), train=frozenset({"a", "b"}))
    assert decide(known, ["a", "b"]) == known
    assert decide(known, ["a", "b", "new"]).held_out == {"gone", "new"}


def test_the_list_is_written_once_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "loop" / "project-3" / "held_out.json"
    first = freeze(path, videos(6))
    told = json.loads(path.read_text())
    assert told == {"held_out": sorted(first.held_out), "train": sorted(first.train)}
    before = path.stat().st_mtime_ns
    assert freeze(path, videos(6)) == first == read_frozen(path)
    assert path.stat().st_mtime_ns == before


def test_two_processes_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "held_out.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: freeze(path, videos(number)), range(2, 34)))
    decided = read_frozen(path)
    assert decided.held_out | decided.train == set(videos(33)) and not decided.held_out & decided.train


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"held_out": "a", "train": []}', '{"held_out": [1]}'])
def test_a_spoilt_list_is_refused_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "held_out.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"held_out\.json: .* never trained on"):
        freeze(path, ["a"])
    assert path.read_text() == text


def test_a_video_that_someone_wrote_into_both_lists_is_held_out(tmp_path: Path) -> None:
    path = tmp_path / "held_out.json"
    path.write_text('{"held_out": ["a"], "train": ["a", "b"]}')
    assert read_frozen(path) == Frozen(frozenset({"a"}), frozenset({"b"}))
