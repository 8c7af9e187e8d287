"""``maskloop predict-video`` over files: label maps, consistency, going on after a stop, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from backends.core.images import read_index_mask
from backends.core.types import Image
from backends.video_semantic.consistency import Consistency
from backends.video_semantic.loaders.camvid import CLASSES
from backends.video_semantic.reader import ClipReader
from backends.video_semantic.weights_file import load_weights
from pipelines import cli
from pipelines.predict_video import predict_video
from tests.knowing_scene import REACH, write_knowing_scene
from tests.unit.video_semantic.footage import picture

N = 6


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("knowing") / "weights.safetensors"
    return write_knowing_scene(path, [picture(8 + 6 * i) for i in range(6)], CLASSES)


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(N):
        save(folder / f"f{number}.png", picture(8 + 3 * number)[0])
    return folder


def save(path: Path, rgb: np.ndarray) -> None:
    cv2.imwrite(str(path), rgb[..., ::-1])


def run(weights: Path, frames: Path, out: Path, *more: str) -> int:
    words = ["predict-video", "--frames", str(frames), "--out", str(out), "--weights", str(weights)]
    return cli.main([*words, *more])


def report(out: Path) -> dict:
    return json.loads((out / "consistency.json").read_text())


def maps(out: Path) -> dict[str, np.ndarray]:
    return {path.stem: read_index_mask(path) for path in sorted(out.glob("*.png"))}


def test_every_frame_gets_a_map_that_knows_the_scene_and_the_figures_of_its_neighbours(
    weights: Path, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(weights, frames, out) == 0
    found = maps(out)
    assert list(found) == [f"f{i}" for i in range(N)]
    names = json.loads((out / "classes.json").read_text())
    assert names == {str(number): name for number, name in enumerate(CLASSES)}
    for number in range(N):
        truth = picture(8 + 3 * number)[1]
        known = truth < len(CLASSES)
        assert (found[f"f{number}"] == truth)[known].mean() > 0.8
    told = report(out)
    steady = Consistency(len(CLASSES))
    pairs = [
        steady.add(picture(8 + 3 * i)[0], picture(11 + 3 * i)[0], found[f"f{i}"], found[f"f{i + 1}"])
        for i in range(N - 1)
    ]
    assert told["temporal_consistency"] == pytest.approx(100 * steady.overall, abs=1e-3)
    assert told["temporal_consistency_occ"] == pytest.approx(100 * steady.overall_occ, abs=1e-3)
    car = told["per_class"]["car"]["temporal_consistency"]
    assert car == pytest.approx(100 * steady.per_class[8], abs=1e-3)
    assert told["frames"][0]["temporal_consistency"] is None and told["frames"][0]["opens_scene"]
    for frame, pair in zip(told["frames"][1:], pairs, strict=True):
        assert frame["per_class"]["car"] == pytest.approx(100 * pair.per_class[8], abs=1e-3)
        assert not frame["opens_scene"]
    assert told["complete"] and "temporal consistency" in capsys.readouterr().out


def test_ctrl_c_loses_nothing_and_the_rest_ends_as_an_unbroken_run(
    weights: Path, frames: Path, tmp_path: Path
) -> None:
    assert run(weights, frames, tmp_path / "whole") == 0
    out = tmp_path / "out"

    def stop_after_three(items: Iterable[Path], *, total: int | None, label: str) -> Iterator[Path]:
        for number, item in enumerate(items):
            if number == 3:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        predict_video(reader(weights), frames, out, progress=stop_after_three)  # type: ignore[arg-type]
    assert len(maps(out)) == 3 and not report(out)["complete"]
    before = (out / "f1.png").stat().st_mtime_ns
    assert predict_video(reader(weights), frames, out).kept == 3
    assert (out / "f1.png").stat().st_mtime_ns == before
    whole, resumed = report(tmp_path / "whole"), report(out)
    unbroken, gone_on = maps(tmp_path / "whole"), maps(out)
    assert unbroken.keys() == gone_on.keys()
    assert all(np.array_equal(unbroken[name], gone_on[name]) for name in unbroken)
    assert {**whole, "ms_per_frame": 0} == {**resumed, "ms_per_frame": 0, "version": whole["version"]}

    save(frames / "f2.png", picture(60)[0])  # whatever had it in reach is answered again
    again = predict_video(reader(weights), frames, out)
    assert (again.made, again.kept) == (1 + REACH, N - 1 - REACH)
    cv2.imwrite(str(out / "f5.png"), np.zeros((64, 96), np.uint8))
    (out / "f4.png").unlink()
    told = predict_video(reader(weights), frames, out)
    assert told.made == 1 and "left alone" in told.refused["f5"]
    assert not maps(out)["f5"].any()


def reader(weights: Path) -> Callable[[], tuple[ClipReader, str]]:
    return lambda: (ClipReader(load_weights(weights)), "video_semantic-00000000")


def test_unrelated_stills_are_answered_each_by_itself(weights: Path, frames: Path, tmp_path: Path) -> None:
    assert run(weights, frames, tmp_path / "video") == 0
    assert run(weights, frames, tmp_path / "stills", "--unrelated") == 0
    one = ClipReader(load_weights(weights))
    for number, found in enumerate(maps(tmp_path / "stills").values()):
        one.reset()
        assert np.array_equal(found, one.push(picture(8 + 3 * number)[0]).labels)
    video, stills = maps(tmp_path / "video"), maps(tmp_path / "stills")
    assert any(not np.array_equal(video[name], stills[name]) for name in video), "the past does not matter"
    told = report(tmp_path / "stills")
    assert told["pairs"] == 0 and told["temporal_consistency"] is None


def test_a_folder_with_every_kind_of_trouble(
    weights: Path, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (frames / "f1.png").read_bytes()
    (frames / "f1.png").write_bytes(whole[: len(whole) // 2])
    save(frames / "f3.png", np.full((64, 96, 3), (250, 10, 200), np.uint8))  # another scene
    save(frames / "f4.png", picture(30)[0][:48, :80])  # another size
    out = tmp_path / "out"
    assert run(weights, frames, out) == 2
    assert "f1.png: the image cannot be decoded" in capsys.readouterr().err
    told = report(out)
    assert list(told["refused"]) == ["f1"] and told["complete"]
    assert maps(out)["f4"].shape == (48, 80)
    opened = {frame["name"]: frame["opens_scene"] for frame in told["frames"]}
    assert opened == {"f0": True, "f2": False, "f3": True, "f4": True, "f5": True}
    assert told["pairs"] == 0  # no two that stand side by side belong together


def test_one_frame_is_enough_and_other_weights_are_kept_apart(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "one", tmp_path / "out"
    folder.mkdir()
    save(folder / "only.png", picture(20)[0])
    assert run(weights, folder, out) == 0
    assert list(maps(out)) == ["only"] and report(out)["temporal_consistency"] is None
    other = write_knowing_scene(tmp_path / "other.safetensors", [picture(9)], CLASSES[:10])
    assert run(other, folder, out) == 2
    assert "another version" in capsys.readouterr().err
    assert run(weights, folder, folder) == 2
    assert run(weights, tmp_path / "nowhere", out) == 2
    assert run(tmp_path / "no.safetensors", folder, tmp_path / "new") == 2
    assert not (tmp_path / "new").exists()


def test_a_large_frame_is_answered_on_a_smaller_copy(weights: Path) -> None:
    small = picture(20)[0]
    large: Image = cv2.resize(small, (96 * 4, 64 * 4), interpolation=cv2.INTER_NEAREST)
    reads = ClipReader(load_weights(weights), work_pixels=96 * 64)
    answer = reads.push(large)
    assert answer.worked_hw == (64, 96) and answer.labels.shape == (256, 384)
    assert np.array_equal(answer.labels[::4, ::4], ClipReader(load_weights(weights)).push(small).labels)
    assert reads.reduced(reads.reduced(large)) is not large
