"""Calibration: what predicts J gets weight, what does not gets none, and the weights carry the fit."""

import numpy as np
import pytest

from backends.core.errors import BadInput
from backends.core.types import FrameMasks
from backends.video_object.confidence import Calibration
from backends.video_object.network import Network, NetworkConfig
from backends.video_object.segmenter import load
from backends.video_object.weights_file import save_weights
from pipelines import calibrate
from pipelines.calibrate import Sample
from pipelines.media import davis
from tests.media import make_davis


def drawn(count: int = 400) -> list[Sample]:
    rng = np.random.default_rng(0)
    noise, told = rng.uniform(0, 1, count), rng.uniform(0, 1, count)
    wanted = 1 / (1 + np.exp(-(6 * told - 3)))
    return [
        Sample(f"clip {i % 4}", "first", {"told": float(t), "noise": float(n)}, float(w))
        for i, (t, n, w) in enumerate(zip(told, noise, wanted, strict=True))
    ]


def test_the_fit_finds_what_made_the_truth():
    weights, bias = calibrate.fit(drawn(), ["told", "noise"])
    assert weights["told"] == pytest.approx(6, abs=0.5) and abs(weights["noise"]) < 0.2
    assert bias == pytest.approx(-3, abs=0.4)
    found = calibrate.report(drawn(), ["told", "noise"])
    assert found["spearman"]["all"] > 0.99 and found["spearman_left_out"]["first"] > 0.99
    assert found["spearman"]["cut"] is None and "told" in calibrate.table(found)
    with pytest.raises(BadInput, match="no signal charm"):
        calibrate.fit(drawn(), ["charm"])


def test_no_signal_counts_against_its_sense():
    rng = np.random.default_rng(1)
    told, misled = rng.uniform(0, 1, 300), rng.uniform(0, 1, 300)
    wanted = 1 / (1 + np.exp(-(4 * told - 3 * misled)))
    samples = [
        Sample(f"clip {i % 3}", "first", {"certainty": float(t), "steady": float(m)}, float(w))
        for i, (t, m, w) in enumerate(zip(told, misled, wanted, strict=True))
    ]
    weights, _ = calibrate.fit(samples, ["certainty", "steady"])
    assert weights["certainty"] > 2 and weights["steady"] == 0


class Sketchy:
    """A segmenter whose certainty is the true J of a mask that shrinks from frame to frame."""

    version = "sketchy"

    def segment(self, clip, prompts):
        for t in range(len(clip)):
            anchors = {p.object_id for p in prompts if p.frame_index == t}
            mask = prompts[0].mask.copy()
            mask[:, : 4 * t] = False
            signals = {p.object_id: {"certainty": 1 - t / len(clip)} for p in prompts}
            yield FrameMasks(
                t,
                dict.fromkeys(signals, mask),
                dict.fromkeys(signals, 0.5),
                frozenset(anchors),
                signals={n: s for n, s in signals.items() if n not in anchors},
            )


def test_frames_behind_a_cut_are_wanted_at_zero(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "BEFORE_CUT", 3)
    root = make_davis(tmp_path)
    opened = [davis.open_sequence(root, name) for name in ("one", "two")]
    samples = calibrate.samples_of(Sketchy(), opened)
    cut = [s for s in samples if s.kind == "cut"]
    behind = [s.wanted for s in cut if s.signals["certainty"] < 0.5]
    assert len(behind) >= 2 and not any(behind)
    assert any(s.wanted > 0 for s in cut), "frames before the cut keep their J"
    assert {s.kind for s in samples} == {"first", "both", "cut"}
    with pytest.raises(BadInput, match="two or more"):
        calibrate.samples_of(Sketchy(), opened[:1])


def test_weights_carry_the_fit_and_answer_with_it(tmp_path):
    path = tmp_path / "weights.safetensors"
    network = Network(NetworkConfig(embedding=16, width=8))
    save_weights(network.state_dict(), network.config, path)
    assert load(path).calibration == Calibration()
    calibrate.write(path, {"weights": {"entropy": -3.0}, "bias": 1.0}, path)
    again = load(path)
    assert again.calibration == Calibration({"entropy": -3.0}, 1.0)
    assert again.network.config == network.config
