"""What a simulation found, as JSON values and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.simulation.counting import METRIC, SHOWN, Count
from pipelines.simulation.plan import Simulation
from pipelines.simulation.track import Counts

WORDS = {"j": "J", "j_and_f": "J&F", "miou": "mean IoU"}
"""Name of a figure -> as people read it."""


def report(simulation: Simulation, tracks: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """``tracks``: who labels -> the rounds of that loop, as ``Track.run`` tells them.

    Of each round: ``test``, ``loop`` (the clips that were labelled in it, before anything was learnt from
    them) and ``without_loop`` (the same clips under the first version), each a mean over clips with the
    clips themselves, and the ``decision``.
    """
    shown = SHOWN[simulation.algorithm]
    return {
        "simulation": simulation.to_json(),
        "figure": shown,
        "metric": METRIC[simulation.algorithm],
        "tracks": {
            labels: {"rounds": [_round(told, shown) for told in rounds], "paid": _paid(rounds)}
            for labels, rounds in tracks.items()
        },
    }


def _round(told: Mapping[str, Any], shown: str) -> dict[str, Any]:
    parts = {part: _section(told[part], shown) for part in ("test", "loop", "without_loop")}
    return {**told, **parts}


def _section(counts: Counts, shown: str) -> dict[str, Any] | None:
    if not counts:
        return None
    clips = {name: _clip(of_clip, shown) for name, of_clip in counts.items()}
    strategies = list(next(iter(counts.values())))
    return {
        "figure": _mean([clip["figure"] for clip in clips.values()]),
        "corrections": {s: _mean([clip[s]["corrections"] for clip in clips.values()]) for s in strategies},
        "not_reached": {s: sum(not clip[s]["reached"] for clip in clips.values()) for s in strategies},
        "clips": clips,
    }


def _clip(of_clip: Mapping[str, Any], shown: str) -> dict[str, Any]:
    first = next(iter(of_clip.values()))[0]
    told: dict[str, Any] = {"figure": round(first.figures[0][shown], 3)}
    for strategy, counts in of_clip.items():
        told[strategy] = {
            "corrections": _taken(counts),
            "reached": all(count.reached for count in counts),
            "orders": [count.to_json() for count in counts],
        }
    return told


def _paid(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The test clips under the last version beside the first: corrections, and clips that take fewer."""
    before, after = rounds[0]["test"], rounds[-1]["test"]
    found: dict[str, Any] = {}
    for strategy in next(iter(before.values())):
        pairs = [
            tuple(
                _mean([count.corrections for count in counts[clip][strategy]]) for counts in (before, after)
            )
            for clip in before
        ]
        found[strategy] = {
            "first": _mean([first for first, _ in pairs]),
            "last": _mean([last for _, last in pairs]),
            "fewer": sum(last < first for first, last in pairs),
            "same": sum(last == first for first, last in pairs),
            "more": sum(last > first for first, last in pairs),
        }
    return found


def table(found: Mapping[str, Any]) -> str:
    """Each loop's rounds, on the test clips and on the clips that were labelled; then what was decided."""
    return "\n\n".join("\n".join(_track(found, labels)) for labels in found["tracks"])


def _track(found: Mapping[str, Any], labels: str) -> Iterator[str]:
    track, simulation = found["tracks"][labels], found["simulation"]
    rounds = track["rounds"]
    strategies = list(rounds[0]["test"]["corrections"])
    metric, figure = WORDS[found["metric"]], WORDS[found["figure"]]
    yield (
        f"labelled by {labels!r}; corrections until {metric} {simulation['target']:g}, at most "
        f"{simulation['corrections']} (*: some clips never got there)"
    )
    width = max(len(told["served"]) for told in rounds)
    head = "".join(f"{s:>9}" for s in strategies)
    yield f"{'test':<6}{'served':<{width}}  {figure:>8}{head}"
    for told in rounds:
        yield _line(told, told["test"], strategies, width)
    yield f"{'loop':<6}{'served':<{width}}  {figure:>8}{head}   with the first version"
    for told in rounds:
        if told["loop"]:
            yield _line(told, told["loop"], strategies, width) + _without(told["without_loop"], labels)
    for told in rounds:
        if told["decision"]:
            yield f"round {told['round']}: {_decision(told['decision'])}"
    for strategy, paid in track["paid"].items():
        yield (
            f"{strategy}: {paid['first']:.2f} corrections per test clip before the first round, "
            f"{paid['last']:.2f} after the last; fewer on {paid['fewer']} clips, the same on "
            f"{paid['same']}, more on {paid['more']}"
        )


def _line(told: Mapping[str, Any], section: Mapping[str, Any], strategies: Sequence[str], width: int) -> str:
    cells = "".join(
        f"{section['corrections'][s]:8.2f}" + ("*" if section["not_reached"][s] else " ") for s in strategies
    )
    return f"{told['round']:<6}{told['served']:<{width}}  {section['figure']:8.1f}{cells}"


def _without(section: Mapping[str, Any] | None, labels: str) -> str:
    if section is None:
        return "   -"
    return f"   {section['figure']:.1f}, {section['corrections'][labels]:.2f} ({labels})"


def _decision(decision: Mapping[str, Any]) -> str:
    words = decision["against"] or decision["reasons"]
    gain = next((reason for reason in decision["reasons"] if "goes from" in reason), "")
    name = f" {decision['candidate']}" if decision["candidate"] else ""
    return f"{decision['outcome']}{name}: {gain if decision['outcome'] == 'promoted' else '; '.join(words)}"


def _taken(counts: Sequence[Count]) -> float:
    return _mean([count.corrections for count in counts])


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 3)
