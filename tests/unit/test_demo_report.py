"""The numbers of demo-check and its sentences about what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from backends.core.types import Mask
from backends.labelstudio.regions import Region
from pipelines.browser import demo_report

OBJECTS = ("object 1", "object 2")
N_FRAMES = 3


def truth() -> list[NDArray[np.uint8]]:
    index_map = np.zeros((8, 20), np.uint8)
    index_map[:, :6] = 1
    index_map[:, 10:16] = 2
    return [index_map] * N_FRAMES


def true_mask(name: str) -> Mask:
    return truth()[0] == OBJECTS.index(name) + 1


def region(name: str, frame: int, mask: Mask | None = None) -> Region:
    mask = true_mask(name) if mask is None else mask
    return Region(f"{name}-{frame}", "mask", "img", name, frame, mask)


def perfect() -> list[Region]:
    return [region(name, frame) for name in OBJECTS for frame in range(N_FRAMES)]


def half(name: str) -> Mask:
    """Half of the object: IoU 0.5."""
    mask = true_mask(name)
    mask[4:] = False
    return mask


def test_all_well() -> None:
    scores = demo_report.score(perfect(), truth(), OBJECTS)
    assert (scores.j, scores.frames) == (1.0, N_FRAMES)
    assert demo_report.faults(scores, [], []) == []


def test_j_leaves_out_the_painted_frame() -> None:
    regions = [r for r in perfect() if (r.object_id, r.frame_index) != ("object 1", 2)]
    scores = demo_report.score([*regions, region("object 1", 2, half("object 1"))], truth(), OBJECTS)
    assert scores.j == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    painted_badly = [r for r in perfect() if (r.object_id, r.frame_index) != ("object 1", 0)]
    painted_badly.append(region("object 1", 0, half("object 1")))
    scores = demo_report.score(painted_badly, truth(), OBJECTS)
    assert scores.j == 1.0
    assert ["fair start" in fault for fault in demo_report.faults(scores, [], [])] == [True]


def test_a_missing_mask_counts_as_empty_and_is_named() -> None:
    scores = demo_report.score(
        [r for r in perfect() if (r.object_id, r.frame_index) != ("object 2", 1)], truth(), OBJECTS
    )
    assert scores.frames == N_FRAMES - 1
    assert scores.j == pytest.approx(3 / 4)
    found = " ".join(demo_report.faults(scores, [], []))
    assert "object 2 on page 2" in found and "0.750" in found


def test_an_object_that_is_hidden_wants_no_mask() -> None:
    maps = truth()
    maps[1] = np.where(maps[1] == 2, 0, maps[1]).astype(np.uint8)
    regions = [r for r in perfect() if (r.object_id, r.frame_index) != ("object 2", 1)]
    scores = demo_report.score(regions, maps, OBJECTS)
    assert (scores.j, scores.frames) == (1.0, N_FRAMES)


def test_double_regions_refusals_and_leaks_are_faults() -> None:
    scores = demo_report.score([*perfect(), region("object 1", 1)], truth(), OBJECTS)
    found = demo_report.faults(scores, ["region x: no size"], ["https://elsewhere.example/a"])
    assert len(found) == 3
    assert "object 1 on page 2" in found[0] and "region x" in found[1] and "elsewhere" in found[2]


def test_the_report_is_json_and_the_table_has_a_line_per_page() -> None:
    scores = demo_report.score(perfect(), truth(), OBJECTS)
    report = json.loads(json.dumps(demo_report.as_json(scores), allow_nan=False))
    assert report["per_frame"][2] == {"frame": 2, "object 1": 1.0, "object 2": 1.0}
    assert len(demo_report.table(scores).splitlines()) == N_FRAMES + 2
