"""Settings of a run, checks before it begins, and folders of stages that are never mixed up."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from backends.core.errors import BadInput
from backends.weak_shot.album import Album, check, fingerprint, untold
from backends.weak_shot.loaders import open_photos
from backends.weak_shot.photos import Photos
from backends.weak_shot.pictures import Shelf
from backends.weak_shot.places import digest, in_run, shared
from backends.weak_shot.recipe import TrainingConfig, config_from, response_config
from pipelines.studies.ladder import config_of
from tests.tagged_folders import make_snapshot

CONFIGS = sorted((Path(__file__).parents[3] / "backends" / "weak_shot" / "configs").glob("*.json"))
PETS = {"names": ["cat", "dog", "fish"], "novel": ["fish"]}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_shipped_configs_are_read_and_stored(path: Path) -> None:
    values = json.loads(path.read_text())
    rows = values.pop("rows", {})  # a ladder's settings for single rows
    for own in ({}, *rows.values()):
        config = config_from({**values, **own})
        assert config_from(json.loads(json.dumps(asdict(config)))) == config


def test_a_row_of_the_ladder_takes_its_own_settings_and_no_others(tmp_path: Path) -> None:
    ladder = tmp_path / "ladder.json"
    rows = {"walk": {"walk": {"steps": 16}}, "retab": {"walk": {"cut": True}, "responses": {"alpha": 2}}}
    ladder.write_text(json.dumps({"response": "objects", "responses": {"alpha": 4}, "rows": rows}))
    walk, retab = (config_from(config_of(row, ladder, ["walk.beta=6"])) for row in ("walk", "retab"))
    assert (walk.walk.steps, walk.walk.cut, walk.boundary) == (16, False, False)
    assert (retab.walk.steps, retab.walk.cut, retab.boundary) == (256, True, True)
    assert walk.walk.beta == retab.walk.beta == 6 and retab.response == "objects"
    assert (walk.responses.alpha, retab.responses.alpha) == (4, 2)
    alike = config_from(config_of("retab", ladder, ["rows={}"]))
    assert not alike.walk.cut and alike.responses.alpha == 4, "one walk for all rows"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"stepps": 1}, "unknown training setting 'stepps'"),
        ({"affinity": {"stepps": 1}}, r"affinity\.'stepps'"),
        ({"response": "grad"}, "'response': 'grad'; known: cam, seam"),
        ({"stage": 3}, "known: 1, 2"),
        ({"masks": "all"}, "known: photos, objects"),
        ({"walk": {"beta": 0}}, "beta is 0"),
    ],
)
def test_odd_settings_are_refused(values: dict, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        config_from(values)


def test_seeds_of_background_are_as_each_paper_has_them() -> None:
    for values, wanted in (({}, 32), ({"response": "seam"}, 24), ({"responses": {"seed_background": 9}}, 9)):
        assert response_config(config_from(values)).seed_background == wanted


def photos(tmp_path: Path, tagged: dict[str, list[int]], masks: tuple[str, ...] = ()) -> Photos:
    return replace_held_out(open_photos(make_snapshot(tmp_path, PETS, tagged, masks), 0))


def replace_held_out(found: Photos) -> Photos:
    return replace(found, train=(*found.train, *found.held_out), held_out=())


def test_a_class_on_every_photo_is_told(tmp_path: Path) -> None:
    found = photos(tmp_path, {"a": [1, 3], "b": [1], "c": [1]}, ("b", "c"))
    assert untold(found) == {
        "cat": "all 3 training photos have this tag; add photos without it",
        "dog": "no training photo has this tag",
    }
    notes = check(found, "photos", taught=False)
    assert len(notes) == 2 and "tags give no signal" in notes[0]


def test_a_run_that_cannot_succeed_does_not_begin(tmp_path: Path) -> None:
    everywhere = photos(tmp_path / "a", {"a": [1, 3], "b": [3], "c": [2, 3]}, ("b",))
    with pytest.raises(BadInput, match="no signal for any novel class: fish: all 3"):
        check(everywhere, "photos", taught=True)
    unpainted = photos(tmp_path / "b", {"a": [1, 3], "b": [1]})
    with pytest.raises(BadInput, match="no base masks: of 2 photos"):
        check(unpainted, "photos", taught=False)
    assert check(unpainted, "photos", taught=True)
    with pytest.raises(BadInput, match="no training photos"):
        check(replace(unpainted, train=()), "photos", taught=True)
    known = replace(unpainted, classes=replace(unpainted.classes, novel=frozenset()))
    with pytest.raises(BadInput, match="no novel class"):
        check(known, "photos", taught=True)


def test_the_album_shows_training_no_novel_pixel(tmp_path: Path) -> None:
    found = photos(tmp_path, {"a": [1, 3], "b": [1, 2]}, ("a", "b"))
    album = Album(found, 30, Shelf(10**6))
    both, base = found.train if found.train[0].name == "a" else found.train[::-1]
    assert album.known(both, "photos") is None
    partly = album.known(both, "objects")
    assert partly is not None and set(np.unique(partly)) == {1, 255}
    whole = album.known(base, "photos")
    assert whole is not None and set(np.unique(whole)) == {0, 1, 2}
    assert album.image(both).shape == (20, 30, 3) and album.size(both) == (20, 30) == partly.shape
    with pytest.raises(BadInput, match="novel class"):
        album.base_truth(both)
    assert 3 in album.oracle(both)
    assert album.tags(both).tolist() == [1, 0, 1]


def test_photos_are_known_by_names_tags_and_masks(tmp_path: Path) -> None:
    one = photos(tmp_path / "a", {"a": [1], "b": [2]}).train
    assert fingerprint(one) == fingerprint(photos(tmp_path / "b", {"a": [1], "b": [2]}).train)
    other = {fingerprint(photos(tmp_path / "c", {"a": [1], "b": [3]}).train)}
    other |= {fingerprint(photos(tmp_path / "d", {"a": [1], "b": [2]}, ("a",)).train), fingerprint(one[:1])}
    assert len(other | {fingerprint(one)}) == 4


def test_stages_of_other_settings_are_not_taken_over(tmp_path: Path) -> None:
    place = in_run(tmp_path / "run")
    assert place("affinity", {"steps": 1}) == place("affinity", {"steps": 1})
    with pytest.raises(BadInput, match="other settings"):
        place("affinity", {"steps": 2})
    common = shared(tmp_path / "all")
    one, two = common("affinity", {"steps": 1, "seed": 0}), common("affinity", {"steps": 2, "seed": 0})
    assert one != two and common("affinity", {"seed": 0, "steps": 1}) == one
    assert digest({"a": 1}) != digest({"a": 2})


def test_the_defaults_are_the_whole_method() -> None:
    c = TrainingConfig()
    assert c.seg_gt and c.aff_gt and c.boundary and c.propagate and c.stage == 2 and not c.oracle
