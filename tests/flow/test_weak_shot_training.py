"""Weak-shot training on drawn photos: whole, killed and resumed, on another run's networks; its ladder."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backends.core.errors import BadInput
from backends.weak_shot import subjects, weights_file
from backends.weak_shot.album import Album
from backends.weak_shot.labeller import Labeller
from backends.weak_shot.loaders import open_photos
from backends.weak_shot.pictures import Shelf
from backends.weak_shot.places import in_run
from backends.weak_shot.recipe import Budget, config_from
from backends.weak_shot.stages import Means, Stages
from backends.weak_shot.training import Batch, Training
from pipelines import cli
from pipelines.train import read_config, train
from tests.tagged_folders import make_snapshot

PETS = {"names": ["cat", "dog", "fish"], "novel": ["fish"]}
TAGGED = {"a": [1, 2], "b": [1], "c": [2], "d": [1, 3], "e": [3], "f": [2, 3], "g": [2, 1], "h": [1, 3]}
NETWORKS = ("classifier", "boundary_net", "affinity", "segmentation")


def settings(steps: int = 2) -> list[str]:
    budget = {"steps": steps, "batch": 2, "warm_up": 1, "view": {"side_px": 48}}
    values = [f"{name}={json.dumps(budget)}" for name in NETWORKS]
    responses = '{"scales": [1.0], "flip": false}'
    return [*values, f"responses={responses}", "checkpoint_every=2", "amp=false", "long_side_px=60"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos of bars; four show a class known by its tags alone."""
    return make_snapshot(tmp_path_factory.mktemp("pets"), PETS, TAGGED, tuple(TAGGED))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return train("weak_shot", data=data, out=out, overrides=settings(4)).parent


def steps_of(stage: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (stage / "metrics.jsonl").read_text().splitlines()]


def test_one_bundle_comes_out_with_its_card_and_masks(data: Path, whole: Path) -> None:
    bundle = weights_file.load(whole / "weights.safetensors")
    assert set(bundle.parts) == {"classifier", "boundary", "affinity", "segmentation"}
    assert bundle.classes.names == ("cat", "dog", "fish") and bundle.classes.novel == {"fish"}
    card = json.loads((whole / "card.json").read_text())
    assert card["photos"]["base"] + card["photos"]["novel"] == card["photos"]["train"]
    assert set(card["seconds"]) >= {"classifier", "boundary", "affinity", "segmentation"}
    for stage in ("classifier", "boundary", "affinity", "segmentation"):
        assert steps_of(whole / stage) == [1, 2, 3, 4]
    photos = open_photos(data, 0)
    assert {p.stem for p in (whole / "masks").glob("*.png")} == {p.name for p in photos.novel_images}


def test_a_stage_labels_a_photo_as_the_bundle_does(data: Path, whole: Path) -> None:
    config = config_from(read_config(None, settings(4)))
    photos = open_photos(data, 0)
    album = Album(photos, 60, Shelf(10**7))
    stages = Stages(config, Means(album, in_run(whole), taught={}))
    labeller = Labeller(weights_file.load(whole / "weights.safetensors"), long_side_px=60)
    for photo in photos.train[:3]:
        mine = stages.pseudo_mask(photo)
        theirs = labeller.label(photos.image(photo), photo.tags).labels
        assert (mine == theirs).mean() > 0.97, photo.name  # half precision in the file


