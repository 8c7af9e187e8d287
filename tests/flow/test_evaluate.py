"""Scores on the DAVIS layout."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from backends.core.errors import BadInput, BadMask, BadMedia
from backends.core.metrics import boundary_f, jaccard
from backends.core.types import Clip, FrameMasks, Prompt
from pipelines.evaluate import evaluate_video_object, table
from pipelines.media.palette import write_index_png
from tests.media import NearestAnchor, draw_mask, make_davis, save_frames, save_mask

ROOT = Path(__file__).resolve().parents[2]


class Oracle(NearestAnchor):
    """Knows the drawing; stays silent on ``missing`` frames."""

    def __init__(self, missing: frozenset[int] = frozenset()) -> None:
        super().__init__()
        self.missing = missing

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        numbers = sorted({int(prompt.object_id) for prompt in prompts})
        for index in reversed(range(len(clip))):
            if index not in self.missing:
                masks = {str(n): draw_mask(index) == n for n in numbers}
                yield FrameMasks(index, masks, {})


@pytest.mark.parametrize("below", ["", "480p"])
def test_a_perfect_answer_scores_100(tmp_path: Path, below: str) -> None:
    report = evaluate_video_object(Oracle(), make_davis(tmp_path, below=below))
    assert (report["j"], report["f"], report["j_and_f"]) == (100.0, 100.0, 100.0)
    assert report["frames"] == 9 and report["version"] == "nearest-00000000"
    assert list(report["per_sequence"]) == ["one", "two"]
    assert list(report["per_sequence"]["two"]["objects"]) == ["1", "2"]
    json.dumps(report, allow_nan=False)
    assert "all objects" in table(report)


def test_copied_first_mask_scores_what_the_metric_says(tmp_path: Path) -> None:
    report = evaluate_video_object(NearestAnchor(), make_davis(tmp_path))

    def by_hand(number: int, count: int) -> tuple[float, float]:
        first = draw_mask(0) == number
        truths = [draw_mask(frame) == number for frame in range(1, count - 1)]
        return (
            100 * float(np.mean([jaccard(first, t) for t in truths])),
            100 * float(np.mean([boundary_f(first, t) for t in truths])),
        )

    scores = [by_hand(1, 5), by_hand(1, 4), by_hand(2, 4)]
    # Three objects count alike, whatever their sequence.
    assert report["j"] == pytest.approx(np.mean([j for j, _ in scores]), abs=1e-3)
    assert report["f"] == pytest.approx(np.mean([f for _, f in scores]), abs=1e-3)
    assert report["j_and_f"] == pytest.approx((report["j"] + report["f"]) / 2, abs=1e-3)
    assert report["per_sequence"]["two"]["objects"]["2"]["j"] == 100.0
    assert 0 < report["j"] < 100


def test_only_the_first_mask_is_given_and_silence_scores_zero(tmp_path: Path) -> None:
    data = make_davis(tmp_path)
    segmenter = NearestAnchor()
    evaluate_video_object(segmenter, data, ["two"])
    assert [(p.object_id, p.frame_index) for p in segmenter.seen] == [("1", 0), ("2", 0)]
    report = evaluate_video_object(Oracle(frozenset({0, 2, 4})), data, ["one"])
    assert report["j"] == pytest.approx(100 * 2 / 3, abs=1e-3)


def test_choice_of_sequences_and_what_is_not_there(tmp_path: Path) -> None:
    data = make_davis(tmp_path)
    assert list(evaluate_video_object(Oracle(), data, ["two"])["per_sequence"]) == ["two"]
    with pytest.raises(BadInput, match="no sequence three; it has one, two"):
        evaluate_video_object(Oracle(), data, ["one", "three"])
    with pytest.raises(BadInput, match="no folder JPEGImages"):
        evaluate_video_object(Oracle(), tmp_path / "Annotations")


def test_unusable_sequences_are_refused_before_anything_runs(tmp_path: Path) -> None:
    data = make_davis(tmp_path)
    annotations = data / "Annotations"

    class Untouched(NearestAnchor):
        def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
            raise AssertionError("ran")

    (annotations / "two" / "00002.png").rename(tmp_path / "kept.png")
    with pytest.raises(BadMask, match=r"two/00002\.png: no such mask \(1 of 4"):
        evaluate_video_object(Untouched(), data)
    (tmp_path / "kept.png").rename(annotations / "two" / "00002.png")
    save_mask(annotations / "two" / "00000.png", np.zeros((48, 64), np.uint8))
    with pytest.raises(BadMask, match=r"two/00000\.png: the first mask is empty"):
        evaluate_video_object(Untouched(), data)
    for number in (2, 3):
        (data / "JPEGImages" / "two" / f"{number:05d}.jpg").unlink()
    write_index_png(annotations / "two" / "00000.png", draw_mask(0))
    with pytest.raises(BadInput, match="two: 2 frames"):
        evaluate_video_object(Untouched(), data)
    save_frames(tmp_path / "odd", 2, size_hw=(20, 20))[1].replace(data / "JPEGImages" / "two" / "00001.jpg")
    with pytest.raises(BadMedia, match=r"00001\.jpg: 20x20"):
        evaluate_video_object(Untouched(), data)


def test_true_mask_of_another_size(tmp_path: Path) -> None:
    data = make_davis(tmp_path)
    save_mask(data / "Annotations" / "one" / "00002.png", np.zeros((48, 60), np.uint8))
    with pytest.raises(BadMask, match=r"one/00002\.png: 60x48 pixels; its frame has 64x48"):
        evaluate_video_object(Oracle(), data, ["one"])


@pytest.mark.data
def test_copied_first_mask_on_davis(tmp_path: Path) -> None:
    """The real data set is read as it is; a copied first mask scores far below any network."""
    data = Path(os.environ.get("MASKLOOP_DATA", ROOT.parent / "shared" / "data")) / "davis2016-train"
    if not data.is_dir():
        reason = f"{data} is not there: set MASKLOOP_DATA to the folder that holds davis2016-train"
        print(reason)
        pytest.skip(reason)
    report = evaluate_video_object(NearestAnchor(), data, ["scooter-gray"])
    assert 1 < report["j_and_f"] < 40
