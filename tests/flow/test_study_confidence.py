"""The study of confidence on drawn sequences: a confidence that knows, one that lies, and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from backends.core.errors import BadInput
from backends.core.metrics import jaccard
from backends.core.types import Clip, FrameMasks, Prompt
from backends.video_object.network import Network, NetworkConfig
from backends.video_object.weights_file import save_weights
from pipelines import cli
from pipelines.media.davis import open_sequence
from pipelines.studies.confidence_pairs import pairs_of, report, table
from tests.media import NearestAnchor, draw_mask, save_frames, save_mask

FRAMES = 8


@pytest.fixture(autouse=True)
def in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that live for one test are not worth a graph."""
    monkeypatch.setenv("MASKLOOP_ENGINE", "torch")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "davis"
    for name, frames in (("long", FRAMES), ("short", 2)):
        save_frames(root / "JPEGImages" / name, frames)
        for frame in range(frames):
            mask = np.where(draw_mask(frame) == 1, 255, 0).astype(np.uint8)
            save_mask(root / "Annotations" / name / f"{frame:05d}.png", mask)
    return root


class Judged(NearestAnchor):
    """Repeats the first mask and knows (sign 1) or turns round (sign -1) how good that is."""

    def __init__(self, sign: int) -> None:
        super().__init__()
        self.sign = sign

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        for masks in super().segment(clip, prompts):
            j = jaccard(masks.masks["1"], draw_mask(masks.frame_index) == 1)
            signals = {"1": {"certainty": j, "never": 0.5}}
            yield FrameMasks(masks.frame_index, masks.masks, {"1": 0.5 + self.sign * j / 2}, signals=signals)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_confidence_that_knows_and_one_that_lies(sign: int, data: Path) -> None:
    pairs = pairs_of(Judged(sign), open_sequence(data, "long"))
    assert [pair.frame for pair in pairs] == list(range(1, FRAMES)), "the given frame is no evidence"
    found = report(pairs)
    assert found["spearman"] == pytest.approx(sign)
    assert found["per_sequence"]["long"]["spearman"] == pytest.approx(sign)
    assert found["signals"] == {"certainty": pytest.approx(1), "never": None}
    assert sum(one["count"] for one in found["bins"]) == FRAMES - 1
    assert f"{sign:.3f}" in table(found)
    json.dumps(found, allow_nan=False)


def test_an_object_without_an_answer_counts_as_wrong(data: Path) -> None:
    class Silent(NearestAnchor):
        def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
            yield from (FrameMasks(index, {}, {}) for index in range(len(clip)))

    pairs = pairs_of(Silent(), open_sequence(data, "long"))
    assert len(pairs) == FRAMES - 1 and all((pair.confidence, pair.j) == (0, 0) for pair in pairs)
    assert report(pairs)["spearman"] is None


def test_two_frames_are_too_few(data: Path) -> None:
    with pytest.raises(BadInput, match="short: 2 frames"):
        pairs_of(Judged(1), open_sequence(data, "short"))


def test_the_command(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    network = Network(NetworkConfig(embedding=32))
    weights = tmp_path / "weights.safetensors"
    save_weights(network.state_dict(), network.config, weights)
    files = f"--weights {weights} --json {tmp_path / 'pairs.json'} --plot {tmp_path / 'pairs.png'}"
    assert cli.main(f"study confidence --data {data} --sequences long --every 2 {files}".split()) == 0
    found = json.loads((tmp_path / "pairs.json").read_text())
    assert found["pairs_count"] == len(found["pairs"]) == FRAMES // 2 - 1
    assert all(0 <= pair["confidence"] <= 1 and 0 <= pair["j"] <= 1 for pair in found["pairs"])
    assert np.asarray(Pillow.open(tmp_path / "pairs.png")).std() > 0
    assert "Spearman" in capsys.readouterr().out
