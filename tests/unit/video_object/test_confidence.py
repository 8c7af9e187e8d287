"""Signals that say how far a mask can be trusted, their calibration, and the fusion that leans on them."""

import math

import pytest
import torch

from backends.core.errors import SetupFault
from backends.video_object import confidence
from backends.video_object.confidence import SIGNALS, Calibration
from backends.video_object.fusion import Waiting, fuse
from backends.video_object.memory import Given
from backends.video_object.walk import Seen


def blob(value: float, row: int = 4) -> torch.Tensor:
    p = torch.zeros(16, 16)
    p[row : row + 6, 4:10] = value
    return p


def test_signals_tell_sure_from_unsure_and_agreement_from_its_opposite():
    assert confidence.certainty(blob(0.9)) == pytest.approx(0.9)
    assert confidence.certainty(torch.zeros(4, 4)) == 1.0
    assert confidence.entropy(blob(0.6)) > confidence.entropy(blob(0.95)) > confidence.entropy(blob(1.0)) == 0
    assert confidence.disagreement(blob(1.0), blob(1.0)) == 0
    assert confidence.disagreement(blob(1.0), blob(1.0, 10)) == 1
    assert confidence.disagreement(torch.zeros(4, 4), torch.zeros(4, 4)) == 0
    one, other = torch.zeros(2), torch.tensor([30.0, 40.0])
    assert confidence.jump(one, other, math.pi * 50**2) == pytest.approx(1.0)
    assert confidence.change(1000, 1000) == 0 and confidence.change(2016, 1000) == pytest.approx(1, abs=0.02)
    assert confidence.familiar(torch.tensor([1.0, 0.2]), torch.tensor([1.0, 0.0])) == 1.0


def test_calibration_goes_round_and_refuses_unknown_signals():
    signals = dict.fromkeys(SIGNALS, 0.5) | {"certainty": 0.7}
    assert Calibration().of(signals) == 0.7
    fitted = Calibration({"entropy": -4.0, "familiar": 2.0}, 0.5)
    again = Calibration.read(fitted.text())
    assert again == fitted and again.of(signals) == pytest.approx(1 / (1 + math.exp(0.5)))
    with pytest.raises(SetupFault, match="unknown signals: charm"):
        Calibration.read('{"weights": {"charm": 1}, "bias": 0}')


def seen(frame: int, p: torch.Tensor, certainty: float) -> Seen:
    return Seen(frame, p[None], (True,), {0: {"certainty": certainty}})


def given_on(*frames: int) -> Given:
    import numpy as np

    from backends.core.types import MaskPrompt

    mask = np.ones((8, 8), bool)
    return Given(("cat",), {t: {0: MaskPrompt("cat", t, mask)} for t in frames})


def test_the_surer_pass_weighs_more_and_disagreement_is_told():
    here, there = blob(1.0), blob(1.0, 9)
    device = torch.device("cpu")
    even = fuse(seen(5, here, 0.9), Waiting.of(seen(5, there, 0.9)), given_on(0, 10), device)
    assert float(even.probabilities[0, 5, 5]) == pytest.approx(0.5, abs=0.01)
    leaning = fuse(seen(5, here, 0.95), Waiting.of(seen(5, there, 0.5)), given_on(0, 10), device)
    assert float(leaning.probabilities[0, 5, 5]) > 0.7
    assert leaning.signals[0]["disagreement"] > 0.8
    near = fuse(seen(9, here, 0.9), Waiting.of(seen(9, there, 0.9)), given_on(0, 10), device)
    assert float(near.probabilities[0, 5, 5]) == pytest.approx(0.1, abs=0.01)


def test_before_its_first_mask_an_object_is_known_from_the_backward_pass_alone():
    device = torch.device("cpu")
    ahead = Seen(2, torch.zeros(1, 16, 16), (False,), {})
    fused = fuse(ahead, Waiting.of(seen(2, blob(1.0), 0.8)), given_on(6), device)
    assert fused.live == (True,) and float(fused.probabilities[0, 5, 5]) == 1.0
    assert fused.signals[0]["certainty"] == 0.8
