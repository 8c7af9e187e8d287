"""The weights that ship for whole scenes: small enough, of CamVid's classes, looking back, with a card."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backends.video_semantic.loaders.camvid import CLASSES
from backends.video_semantic.stream import Stream
from backends.video_semantic.weights_file import load_weights

FOLDER = Path(__file__).parents[3] / "backends" / "video_semantic" / "weights"
WEIGHTS = FOLDER / "weights.safetensors"

pytestmark = pytest.mark.skipif(not WEIGHTS.is_file(), reason="no weights of video_semantic ship here")


def test_they_are_what_the_card_beside_them_says() -> None:
    assert WEIGHTS.stat().st_size <= 15_000_000
    loaded = load_weights(WEIGHTS)
    assert loaded.classes == CLASSES and loaded.config.encoder == "mobilenet_v2"
    temporal = loaded.network.temporal
    assert temporal is not None and temporal.rho > 0 and bool(temporal.expand.weight.any())
    card = (FOLDER / "MODEL_CARD.md").read_text()
    assert "CamVid" in card and "**Limits.**" in card and "TODO" not in card and "___" not in card


def test_they_answer_a_stream_of_frames() -> None:
    stream = Stream(load_weights(WEIGHTS).network)
    for frame in torch.rand(3, 3, 72, 96, generator=torch.Generator().manual_seed(0)):
        assert stream.push(frame).argmax(1).shape == (1, 72, 96)
    assert len(stream) > 0
