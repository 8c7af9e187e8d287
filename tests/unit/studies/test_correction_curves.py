"""Curves from passes made by hand: what counts as untouched, and how objects, seeds and sequences weigh."""

from __future__ import annotations

import json

import pytest

from pipelines.studies.correction_curves import Corrected, report, table
from pipelines.studies.correction_passes import Pass


def made(corrected: tuple[int, ...], **j: list[float]) -> Pass:
    return Pass(corrected, j, {name: [0.0] * len(values) for name, values in j.items()}, j, seconds=1.0)


START = made((), a=[0.5, 0.1, 0.9])
ONE = Corrected(
    "one",
    5,
    {
        "confidence": [[START, made((2,), a=[0.6, 1.0, 0.9])]],
        "random": [[START, made((1,), a=[1.0, 0.1, 0.9])], [START, made((2,), a=[0.5, 1.0, 0.9])]],
    },
)
TWO_OBJECTS = made((), a=[0.0, 0.0], b=[1.0, 1.0])
TWO = Corrected(
    "two",
    4,
    {
        "confidence": [[TWO_OBJECTS, made((1,), a=[1.0, 0.4], b=[1.0, 1.0])]],
        "random": [[TWO_OBJECTS, made((2,), a=[0.0, 1.0], b=[1.0, 1.0])]] * 2,
    },
)


def test_untouched_frames_are_those_nobody_ever_corrected() -> None:
    assert ONE.untouched() == [3]
    assert TWO.untouched() == []
    found = report([ONE, TWO])
    assert found["untouched_frames"] == {"one": 1, "two": 0} and found["scored_frames"] == {
        "one": 3,
        "two": 2,
    }


def test_one_sequence() -> None:
    curves = report([ONE])["curves"]
    assert curves["confidence"]["all"]["j"] == pytest.approx([50.0, 83.333])
    assert curves["random"]["all"]["j"] == pytest.approx([50.0, 73.333]), "the mean of both seeds"
    assert curves["confidence"]["untouched"]["j"] == [90.0, 90.0]
    assert curves["confidence"]["all"]["j_and_f"] == pytest.approx([25.0, 41.667])


def test_every_object_weighs_the_same_whatever_its_sequence() -> None:
    found = report([ONE, TWO])
    assert found["curves"]["confidence"]["all"]["j"] == pytest.approx([50.0, 84.444])
    assert found["curves"]["confidence"]["untouched"]["j"] == [90.0, 90.0], "where none is left, none counts"
    assert found["per_sequence"]["two"]["curves"]["random"]["untouched"] is None
    assert found["per_sequence"]["one"]["corrected"]["random"] == [[[], [1]], [[], [2]]]
    assert found["seconds"] == {"one": 4.0, "two": 4.0}
    json.dumps(found, allow_nan=False)
    text = table(found)
    assert "lowest confidence" in text and "1 of 5 scored frames were never corrected" in text
    assert "none is left" in table(report([TWO]))
