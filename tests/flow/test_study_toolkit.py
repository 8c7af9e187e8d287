"""Masks written, read back and scored alike; a folder without the toolkit is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backends.core.errors import BadInput
from backends.core.images import read_index_mask
from pipelines import cli
from pipelines.evaluate import evaluate_video_object
from pipelines.studies.toolkit import MasksOnDisk, compare, lay_out
from tests.flow.test_evaluate import make_davis
from tests.media import NearestAnchor


def test_written_masks_score_what_was_scored_while_writing(tmp_path: Path) -> None:
    data = make_davis(tmp_path / "davis")
    written = evaluate_video_object(NearestAnchor(), data, masks_out=tmp_path / "masks")
    read = evaluate_video_object(MasksOnDisk(tmp_path / "masks"), data)
    assert 0 < written["j"] < 100
    for key in ("j", "f"):
        assert read[key] == written[key]
        for name in ("one", "two"):
            assert read["per_sequence"][name]["objects"] == written["per_sequence"][name]["objects"]
    assert len(list((tmp_path / "masks" / "one").iterdir())) == 5


def test_true_masks_are_laid_out_as_davis_2017_has_them(tmp_path: Path) -> None:
    data = make_davis(tmp_path / "davis")
    lay_out(data, ["one", "two"], tmp_path / "root")
    assert (tmp_path / "root/ImageSets/2017/val.txt").read_text() == "one\ntwo\n"
    for name, objects in (("one", [0, 1]), ("two", [0, 1, 2])):
        laid = tmp_path / "root/Annotations/480p" / name
        assert np.unique(read_index_mask(laid / "00001.png")).tolist() == objects
        frames = sorted(p.stem for p in (tmp_path / "root/JPEGImages/480p" / name).glob("*.jpg"))
        assert frames == sorted(p.stem for p in laid.iterdir())


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_davis(tmp_path / "davis")
    with pytest.raises(BadInput, match="no folder of masks in it"):
        compare(tmp_path, data, tmp_path / "nowhere")
    evaluate_video_object(NearestAnchor(), data, ["two"], masks_out=tmp_path / "masks")
    words = ["study", "toolkit", "--data", str(data), "--masks", str(tmp_path / "masks")]
    assert cli.main([*words, "--toolkit", str(tmp_path)]) == 2
    assert "wants a checkout of davis2017-evaluation" in capsys.readouterr().err