def test_a_killed_run_goes_on_to_the_same_weights(data: Path, whole: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    script = (
        "import torch; torch.set_num_threads(1); "
        "from pathlib import Path; from pipelines.train import train; "
        f"train('weak_shot', data=Path({str(data)!r}), out=Path({str(killed)!r}), overrides={settings(4)!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    log, deadline = killed / "affinity" / "metrics.jsonl", time.monotonic() + 240
    while not log.is_file() or len(log.read_text().splitlines()) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (killed / "weights.safetensors").exists()
    stamp = (killed / "classifier" / "weights.safetensors").stat().st_mtime_ns

    resumed = train("weak_shot", data=data, out=killed, overrides=settings(4))
    assert (killed / "classifier" / "weights.safetensors").stat().st_mtime_ns == stamp, "done once"
    assert steps_of(killed / "affinity") == [1, 2, 3, 4]
    one, other = load_file(whole / "weights.safetensors"), load_file(resumed)
    assert set(one) == set(other)
    for name in one:
        assert torch.allclose(one[name].float(), other[name].float(), atol=2e-3), name

    with pytest.raises(BadInput, match="other settings"):
        train("weak_shot", data=data, out=killed, overrides=settings(5))


def test_a_project_begins_with_the_pair_of_another_run(whole: Path, tmp_path: Path) -> None:
    classes = {"names": ["pear", "plum"], "novel": ["pear", "plum"]}
    photos = {"a": [1], "b": [2], "c": [1, 2], "d": [2], "e": [1]}
    fruit = make_snapshot(tmp_path / "fruit", classes, photos)
    with pytest.raises(BadInput, match="no base masks"):
        train("weak_shot", data=fruit, out=tmp_path / "run", overrides=settings())
    begun = whole / "pair.safetensors"
    assert set(weights_file.load(begun).parts) == {"boundary", "affinity"}
    out = train("weak_shot", data=fruit, out=tmp_path / "run", overrides=settings(), start_from=begun)
    bundle, before = weights_file.load(out), weights_file.load(begun)
    assert bundle.classes.names == ("pear", "plum") and len(bundle.parts) == 4
    for name in ("boundary", "affinity"):
        mine, theirs = bundle.parts[name].state_dict(), before.parts[name].state_dict()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine), name
    assert not (tmp_path / "run" / "affinity").exists(), "nothing is trained again"
    other = [*settings(), "trunk=resnet50"]
    with pytest.raises(BadInput, match="stand on mobilenet_v2"):
        train("weak_shot", data=fruit, out=tmp_path / "other", overrides=other, start_from=begun)


def test_a_tuned_run_learns_on_from_classifier_and_final_network_by_class(
    whole: Path, tmp_path: Path
) -> None:
    classes = {"names": ["fish", "crab", "cat"], "novel": ["fish"]}
    photos = {"a": [1, 2], "b": [3], "c": [3], "d": [2], "e": [1], "f": [1, 3], "g": [2]}
    sea = make_snapshot(tmp_path / "sea", classes, photos)
    still = ["learning_rate", "trunk_rate"]
    rates = [f"{name}.{rate}=0.0" for name in ("classifier", "segmentation") for rate in still]
    start = whole / "weights.safetensors"
    out = train(
        "weak_shot",
        data=sea,
        out=tmp_path / "run",
        overrides=[*settings(), *rates],
        start_from=start,
        tune=True,
    )
    now, before = weights_file.load(out), weights_file.load(start)
    head = now.classifier.head.weight, before.classifier.head.weight  # type: ignore[union-attr]
    assert torch.allclose(head[0][0], head[1][2], atol=1e-3) and torch.allclose(
        head[0][2], head[1][0], atol=1e-3
    )
    assert not any(torch.allclose(head[0][1], row, atol=1e-3) for row in head[1]), "nobody knew crabs"
    rows = now.segmentation.classes.bias, before.segmentation.classes.bias  # type: ignore[union-attr]
    assert torch.allclose(rows[0][0], rows[1][0], atol=1e-3), "the background"
    assert json.loads((tmp_path / "run" / "card.json").read_text())["began_with"]["tuned"] == [
        "classifier",
        "segmentation",
    ]


def test_a_loss_that_is_no_number_stops_the_run(data: Path, tmp_path: Path) -> None:
    wild = [*settings(6), "classifier.learning_rate=1e30", "classifier.trunk_rate=1e30"]
    with pytest.raises(BadInput, match=r"classifier: loss is .* lower learning_rate"):
        train("weak_shot", data=data, out=tmp_path / "run", overrides=wild)


@pytest.mark.parametrize("rate", [0.0, 1e-3])
def test_a_trunk_moves_unless_its_rate_is_none(rate: float) -> None:
    torch.manual_seed(0)
    network = subjects.build("classifier", "mobilenet_v2", 3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    budget = Budget(steps=2, warm_up=1, trunk_rate=rate)
    training = Training(network, subjects.LOSSES["classifier"], budget, seed=0, amp=False)
    crops, tags = torch.rand(2, 3, 64, 64), torch.eye(3)[:2]
    training.advance(Batch(crops, torch.zeros(2, 64, 64, dtype=torch.uint8), tags))
    moved = {
        name.split(".")[0] for name, value in network.state_dict().items() if not value.equal(before[name])
    }
    assert moved == ({"head", "trunk"} if rate else {"head"})


def test_a_short_run_learns_every_stage(data: Path, tmp_path: Path) -> None:
    quick = [*settings(30)]
    quick += [f"{name}.{rate}" for name in NETWORKS for rate in ("learning_rate=0.01", "trunk_rate=0.003")]
    out = train("weak_shot", data=data, out=tmp_path / "run", overrides=quick).parent
    for stage in ("classifier", "boundary", "affinity", "segmentation"):
        lines = (out / stage / "metrics.jsonl").read_text().splitlines()
        losses = [json.loads(line)["loss"] for line in lines]
        assert np.mean(losses[-8:]) < 0.95 * np.mean(losses[:4]), (stage, losses)


def ladder(data: Path, out: Path, *more: str) -> list[str]:
    words = [word for item in settings(1) for word in ("--set", item)]
    named = ["study", "ladder", "--data", str(data), "--out", str(out), "--folds", "0", "--seeds", "0"]
    return [*named, *words, *more]


def test_rows_share_stages_and_are_found_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKLOOP_DATA_DIR", str(tmp_path / "house"))
    rows = "cam,walk,seg_gt,aff_gt,retab,oracle"
    assert cli.main([*ladder(data, tmp_path / "out", "--rows", rows)]) == 0
    said = capsys.readouterr().out
    assert "RETAB" in said and "C_novel of retab over walk" in said
    report = json.loads((tmp_path / "out" / "ladder.json").read_text())
    assert list(report["rows"]) == rows.split(",") and report["rows"]["oracle"]["pseudo_masks"] is None
    for run in report["runs"]:
        for part in filter(None, (run["pseudo_masks"], run["network"])):
            assert 0 <= part["c"] <= 1
    stages = [path.name.rpartition("-")[0] for path in (tmp_path / "out").glob("fold-0/seed-0/stages/*")]
    counts = {name: stages.count(name) for name in set(stages)}
    # walk and seg_gt differ in the final network alone; oracle needs no pseudo-masks
    assert counts == {
        "classifier": 1,
        "responses": 1,
        "boundary": 1,
        "boundary-maps": 1,
        "affinity": 3,
        "masks": 4,
        "segmentation": 6,
    }
    budgets = {json.dumps(run["settings"]["config"]["segmentation"]) for run in report["runs"]}
    assert len(budgets) == 1, "rows are compared at the same budget"
    assert (tmp_path / "out" / "ladder.png").stat().st_size > 5000

    weights = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("weights.safetensors")}
    (tmp_path / "out" / "fold-0" / "seed-0" / "retab.json").unlink()
    assert cli.main(ladder(data, tmp_path / "out", "--rows", rows)) == 0
    again = json.loads((tmp_path / "out" / "ladder.json").read_text())
    assert again["rows"] == report["rows"]
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("weights.safetensors")} == weights

    assert cli.main(ladder(data, tmp_path / "more", "--rows", "cam,seg_gt,oracle", "--masks-only")) == 0
    short = json.loads((tmp_path / "more" / "ladder.json").read_text())
    assert list(short["rows"]) == ["cam"] and short["rows"]["cam"]["network"] is None
    assert short["rows"]["cam"]["pseudo_masks"] == report["rows"]["cam"]["pseudo_masks"]
    assert not list((tmp_path / "more").rglob("segmentation-*"))

    assert (
        cli.main(ladder(data, tmp_path / "out", "--rows", "cam", "--set", "seed=0", "--set", "band_px=3"))
        == 2
    )
    assert "other settings" in capsys.readouterr().err
    assert cli.main(ladder(data, tmp_path / "out", "--rows", "cam,xy")) == 2
    assert "--rows xy: unknown" in capsys.readouterr().err


