"""C, C_base and C_novel."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from backends.core.confusion import Confusion
from backends.weak_shot.classes import ClassSet
from backends.weak_shot.confusion import Scores, new_confusion, scores, table

CLASSES = ClassSet(tuple(f"c{i}" for i in range(1, 21)), frozenset(f"c{i}" for i in range(1, 6)))


def counted(seed: int, highest: int = 20) -> Scores:
    draw = np.random.default_rng(seed)
    matrix = new_confusion(CLASSES)
    matrix.add(draw.integers(0, highest + 1, (60, 60)), draw.integers(0, highest + 1, (60, 60)))
    return scores(matrix, CLASSES)


@pytest.mark.parametrize("seed", range(5))
def test_c_is_the_weighted_mean_of_16_and_5(seed: int) -> None:
    found = counted(seed)
    assert (found.n_base, found.n_novel) == (16, 5)
    assert found.c == pytest.approx((16 * found.c_base + 5 * found.c_novel) / 21, abs=1e-12)
    novel = [found.per_class[f"c{i}"] for i in range(1, 6)]
    assert found.c_novel == pytest.approx(np.mean(novel))


def test_identity_holds_when_classes_are_missing() -> None:
    found = counted(0, highest=3)  # background and three novel classes
    assert (found.n_base, found.n_novel) == (1, 3)
    assert found.c == pytest.approx((found.c_base + 3 * found.c_novel) / 4)
    assert math.isnan(found.per_class["c9"])
    assert found.to_json()["per_class"]["c9"] is None


def test_figures_that_break_the_identity_are_refused() -> None:
    with pytest.raises(ArithmeticError, match=r"C is 0\.5"):
        Scores(0.5, 0.6, 0.2, 16, 5, {})


def test_a_perfect_answer_and_no_answer() -> None:
    matrix = new_confusion(CLASSES)
    assert scores(matrix, CLASSES).to_json()["c"] is None
    ids = np.arange(21).reshape(3, 7)
    matrix.add(ids, ids)
    found = scores(matrix, CLASSES)
    assert (found.c, found.c_base, found.c_novel) == (1.0, 1.0, 1.0)
    json.dumps(found.to_json(), allow_nan=False)


def test_without_novel_classes_c_is_c_base() -> None:
    classes = ClassSet(("a", "b"))
    matrix = new_confusion(classes)
    matrix.add(np.array([[0, 1, 2]]), np.array([[0, 1, 1]]))
    found = scores(matrix, classes)
    assert found.c == found.c_base and math.isnan(found.c_novel) and found.n_novel == 0


def test_a_matrix_over_other_classes() -> None:
    with pytest.raises(ValueError, match="3 classes"):
        scores(Confusion(3), CLASSES)


def test_table_marks_novel_classes() -> None:
    text = table({"pseudo-masks": counted(0), "network": counted(1)}, sorted(CLASSES.novel))
    assert "c1 *" in text and "c6 *" not in text and "c_novel" in text and "network" in text
