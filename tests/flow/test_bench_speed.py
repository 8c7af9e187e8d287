"""The benchmark's report: every field, sane, and really measured on what it says. No time is tested."""

from __future__ import annotations

import json
import math
import mmap
from pathlib import Path

import numpy as np
import pytest

from backends.core.types import FrameMasks
from backends.video_object.network import Network, NetworkConfig
from backends.video_object.segmenter import VideoObjectSegmenter
from backends.video_object.weights_file import save_weights
from pipelines import cli
from pipelines.speed import plan
from pipelines.speed.memory import long_clip
from pipelines.speed.plan import Plan, Scene
from pipelines.speed.rounds import Candidate, take_turns

TINY = Plan(frame_hw=(240, 256), objects=(1, 3), rows=(240, 272), rounds=2, laps=1, warm_up=1, long_clip=6)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    network = Network(NetworkConfig(embedding=32, width=16))
    save_weights(network.state_dict(), network.config, tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_the_report_holds_what_was_measured(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: set[tuple[tuple[int, int], int]] = set()
    segment = VideoObjectSegmenter.segment

    def watched(self, clip, prompts):  # type: ignore[no-untyped-def]
        seen.add((clip.size_hw, len(prompts)))
        return segment(self, clip, prompts)

    monkeypatch.setattr(VideoObjectSegmenter, "segment", watched)
    monkeypatch.setattr(plan, "QUICK", TINY)
    monkeypatch.setenv("MASKLOOP_DATA_DIR", str(tmp_path / "data"))
    out = tmp_path / "bench.json"
    words = ["bench", "video_object", "--weights", str(weights), "--json", str(out)]
    assert cli.main([*words, "--quick", "--threads", "1"]) == 0
    report = json.loads(out.read_text())

    assert report["engine"] == "onnx" and report["frame_hw"] == [240, 256]
    for key in ("ms_per_frame", "network_ms", "trunk_ms", "ratio_to_trunk", "frame_ratio_to_trunk"):
        assert math.isfinite(report[key]) and report[key] > 0, key
    assert math.isclose(report["ratio_to_trunk"], report["network_ms"] / report["trunk_ms"], abs_tol=2e-3)
    by = [(row["engine"], row["threads"], row["objects"]) for row in report["objects"]]
    assert sorted(by) == [("onnx", 1, 1), ("onnx", 1, 3), ("torch", 1, 1), ("torch", 1, 3)]
    assert all(row["p95_ms"] >= row["ms_per_frame"] > 0 for row in report["objects"] + report["resolution"])
    assert {(row["rows"], row["columns"]) for row in report["resolution"]} == {(240, 256), (272, 290)}
    assert seen == {((240, 256), 1), ((240, 256), 3), ((272, 290), 1)}
    length = report["clip_length"]
    assert length["frames"] == 6 and length["rss_max_mb"] >= length["rss_end_mb"] > 10
    assert isinstance(length["rss_slope_mb"], float)
    assert "a further object adds" in capsys.readouterr().out


def test_what_cannot_be_timed_is_refused(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "clicks"]) == 2
    assert cli.main(["bench", "video_object", "--threads", "two"]) == 2
    assert cli.main(["bench", "video_object", "--weights", str(weights) + ".not"]) == 2
    said = capsys.readouterr().err
    assert (
        "'clicks' cannot be timed; known: video_object, " in said
        and "--threads two" in said
        and "no such file" in said
    )


def test_candidates_take_turns_and_the_warm_up_does_not_count() -> None:
    order: list[str] = []
    both = {name: Candidate(lambda n=name: order.append(n)) for name in "ab"}
    take_turns(both, rounds=2, laps=2, warm_up=1)
    assert "".join(order) == "ab" + "aabb" * 2
    assert [len(candidate.laps_ms) for candidate in both.values()] == [4, 4]


def test_the_scene_moves_and_holds_its_objects_apart() -> None:
    scene = Scene((120, 160), 5)
    clip, masks = scene.clip(40), [prompt.mask for prompt in scene.prompts()]
    assert clip.frames[0].shape == (120, 160, 3) and not np.array_equal(clip.frames[0], clip.frames[9])
    assert len(masks) == 5 and all(mask.any() for mask in masks) and sum(masks).max() == 1


def test_memory_that_grows_is_seen() -> None:
    class Hoarder:
        version = "hoarder"

        def segment(self, clip, prompts):  # type: ignore[no-untyped-def]
            kept = []
            for index in range(len(clip)):
                kept.append(mmap.mmap(-1, 1_000_000))  # malloc may hand out what earlier tests gave back
                kept[-1].write(b"x" * 1_000_000)
                yield FrameMasks(index, {}, {})

    found = long_clip(Hoarder(), Scene((48, 64), 1), 60)
    assert found["rss_slope_mb"] > 300 and found["rss_max_mb"] - found["rss_start_mb"] > 25
