"""Our J and F against the public davis2017-evaluation toolkit, where a checkout of it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from backends.core.images import read_index_mask
from pipelines.media.palette import write_index_png
from pipelines.studies.toolkit import compare
from tests.flow.test_evaluate import make_davis

ROOT = Path(__file__).resolve().parents[2]
TOOLKIT = Path(os.environ.get("DAVIS2017_EVALUATION", ROOT.parent / "davis2017-evaluation"))


@pytest.fixture
def toolkit() -> Path:
    if not (TOOLKIT / "davis2017" / "evaluation.py").is_file():
        reason = f"{TOOLKIT} is not there: set DAVIS2017_EVALUATION to a checkout of davis2017-evaluation"
        print(reason)
        pytest.skip(reason)
    return TOOLKIT


def spoilt(data: Path, out: Path) -> Path:
    """Masks that are shifted, ragged, swapped, and missing on one frame."""
    rng = np.random.default_rng(0)
    for path in sorted((data / "Annotations").glob("*/*.png")):
        index = read_index_mask(path)
        index = np.where(index == 255, 1, index).astype(np.uint8)
        index = np.roll(index, rng.integers(-3, 4, 2), (0, 1))
        index[rng.random(index.shape) < 0.02] = 0
        if path.stem == "00002":
            index[index == 1] = 0
        write_index_png(out / path.parent.name / path.name, index)
    return out


def test_both_score_spoilt_masks_alike(toolkit: Path, tmp_path: Path) -> None:
    data = make_davis(tmp_path / "davis")
    report = compare(toolkit, data, spoilt(data, tmp_path / "masks"))
    assert list(report["objects"]) == ["one_1", "two_1", "two_2"]
    assert report["agrees"] and report["largest_difference"] < 0.01
    assert all(0 < score["ours"]["j"] < 99 for score in report["objects"].values())
