"""The study of corrections: passes kept on disk, gone on with after a stop, and the command as a whole."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from backends.core.types import Clip, FrameMasks, MaskPrompt, Prompt
from backends.video_object.network import Network, NetworkConfig
from backends.video_object.weights_file import save_weights
from pipelines import cli
from pipelines.progress import quiet
from pipelines.studies.correction_curves import Corrected, report
from pipelines.studies.corrections import correct, open_sequences
from tests.media import NearestAnchor, draw_mask, save_frames, save_mask

FRAMES = 9
PER_STRATEGY = 2
ALL_PASSES = 1 + PER_STRATEGY * (3 + 2)  # the start, three strategies, two random orders


@pytest.fixture(autouse=True)
def in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that live for one test are not worth a graph."""
    monkeypatch.setenv("MASKLOOP_ENGINE", "torch")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "davis"
    for name in ("one", "two"):
        save_frames(root / "JPEGImages" / name, FRAMES)
        for frame in range(FRAMES):
            mask = np.where(draw_mask(frame) == 1, 255, 0).astype(np.uint8)
            save_mask(root / "Annotations" / name / f"{frame:05d}.png", mask)
    return root


class Knowing(NearestAnchor):
    """Repeats the nearest given mask; is least sure of frame 4. Stops dead after ``strength`` passes."""

    def __init__(self, strength: int = 1000) -> None:
        super().__init__()
        self.asked: list[tuple[int, ...]] = []
        self.strength = strength

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        if len(self.asked) == self.strength:
            raise KeyboardInterrupt
        assert all(isinstance(p, MaskPrompt) and p.is_anchor for p in prompts)
        given = [p.frame_index for p in prompts]
        self.asked.append(tuple(given))
        for masks in super().segment(clip, prompts):
            index = masks.frame_index
            sure = 1.0 if index in given else 0.1 * abs(index - 4)
            yield FrameMasks(index, masks.masks, {"1": sure}, frozenset({"1"} if index in given else ()))


def study(segmenter: NearestAnchor, data: Path, out: Path, name: str = "one", every: int = 1) -> Corrected:
    [sequence] = open_sequences(data, name, every, PER_STRATEGY)
    args = Namespace(out=out, corrections=PER_STRATEGY, seeds=2, every=every)
    return correct(segmenter, sequence, args, progress=quiet)


def test_strategies_choose_and_corrected_frames_score_as_corrected(data: Path, tmp_path: Path) -> None:
    segmenter = Knowing()
    found = study(segmenter, data, tmp_path / "out")
    assert len(segmenter.asked) == ALL_PASSES
    chosen = {s: [one.corrected for one in runs[0]] for s, runs in found.lines.items()}
    assert chosen["confidence"] == [(), (4,), (4, 3)], "the least sure, then the least sure of the rest"
    assert chosen["true_j"][1] == (6,), "the first frame on which the square has left its old place"
    assert chosen["even"] == [(), (5,), (3, 6)]
    for runs in found.lines.values():
        for one in (one for run in runs for one in run):
            assert all(one.j["1"][frame - 1] == 1 for frame in one.corrected)
    curves = report([found])["curves"]
    for curve in curves.values():
        assert curve["all"]["j"][0] < curve["all"]["j"][-1] < 100


def test_a_stopped_study_goes_on_where_it_was(data: Path, tmp_path: Path) -> None:
    whole = study(Knowing(), data, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        study(Knowing(strength=5), data, tmp_path / "out")
    second = Knowing()
    resumed = study(second, data, tmp_path / "out")
    assert len(second.asked) == ALL_PASSES - 5
    assert {s: [[one.j for one in r] for r in runs] for s, runs in resumed.lines.items()} == {
        s: [[one.j for one in r] for r in runs] for s, runs in whole.lines.items()
    }
    third = Knowing()
    study(third, data, tmp_path / "out")
    assert third.asked == [], "all was there"


def test_other_weights_or_frames_are_not_mixed_with_what_is_kept(data: Path, tmp_path: Path) -> None:
    study(Knowing(), data, tmp_path)
    other = Knowing()
    other.version = "nearest-11111111"
    study(other, data, tmp_path)
    assert len(other.asked) == ALL_PASSES
    thinned = Knowing()
    found = study(thinned, data, tmp_path, every=2)
    assert found.n_frames == 5 and len(thinned.asked) == ALL_PASSES
    assert max(frame for given in thinned.asked for frame in given) <= 3


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = Network(NetworkConfig(embedding=32))
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_weights(network.state_dict(), network.config, path)
    return path


def test_the_command(data: Path, tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"study corrections --data {data} --sequences one,two --corrections 1 --seeds 1 --every 2"
    files = f"--out {tmp_path / 'out'} --json {tmp_path / 'c.json'} --plot {tmp_path / 'c.png'}"
    assert cli.main(f"{words} {files} --weights {weights}".split()) == 0
    found = json.loads((tmp_path / "c.json").read_text())
    assert set(found["curves"]) == {"confidence", "true_j", "random", "even"}
    assert all(len(curve["all"]["j_and_f"]) == 2 for curve in found["curves"].values())
    assert found["every"] == 2 and set(found["seconds"]) == {"one", "two"}
    assert np.asarray(Pillow.open(tmp_path / "c.png")).std() > 0
    assert "evenly spaced" in capsys.readouterr().out
    assert len(list((tmp_path / "out").rglob("random-0.json"))) == 2


@pytest.mark.parametrize(
    ("option", "says"),
    [("--corrections 8", "8 corrections on 9 frames: wants 1 to 7"), ("--every 0", "wants 1"),
     ("--sequences three", "no sequence three")],
)  # fmt: skip
def test_refusals(option: str, says: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(f"study corrections --data {data} --out {data / 'out'} {option}".split()) == 2
    assert says in capsys.readouterr().err
