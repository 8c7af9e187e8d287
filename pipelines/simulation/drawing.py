"""A simulation as three panels: what proposals are worth, and what clips take, round by round."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.simulation.report import WORDS
from pipelines.studies.plots import new_figure, save_figure

_STYLES = {"propose": "o-", "random": "x:", "even": "^-."}
_LABELS = {"propose": "the frame we propose", "random": "at random", "even": "evenly spaced"}

Panels = tuple[Any, list[Any]]


def panels() -> Panels:
    """Raises SetupFault where matplotlib is missing; ask before a long run."""
    return new_figure(3)


def draw(found: Mapping[str, Any], figure: Panels, path: Path) -> None:
    """Into a PNG at ``path``."""
    canvas, (worth, test, loop) = figure
    for labels, track in found["tracks"].items():
        rounds = track["rounds"]
        _worth(worth, rounds, f" ({labels})" if len(found["tracks"]) > 1 else "")
        for strategy in rounds[0]["test"]["corrections"]:
            _taken(test, rounds, "test", strategy, _LABELS[strategy])
            _taken(loop, rounds, "loop", strategy, _LABELS[strategy])
        _taken(loop, rounds, "without_loop", labels, f"{_LABELS[labels]}, first version", "s--")
    metric, target = WORDS[found["metric"]], found["simulation"]["target"]
    worth.set_title("proposals, nothing corrected")
    worth.set_ylabel(WORDS[found["figure"]])
    test.set_title("test clips")
    loop.set_title("clips labelled in the round")
    for axis in (test, loop):
        axis.set_ylabel(f"corrections per clip until {metric} {target:g}")
        axis.set_ylim(bottom=0)
    for axis in (worth, test, loop):
        axis.set_xlabel("round (trainings so far)")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
    save_figure(canvas, path)


def _worth(axis: Any, rounds: list[dict[str, Any]], words: str) -> None:
    for part, style, label in (("test", "o-", "test clips"), ("loop", "s--", "clips labelled in the round")):
        there = [told for told in rounds if told[part]]
        values = [told[part]["figure"] for told in there]
        axis.plot([told["round"] for told in there], values, style, label=label + words)


def _taken(
    axis: Any, rounds: list[dict[str, Any]], part: str, strategy: str, label: str, style: str = ""
) -> None:
    there = [told for told in rounds if told[part]]
    if there:
        values = [told[part]["corrections"][strategy] for told in there]
        axis.plot([told["round"] for told in there], values, style or _STYLES[strategy], label=label)
