"""``maskloop pseudo-label`` and ``maskloop evaluate weak_shot`` as typed, with real, untrained networks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from backends.core.images import open_image
from backends.weak_shot.classes import ClassSet
from backends.weak_shot.loaders import open_photos
from backends.weak_shot.networks import AffinityNetwork, BoundaryNetwork, Classifier, SegmentationNetwork
from backends.weak_shot.weights_file import Bundle, save
from pipelines import cli
from pipelines.pseudo_label_record import JOURNAL
from tests.tagged_folders import draw, make_ccp, put_json, save_photo

PETS = ClassSet(("cat", "dog", "fish"), frozenset({"fish"}))
TRUNK = "mobilenet_v2"


def save_bundle(path: Path, classes: ClassSet, *parts: str) -> Path:
    """Untrained networks in a file; every part, or those named."""
    torch.manual_seed(3)
    made: dict[str, Any] = {
        "classifier": Classifier(TRUNK, len(classes)).eval(),
        "boundary": BoundaryNetwork(TRUNK).eval(),
        "affinity": AffinityNetwork(TRUNK).eval(),
        "segmentation": SegmentationNetwork(TRUNK, len(classes)).eval(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save(Bundle(TRUNK, classes, **{name: made[name] for name in parts or made}), path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of all four networks over three classes."""
    return save_bundle(tmp_path_factory.mktemp("pets") / "weights.safetensors", PETS)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MASKLOOP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MASKLOOP_THREADS", "1")


def pseudo_label(tmp_path: Path, weights: Path, tags: object) -> int:
    put_json(tmp_path / "tags.json", tags)
    words = ["--images", "images", "--tags", "tags.json", "--out", "out"]
    files = [str(tmp_path / word) if place % 2 else word for place, word in enumerate(words)]
    return cli.main(["pseudo-label", *files, "--weights", str(weights)])


def mask(tmp_path: Path, name: str) -> np.ndarray:
    with Pillow.open(tmp_path / "out" / f"{name}.png") as picture:
        assert picture.mode == "P"
        return np.asarray(picture)


