"""kill -9 between the writing of a candidate's weights and its promotion, a hundred times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.queue_house import ROOT

TIMES = 100


def test_what_is_served_always_loads_and_the_cycle_ends_all_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.promotion_killer", str(tmp_path / "house"), str(TIMES)]
    (tmp_path / "house").mkdir()
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr  # a version that does not load ends it
    rounds = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(rounds) == TIMES
    assert sum(told["died"] for told in rounds) > 0.3 * TIMES, "a busy machine kills late, not seldom"

    for told in rounds:
        version, number = told["after"]
        right = {told["old"]: told["number"] - 1, told["made"]: told["number"]}
        assert right[version] == number, "the old version's numbers under its name, or the new one's"
        assert told["outcome"] == "promoted" and told["end"] == [told["made"], told["number"]]

    died = [told for told in rounds if told["died"]]
    moved = [told for told in died if told["after"][0] == told["made"]]
    between = [told for told in died if told["is_added"] and told["after"][0] == told["old"]]
    torn = [told for told in died if not told["is_added"]]
    counts = (
        f"{len(torn)} before the version was there, {len(between)} before it was served, {len(moved)} after"
    )
    print(counts)
    assert torn and len(between) >= 5 and moved, counts