ZOO = {"names": ["cat", "dog", "fish", "cow", "owl"], "novel": ["fish"]}
SEEN = {"a": [1], "b": [2, 3], "c": [4, 5], "d": [1, 3], "e": [5], "f": [2], "g": [4], "h": [1, 5]}


def test_walks_are_chosen_on_base_classes_that_play_novel_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKLOOP_DATA_DIR", str(tmp_path / "house"))
    last = {name: [1, 2, 4, 5] for name in "xyz"}  # the last one is kept apart
    zoo = make_snapshot(tmp_path / "zoo", {**ZOO, "held_out": ["a"]}, {**SEEN, **last}, (*SEEN, *last))
    command = ladder(zoo, tmp_path / "out", "--choosing", "--rows", "cam,retab")
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "cam: alpha" in said and "retab: alpha" in said
    found = json.loads((tmp_path / "out" / "choices.json").read_text())
    assert set(found["cam"]) == {"alpha", "c_pretended"}
    assert set(found["retab"]) == {"alpha", "steps", "cut", "threshold", "c_pretended"}
    each = json.loads((tmp_path / "out" / "fold-0" / "seed-0" / "retab.choices.json").read_text())["choices"]
    assert len(each) == 4 * 3 * 2 * 3
    assert found["retab"]["c_pretended"] == pytest.approx(max(one["c_pretended"] for one in each), abs=1e-6)
    trained = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("weights.safetensors")}
    assert not [path for path in trained if "segmentation" in str(path)], "only masks are looked at"
    assert cli.main(command) == 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("weights.safetensors")} == trained
    assert cli.main([*command, "--set", "band_px=3"]) == 2
    assert "choices.json was made with other settings" in capsys.readouterr().err
