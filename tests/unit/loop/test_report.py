"""What stands in report.json: bounded, complete, and whole where a run's folder is not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from backends.loop.folder import ProjectFolder
from backends.settings import Settings
from pipelines.loop.report import CLIPS_SHOWN, build_report, table, told, write_report
from pipelines.loop.report_runs import CURVE_POINTS, RUNS_SHOWN, WITH_EXAMPLES, runs_told, thinned
from pipelines.loop.side_by_side import EXAMPLES_SHOWN, IGNORE, examples_told, mean_iou
from tests.run_folders import labels, write_run
from tests.saved_clips import V1, V2, clip, project, proposals, saved


@pytest.fixture
def folder(tmp_path: Path) -> ProjectFolder:
    return ProjectFolder(tmp_path, 3)


def report_of(*clips: Any, **more: Any) -> dict[str, Any]:
    return build_report(project(clips, **more), [], now=1_800_000_000.0)


def test_a_report_tells_versions_clips_and_counts() -> None:
    by_hand = clip([saved("painted", n) for n in range(4)], number=1, frames=4, seconds=80)
    helped = clip(proposals(V1, 2, [0.5]), number=2, frames=4, seconds=12)
    made = report_of(helped, by_hand, tasks=5, untouched=3)
    assert [(v["version"], v["kind"], v["clips"]) for v in made["versions"]] == [
        ("", "by_hand", 1),
        (V1, "version", 1),
    ]
    version = made["versions"][1]
    assert (version["proposals"], version["accepted_share"]) == (3, 0.666667)
    assert version["iou"]["mean"] == 0.833333 and version["bands"] == [0, 1, 0, 0, 2]
    assert version["seconds_per_frame"] == 3 and version["corrections"]["mean"] == 2
    assert made["counts"] == {
        **{"clips": 2, "frames": 8, "masks": 8, "accepted": 2, "corrected": 1, "painted": 5},
        "removed": 0,
    }
    assert [one["name"] for one in made["clips"]] == ["clip-001", "clip-002"], "in the order of saving"
    assert made["project"]["untouched"] == 3 and made["project"]["unit"] == "clip"
    json.dumps(made, allow_nan=False)


def test_photos_are_called_photos() -> None:
    photo = clip([saved("accepted", 0, by="weak_shot-1a2b3c4d")], frames=1, seconds=9)
    made = report_of(photo, kind="weak_shot")
    assert made["project"]["unit"] == "photo"
    assert "1 photo, 1 frames, 1 masks: 1 left as proposed" in told(made)


def test_an_empty_project_says_so() -> None:
    made = report_of()
    assert told(made) == "nothing was submitted yet"
    assert made["versions"] == [] and made["clips"] == []


def test_many_clips_are_counted_but_only_the_last_are_told_one_by_one() -> None:
    many = [clip([saved("accepted", 0, by=V1)], number=n, frames=1) for n in range(1, CLIPS_SHOWN + 8)]
    made = report_of(*many)
    assert len(made["clips"]) == CLIPS_SHOWN and made["clips_left_out"] == 7
    assert made["versions"][0]["clips"] == CLIPS_SHOWN + 7
    assert made["clips"][-1]["name"] == many[-1].name


def test_the_table_has_a_line_per_version() -> None:
    lines = table(report_of(clip(proposals(V1, 3), number=1), clip(proposals(V2, 1), number=2))).splitlines()
    assert [line.split()[0] for line in lines[1:]] == [V1, V2]
    assert "100 %" in lines[1] and lines[0].split()[:4] == ["version", "clips", "frames", "proposals"]


def test_what_is_written_is_what_is_returned(folder: ProjectFolder, tmp_path: Path) -> None:
    write_run(folder)
    made = write_report(project([clip(proposals(V1, 2))]), Settings(data_dir=tmp_path))
    assert json.loads(folder.report_path.read_text()) == json.loads(json.dumps(made))
    assert [run["run"] for run in made["runs"]] == ["0001-1a2b3c4d"]


def test_a_run_has_its_decision_scores_curves_and_examples(folder: ProjectFolder) -> None:
    write_run(folder)
    [run] = runs_told(folder)
    assert (run["outcome"], run["served"], run["candidate"]) == ("waiting", V1, V2)
    assert run["reasons"][0].startswith("J&F over all held-out clips")
    assert run["metric"] == "J&F" and run["overall"] == {"served": 60.0, "candidate": 70.0, "count": 12}
    bike = next(row for row in run["classes"] if row["name"] == "bike")
    assert (bike["served"], bike["candidate"], bike["count"]) == (59.5, 58.0, 12)
    assert [row["name"] for row in run["videos"]] == ["market", "station"]
    assert run["benchmark"] == {"name": "drawn clips", "note": "", "served": 30.0, "candidate": 35.0}
    assert [panel["title"] for panel in run["curves"]] == ["loss", "length of the gradient"]
    [line] = run["curves"][0]["lines"]
    assert len(line["points"]) == CURVE_POINTS and line["points"][-1][0] == 400
    first, second = run["examples"]
    assert (first["clip"], first["frame"]) == ("market-000", 5)
    assert (first["served"], first["candidate"]) == (0.333, 1.0)
    assert second["candidate"] < 1


def test_the_pictures_show_frame_answers_and_truth(folder: ProjectFolder) -> None:
    run = write_run(folder)
    first = examples_told(run)[0]
    shown = {who: cv2.imread(str(run / "shown" / name)) for who, name in first["pictures"].items()}
    assert set(shown) == {"picture", "truth", "served", "candidate"}
    assert np.abs(shown["picture"].astype(int) - 90).max() < 8
    inside = (20, 45)  # in the served answer, outside of the truth
    assert np.abs(shown["served"][inside].astype(int) - 90).max() > 25
    assert np.abs(shown["truth"][inside].astype(int) - 90).max() < 12
    assert np.abs(shown["candidate"].astype(int) - shown["truth"].astype(int)).max() < 8, "equal masks"


def test_of_many_examples_both_ends_are_shown(folder: ProjectFolder) -> None:
    found = examples_told(write_run(folder, clips=20))
    gains = [one["candidate"] - one["served"] for one in found]
    assert len(found) == EXAMPLES_SHOWN and gains == sorted(gains, reverse=True)
    assert found[0]["clip"] == "market-000" and found[-1]["clip"] == "market-019"
    assert gains[-1] < 0, "where it lost is shown too"


def test_only_the_newest_runs_are_drawn_and_told(folder: ProjectFolder) -> None:
    for number in range(1, RUNS_SHOWN + 3):
        write_run(folder, f"{number:04d}-1a2b3c4d", clips=1)
    runs = runs_told(folder)
    assert [run["run"][:4] for run in runs[:2]] == [f"{RUNS_SHOWN + 2:04d}", f"{RUNS_SHOWN + 1:04d}"]
    assert len(runs) == RUNS_SHOWN
    assert [bool(run["examples"]) for run in runs].count(True) == WITH_EXAMPLES


def spoil_scores(run: Path) -> None:
    (run / "scores.json").write_text('{"candidate": {"version": "x"}, "served": 3}')


def spoil_examples(run: Path) -> None:
    (run / "examples" / "examples.json").write_text('[3, {"clip": "a"}, {"clip": "b", "image": "../../x"}]')


def lead_out(run: Path) -> None:
    rows = json.loads((run / "examples" / "examples.json").read_text())
    rows[0]["image"], rows[1]["truth"] = "../../../secret.jpg", "../scores.json"
    (run.parents[3] / "secret.jpg").write_bytes(b"")
    (run / "examples" / "examples.json").write_text(json.dumps(rows))


SPOILT = [
    (spoil_scores, ("classes", "videos")),
    (lambda run: (run / "scores.json").unlink(), ("classes", "videos")),
    (lambda run: (run / "metrics.jsonl").write_text("torn"), ("curves",)),
    (spoil_examples, ("examples",)),
    (lead_out, ("examples",)),
    (lambda run: (run / "plan.json").unlink(), ("examples",)),
    (lambda run: shutil.rmtree(run.parents[1] / "snapshot"), ("examples",)),
    (lambda run: [path.write_bytes(b"no png") for path in (run / "examples").glob("*.png")], ("examples",)),
]


@pytest.mark.parametrize(("spoil", "lost"), SPOILT, ids=range(len(SPOILT)))
def test_a_spoilt_file_costs_its_own_part_only(
    folder: ProjectFolder, spoil: Any, lost: tuple[str, ...]
) -> None:
    write_run(folder)
    whole = runs_told(folder)[0]
    shutil.rmtree(folder.path)
    spoil(write_run(folder))
    [run] = runs_told(folder)
    for part in ("classes", "videos", "curves", "examples"):
        assert bool(run[part]) == (part not in lost), part
        assert whole[part]
    assert run["reasons"] and run["outcome"] == "waiting"


def test_stages_of_a_run_have_curves_of_their_own(folder: ProjectFolder) -> None:
    run = write_run(folder)
    (run / "metrics.jsonl").unlink()
    for stage in ("boundary", "affinity"):
        (run / "stages" / stage).mkdir(parents=True)
        (run / "stages" / stage / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    titles = {panel["title"] for panel in runs_told(folder)[0]["curves"]}
    assert titles == {"stages/boundary: loss", "stages/affinity: loss"}


@pytest.mark.parametrize("count", [1, 79, 80, 81, 1000])
def test_a_thinned_curve_keeps_its_end_and_its_mean(count: int) -> None:
    points = [(float(n), float(n)) for n in range(1, count + 1)]
    thin = thinned(points)
    assert len(thin) <= CURVE_POINTS and thin[-1][0] == count
    assert thin[0][1] == pytest.approx(np.mean([n for n, _ in points[: -(-count // CURVE_POINTS)]]))


def test_unjudged_pixels_and_backgrounds_count_for_nothing() -> None:
    truth, answer = labels(20), labels(30)
    assert mean_iou(truth, answer, is_scene=False) == 0.333
    assert mean_iou(truth, answer, is_scene=True) == pytest.approx((0.333 + 2472 / 2872) / 2, abs=2e-3)
    truth[:, 40:] = IGNORE
    assert mean_iou(truth, answer, is_scene=False) == 0.5
    assert mean_iou(np.zeros_like(truth), np.zeros_like(truth), is_scene=False) is None


def test_notes_of_the_reading_are_passed_on() -> None:
    made = build_report(replace(project([]), notes=("task 4: skipped",)), [], now=1.0)
    assert made["notes"] == ["task 4: skipped"]
