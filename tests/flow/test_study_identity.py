"""The study of identity: masks that stay, masks that swap, and the command with a network of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from backends.core.errors import BadInput
from backends.core.types import Clip, FrameMasks, MaskPrompt, Prompt
from backends.video_object.network import Network, NetworkConfig
from backends.video_object.segmenter import VideoObjectSegmenter
from backends.video_object.weights_file import save_weights
from pipelines import cli
from pipelines.studies.contact_sheet import CELL_WIDTH_PX
from pipelines.studies.crossing import DrawnScene, draw_scene, scenes
from pipelines.studies.identity import without_votes
from pipelines.studies.identity_run import SHEET_FRAMES, measure

SIZE_HW, FRAMES = (96, 160), 10


@pytest.fixture(autouse=True)
def in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that live for one test are not worth a graph."""
    monkeypatch.setenv("MASKLOOP_ENGINE", "torch")


class Knows:
    """Answers with the truth; from half of the clip on, object 1 and 2 change places where ``swaps``."""

    def __init__(self, drawn: Sequence[DrawnScene], swaps: bool):
        self.drawn: Mapping[str, DrawnScene] = {d.clip.clip_id: d for d in drawn}
        self.swaps = swaps
        self.version = f"knows-{swaps}"

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        given = [int(prompt.object_id) for prompt in prompts]
        for index in reversed(range(len(clip))):
            masks = self.drawn[clip.clip_id].masks(index)
            if self.swaps and index >= FRAMES // 2:
                masks |= {1: masks[2], 2: masks[1]}
            yield FrameMasks(index, {str(n): masks[n] for n in given}, {})


def test_a_swap_shows_and_a_right_answer_does_not() -> None:
    clips = list(scenes(3, 0, SIZE_HW, FRAMES))
    drawn = [draw_scene(scene) for scene in clips]
    variants = {"right": Knows(drawn, swaps=False), "swapped": Knows(drawn, swaps=True)}
    report, sheet = measure(variants, clips)
    for condition in ("all", "one"):
        right, swapped = report["right"][condition], report["swapped"][condition]
        assert right["switched_frames"] == right["events_per_object"] == right["lost_frames"] == 0
        assert right["j"] == 100
        assert 45 < swapped["switched_frames"] < 65 and swapped["ended_switched"] == 100
        assert swapped["switched_clips"] == 100 and swapped["events_per_object"] == 1
        assert set(right["kinds"]) == {"cross", "pass", "turn"} and len(right["per_clip"]) == 3
    assert report["right"]["all"]["objects"] == 6 and report["right"]["one"]["objects"] == 3
    assert len(sheet) == 3 * (1 + 2 * 2) and all(len(row.pictures) == SHEET_FRAMES for row in sheet)
    json.dumps(report, allow_nan=False)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = Network(NetworkConfig(embedding=32))
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_weights(network.state_dict(), network.config, path)
    return path


def test_the_command_writes_figures_plot_and_sheet(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"study identity --weights {weights} --centre-off --sequences 1 --frames 8 --size 160x96"
    files = {name: tmp_path / name for name in ("figures.json", "plot.png", "sheet.png")}
    options = zip(("--json", "--plot", "--sheet"), map(str, files.values()), strict=True)
    assert cli.main([*words.split(), *(word for pair in options for word in pair)]) == 0
    report = json.loads(files["figures.json"].read_text())
    assert len(report["variants"]) == 2 and any("centre off" in name for name in report["variants"])
    for variant in report["variants"].values():
        assert 0 <= variant["all"]["switched_frames"] <= 100 and variant["one"]["objects"] == 1
    assert np.asarray(Pillow.open(files["plot.png"])).std() > 0
    assert Pillow.open(files["sheet.png"]).width == CELL_WIDTH_PX * SHEET_FRAMES
    assert "switched %" in capsys.readouterr().out


def test_centre_votes_that_are_switched_off_are_not_heard() -> None:
    [drawn] = [draw_scene(scene) for scene in scenes(1, 0, SIZE_HW, 8)]
    prompts = [MaskPrompt(str(number), 0, mask) for number, mask in drawn.masks(0).items()]
    answers = []
    for change in (lambda unchanged: unchanged, without_votes):
        torch.manual_seed(0)
        network = Network(NetworkConfig(embedding=32, co="fuse"))
        network.log_gamma.data.fill_(3.0)  # loud
        segmenter = change(VideoObjectSegmenter(network, "loud"))
        answers.append([masks.masks["1"] for masks in segmenter.segment(drawn.clip.part(0, 3), prompts)])
    assert any(not np.array_equal(one, other) for one, other in zip(*answers, strict=True))
    with pytest.raises(BadInput, match="no centre votes"):
        without_votes(VideoObjectSegmenter(Network(NetworkConfig(embedding=32, co="off")), "mute"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--size 854", "wants WIDTHxHEIGHT"),
        ("--frames 2", "8 frames or more"),
        ("--weights x", "no such file"),
    ],
)
def test_refusals(words: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["study", "identity", *words.split()]) == 2
    assert says in capsys.readouterr().err