def scores(tmp_path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((tmp_path / "out" / "scores.json").read_text())
    return value


def test_masks_trust_and_classes(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        save_photo(tmp_path / "images" / f"{name}.jpg", draw([1, 2], (70, 110))[0])
    assert pseudo_label(tmp_path, weights, {"a": ["cat"], "b": ["cat", "dog", "fish"]}) == 0
    out, err = capsys.readouterr()
    assert out.startswith("2 masks made in ") and "least trusted" in out and "2/2" in err
    for name in ("a", "b"):
        assert mask(tmp_path, name).shape == (70, 110)
    assert set(np.unique(mask(tmp_path, "a"))) <= {0, 1}, "only what it is tagged with"
    told = scores(tmp_path)
    assert told["version"].startswith("weak_shot-") and told["complete"]
    trust = told["photos"]["b"]["trust"]
    assert set(trust) == set(PETS.names) and all(0 <= value <= 1 for value in trust.values())


def test_odd_pictures_get_the_mask_of_the_same_picture_saved_plainly(tmp_path: Path, weights: Path) -> None:
    images = tmp_path / "images"
    picture = draw([1, 5], (64, 96))[0]
    plain = Pillow.fromarray(picture)
    images.mkdir()
    exif = Pillow.Exif()
    exif[0x0112] = 6
    plain.save(images / "turned.png", exif=exif)
    plain.convert("L").save(images / "grey.png")
    plain.convert("CMYK").save(images / "cmyk.tif")
    Pillow.fromarray(picture[..., 0].astype(np.uint16) * 257).save(images / "deep.png")
    seen = Pillow.fromarray(np.where(picture[..., :1] > 100, 255, 90).astype(np.uint8)[..., 0])
    clear = plain.convert("RGBA")
    clear.putalpha(seen)
    clear.save(images / "clear.png")
    plain.quantize(16).save(images / "palette.png")
    names = [path.stem for path in images.iterdir()]
    for path in list(images.iterdir()):
        save_photo(images / f"{path.stem}-plain.png", open_image(path))
    tags = {name: ["cat", "fish"] for name in (*names, *(f"{name}-plain" for name in names))}
    assert pseudo_label(tmp_path, weights, tags) == 0
    for name in names:
        assert np.array_equal(mask(tmp_path, name), mask(tmp_path, f"{name}-plain")), name
    assert mask(tmp_path, "turned").shape == (96, 64)
    assert mask(tmp_path, "grey").shape == (64, 96)


def test_small_and_narrow_pictures(tmp_path: Path, weights: Path) -> None:
    sizes = {"dot": (1, 1), "line": (1, 200), "mast": (300, 2), "cell": (8, 8), "odd": (33, 57)}
    for name, (height, width) in sizes.items():
        image = np.random.default_rng(1).integers(0, 255, (height, width, 3)).astype(np.uint8)
        save_photo(tmp_path / "images" / f"{name}.png", image)
    assert pseudo_label(tmp_path, weights, {name: ["cat", "dog"] for name in sizes}) == 0
    for name, size in sizes.items():
        assert mask(tmp_path, name).shape == size


def test_bad_items_are_named_and_the_others_go_on(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("good", "corrupt", "untagged", "zebra", "mixed"):
        save_photo(tmp_path / "images" / f"{name}.jpg", draw([1, 2])[0])
    path = tmp_path / "images" / "corrupt.jpg"
    path.write_bytes(path.read_bytes()[:200])
    (tmp_path / "images" / "text.jpg").write_text("no picture")
    tags = {
        "good": list(PETS.names),
        "corrupt": ["cat"],
        "zebra": ["zebra"],
        "mixed": ["dog", "cape"],
        "text": ["cat"],
        "missing": ["cat"],
    }
    assert pseudo_label(tmp_path, weights, tags) == 2
    out, err = capsys.readouterr()
    assert "2 masks made in " in out and "5 refused" in out
    assert "note: tag 'cape' is unknown to these weights, in 1 photos: mixed" in out
    for name, says in (
        ("corrupt", "corrupt.jpg: the image cannot be decoded"),
        ("text", "text.jpg: not an image of a known kind"),
        ("untagged", "no tag; give it at least one in "),
        ("zebra", "unknown tag 'zebra'; these weights know cat, dog, fish"),
        ("missing", "holds no such photo"),
    ):
        line = next(line for line in err.splitlines() if line.startswith(f"refused: {name}: "))
        assert says in line
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.png")) == ["good", "mixed"]
    assert sorted(scores(tmp_path)["refused"]) == ["corrupt", "missing", "text", "untagged", "zebra"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("no classifier", "these weights hold no classifier"),
        ("another file", "notes.txt"),
        ("no file", "nowhere: no such file"),
    ],
)
def test_weights_that_cannot_do_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: str, says: str
) -> None:
    save_photo(tmp_path / "images" / "a.png", draw([1])[0])
    path = tmp_path / "nowhere"
    if spoil == "no classifier":
        path = save_bundle(tmp_path / "pair.safetensors", PETS, "boundary", "affinity")
    if spoil == "another file":
        (path := tmp_path / "notes.txt").write_text("hello")
    assert pseudo_label(tmp_path, path, {"a": ["cat"]}) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def _heed_ctrl_c() -> None:
    """A shell that starts the tests in the background lets its children ignore Ctrl-C; ours must not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_after_ctrl_c_a_run_goes_on(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"p{number:02d}" for number in range(16)]
    for name in names:
        save_photo(tmp_path / "images" / f"{name}.png", draw([1, 2], (200, 300))[0])
    put_json(tmp_path / "tags.json", {name: ["cat", "dog"] for name in names})
    words = ["--images", "images", "--tags", "tags.json", "--out", "out", "--weights", str(weights)]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "pseudo-label", *words],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ},
        preexec_fn=_heed_ctrl_c,
    )
    deadline = time.monotonic() + 240
    while len(list((tmp_path / "out").glob("p*.png"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert not scores(tmp_path)["complete"]
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("p*.png")}
    assert 2 <= len(before) < len(names), "it ended before it was stopped"
    capsys.readouterr()
    tags = json.loads((tmp_path / "tags.json").read_text())
    assert pseudo_label(tmp_path, weights, tags) == 0
    assert f"{len(before)} were there" in capsys.readouterr().out
    after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("p*.png")}
    assert len(after) == len(names) and before.items() <= after.items()
    assert scores(tmp_path)["complete"] and not (tmp_path / "out" / JOURNAL).exists()


# evaluate weak_shot

PHOTOS = {"0001": ["skin", "bag"], "0601": ["skin", "bag"], "0602": ["hair", "accessories"]}


def test_evaluate_scores_masks_and_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_ccp(tmp_path / "ccp", PHOTOS)
    save_bundle(tmp_path / "run" / "weights.safetensors", open_photos(root, 0).classes)
    words = ["evaluate", "weak_shot", "--data", str(root), "--fold", "0", "--run", str(tmp_path / "run")]
    out = [f"--{name}={tmp_path / name}" for name in ("json", "masks-out")]
    assert cli.main([*words, *out]) == 0
    report = json.loads((tmp_path / "json").read_text())
    for name in ("pseudo_masks", "network"):
        part = report[name]
        total = part["n_base"] * part["c_base"] + part["n_novel"] * (part["c_novel"] or 0)
        assert part["c"] == pytest.approx(total / (part["n_base"] + part["n_novel"]), abs=2e-6)
        assert set(part["per_class"]) == {"background", *open_photos(root, 0).classes.names}
        assert len(list((tmp_path / "masks-out" / name).glob("*.png"))) == 2
    assert report["photos"] == 2 and report["version"].startswith("weak_shot-")
    assert "c_novel" in capsys.readouterr().out
    assert cli.main([*words[:5], "1", *words[6:]]) == 2
    assert "as novel, but fold 1 of CCP-5i has" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["classifier", "segmentation"])
def test_evaluate_scores_what_is_there(tmp_path: Path, part: str) -> None:
    root = make_ccp(tmp_path / "ccp", PHOTOS)
    path = save_bundle(tmp_path / "w.safetensors", open_photos(root, 0).classes, part)
    words = ["evaluate", "weak_shot", "--data", str(root), "--run", str(path)]
    assert cli.main([*words, "--json", str(tmp_path / "scores.json")]) == 0
    report = json.loads((tmp_path / "scores.json").read_text())
    assert ("pseudo_masks" in report, "network" in report) == (part == "classifier", part == "segmentation")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("no masks", "masks: no such folder; CCP-5i wants"),
        ("no run", "--run wants the folder of a run that is finished"),
        ("a pair", "neither a classifier nor a final network"),
        ("no held-out photos", "nothing to score on"),
        ("no folder", "no such folder of photos"),
    ],
)
def test_evaluate_with_what_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: str, says: str
) -> None:
    photos = {"0001": ["skin"]} if spoil == "no held-out photos" else PHOTOS
    root = make_ccp(tmp_path / "ccp", photos)
    classes = open_photos(root, 0).classes
    parts = ("boundary", "affinity") if spoil == "a pair" else ("segmentation",)
    save_bundle(tmp_path / "run" / "weights.safetensors", classes, *parts)
    if spoil == "no masks":
        (root / "masks").rename(root / "elsewhere")
    if spoil == "no run":
        (tmp_path / "run" / "weights.safetensors").unlink()
    if spoil == "no folder":
        root.rename(tmp_path / "gone")
    words = ["evaluate", "weak_shot", "--data", str(root), "--run", str(tmp_path / "run")]
    assert cli.main([*words, "--json", str(tmp_path / "scores.json")]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "scores.json").exists()
