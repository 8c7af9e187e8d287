"""Tags to masks over files, with a labeller that fills the brighter half, so that each pixel is known."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from backends.core.errors import BadInput, BadMedia
from backends.core.palette import davis_palette
from backends.core.types import Image
from backends.weak_shot.classes import ClassSet
from pipelines import mask_folder
from pipelines.pseudo_label import Outcome, names_by_id, pseudo_label, summary
from pipelines.pseudo_label_record import JOURNAL
from tests.tagged_folders import draw, put_json, save_photo

CLASSES = ClassSet(("cat", "dog", "fish"), frozenset({"fish"}))
T = TypeVar("T")


@dataclass(frozen=True)
class Made:
    labels: NDArray[np.uint8]
    trust: dict[str, float]
    notes: tuple[str, ...] = ()


@dataclass
class Brightest:
    """Every pixel brighter than the mean is the tag that is named last."""

    classes: ClassSet = CLASSES
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def label(self, image: Image, tags: Sequence[str]) -> Made:
        self.asked.append(tuple(tags))
        bright = image.mean(2) > image.mean()
        labels = np.where(bright, self.classes.id_of(tags[-1]), 0).astype(np.uint8)
        return Made(labels, {tag: 1 / (1 + self.classes.id_of(tag)) for tag in tags})


def photos(folder: Path, names: Sequence[str] = ("a", "b", "c")) -> Path:
    for place, name in enumerate(names):
        save_photo(folder / f"{name}.png", draw([place + 1])[0])
    return folder


def run(tmp_path: Path, tags: object, labeller: Brightest | None = None, **more: Any) -> Outcome:
    put_json(tmp_path / "tags.json", tags)
    images = more.pop("images", tmp_path / "images")
    version = more.pop("version", "weak_shot-00000000")
    made = labeller or Brightest()
    out = more.pop("out", tmp_path / "out")
    return pseudo_label(lambda: (made, version), images, tmp_path / "tags.json", out, **more)


def scores(tmp_path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((tmp_path / "out" / "scores.json").read_text())
    return value


TAGS = {"a": ["cat"], "b.png": ["cat", "dog"], "c": ["fish"]}


def test_each_photo_gets_an_index_png_of_its_size(tmp_path: Path) -> None:
    photos(tmp_path / "images")
    save_photo(tmp_path / "images" / "tall.jpg", draw([1], (90, 20))[0])
    outcome = run(tmp_path, {**TAGS, "tall": ["dog"]})
    assert not outcome.refused and outcome.complete
    for name, size, number in (("a", (60, 40), 1), ("b", (60, 40), 2), ("tall", (20, 90), 2)):
        with Pillow.open(tmp_path / "out" / f"{name}.png") as mask:
            assert (mask.mode, mask.size) == ("P", size)
            assert set(np.unique(np.asarray(mask))) == {0, number}
            palette = mask.getpalette()
        assert palette is not None and palette[: 3 * 4] == davis_palette()[:4].ravel().tolist()
    names = json.loads((tmp_path / "out" / "classes.json").read_text())
    assert names == {"0": "background", "1": "cat", "2": "dog", "3": "fish"} == names_by_id(CLASSES)
    told = scores(tmp_path)
    assert told["complete"] and told["version"] == "weak_shot-00000000" and told["refused"] == {}
    assert told["photos"]["b"]["trust"] == {"cat": 0.5, "dog": 0.3333}
    assert told["photos"]["b"]["lowest_trust"] == 0.3333
    assert told["photos"]["b"]["area_px"]["cat"] == 0 < told["photos"]["b"]["area_px"]["dog"]
    assert told["photos"]["tall"]["size_hw"] == [90, 20]


def test_bad_photos_are_refused_by_name_and_the_others_go_on(tmp_path: Path) -> None:
    images = photos(tmp_path / "images", ["a", "b", "c", "d", "e", "f"])
    (images / "b.png").write_bytes((images / "a.png").read_bytes()[:60])
    save_photo(images / "d.jpg", draw([1])[0])  # beside d.png: both would be d.png in --out
    tags = {
        "a": ["cat"],
        "b": ["cat"],
        "c": [],
        "d": ["dog"],
        "e": ["shrit"],
        "gone": ["cat"],
        "f": "cat",
    }
    outcome = run(tmp_path, tags)
    assert [entry.name for entry in outcome.made] == ["a"]
    assert sorted(outcome.refused) == ["b", "c", "d", "e", "f", "gone"]
    for name, says in (
        ("b", "b.png"),
        ("c", "no tag"),
        ("d", "share one mask"),
        ("e", "'shrit'; these weights know cat, dog, fish"),
        ("f", "wants a list of words"),
        ("gone", "holds no such photo"),
    ):
        assert says in outcome.refused[name]
    assert scores(tmp_path)["refused"] == outcome.refused
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["a.png"]


def test_photos_that_nobody_tagged_are_named(tmp_path: Path) -> None:
    photos(tmp_path / "images")
    outcome = run(tmp_path, {"a": ["cat"]})
    assert sorted(outcome.refused) == ["b", "c"] and "no tag" in outcome.refused["b"]


def test_an_unknown_tag_beside_known_ones_is_left_out_and_told(tmp_path: Path) -> None:
    photos(tmp_path / "images")
    labeller = Brightest()
    outcome = run(tmp_path, {**TAGS, "a": ["cape", "cat", "cat"]}, labeller)
    assert not outcome.refused
    assert labeller.asked[0] == ("cat",)
    assert scores(tmp_path)["photos"]["a"]["notes"] == ["unknown tag 'cape' is left out"]
    assert any("tag 'cape' is unknown" in line for line in summary(outcome, tmp_path / "out"))


def test_the_least_trusted_come_first_in_the_summary(tmp_path: Path) -> None:
    photos(tmp_path / "images")
    lines = summary(run(tmp_path, TAGS), tmp_path / "out")
    assert lines[0].startswith("3 masks made in ")
    assert lines[1] == "least trusted, look at them first: c (fish 0.25), b (dog 0.33), a (cat 0.50)"


# Going on


def test_the_same_call_again_makes_nothing_again(tmp_path: Path) -> None:
    photos(tmp_path / "images")
    run(tmp_path, TAGS)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")}
    labeller = Brightest()
    outcome = run(tmp_path, TAGS, labeller)
    assert not labeller.asked and len(outcome.kept) == 3
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")} == before
    assert len(scores(tmp_path)["photos"]) == 3


def test_new_tags_or_another_picture_are_made_again(tmp_path: Path) -> None:
    images = photos(tmp_path / "images")
    run(tmp_path, TAGS)
    save_photo(images / "c.png", draw([9])[0])
    labeller = Brightest()
    outcome = run(tmp_path, {**TAGS, "a": ["dog"]}, labeller)
    assert labeller.asked == [("dog",), ("fish",)]
    assert [entry.name for entry in outcome.made] == ["a", "c"]
    assert set(np.unique(np.asarray(Pillow.open(tmp_path / "out" / "a.png")))) == {0, 2}


class Stopped(KeyboardInterrupt):
    """As Ctrl-C."""


def stop_after(count: int) -> Any:
    def track(items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
        for number, item in enumerate(items):
            if number == count:
                raise Stopped
            yield item

    return track


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    photos(tmp_path / "images")
    with pytest.raises(Stopped):
        run(tmp_path, TAGS, progress=stop_after(2))
    told = scores(tmp_path)
    assert not told["complete"] and sorted(told["photos"]) == ["a", "b"]
    labeller = Brightest()
    run(tmp_path, TAGS, labeller)
    assert labeller.asked == [("fish",)]
    assert scores(tmp_path)["complete"] and not (tmp_path / "out" / JOURNAL).exists()


@pytest.mark.parametrize("left", ["journal", "half a line", "no mask"])
def test_a_killed_run_goes_on(tmp_path: Path, left: str) -> None:
    """SIGKILL: no scores.json, only the journal and the masks that were written."""
    photos(tmp_path / "images")
    with pytest.raises(Stopped):
        run(tmp_path, TAGS, progress=stop_after(2))
    out = tmp_path / "out"
    (out / "scores.json").unlink()
    if left == "half a line":
        with (out / JOURNAL).open("a") as stream:
            stream.write('\n{"version": "weak_shot-00000000", "na')
    if left == "no mask":
        (out / "b.png").unlink()
    labeller = Brightest()
    outcome = run(tmp_path, TAGS, labeller)
    again = [("cat", "dog")] if left == "no mask" else []
    assert labeller.asked == [*again, ("fish",)] and not outcome.refused
    assert sorted(scores(tmp_path)["photos"]) == ["a", "b", "c"]


def test_a_mask_cut_between_journal_and_file_is_no_stranger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after the journal's line for the new tags, before the new mask: the old mask is still ours."""

    def stop(path: Path, data: bytes) -> None:
        raise Stopped

    photos(tmp_path / "images")
    run(tmp_path, TAGS)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(mask_folder, "write_bytes", stop)
        run(tmp_path, {**TAGS, "a": ["dog"]})
    outcome = run(tmp_path, {**TAGS, "a": ["dog"]})
    assert not outcome.refused
    assert set(np.unique(np.asarray(Pillow.open(tmp_path / "out" / "a.png")))) == {0, 2}


# What others made


def test_a_corrected_mask_is_left_alone(tmp_path: Path) -> None:
    photos(tmp_path / "images")
    run(tmp_path, TAGS)
    path = tmp_path / "out" / "a.png"
    save_photo(path, np.full((40, 60), 3, np.uint8))
    corrected = path.read_bytes()
    outcome = run(tmp_path, TAGS)
    assert list(outcome.refused) == ["a"] and "was changed or was there before" in outcome.refused["a"]
    assert path.read_bytes() == corrected and len(outcome.kept) == 2


def test_a_mask_that_was_there_before_is_left_alone(tmp_path: Path) -> None:
    photos(tmp_path / "images")
    save_photo(tmp_path / "out" / "b.png", np.zeros((4, 4), np.uint8))
    outcome = run(tmp_path, TAGS)
    assert list(outcome.refused) == ["b"] and len(outcome.made) == 2
    assert Pillow.open(tmp_path / "out" / "b.png").size == (4, 4)


@pytest.mark.parametrize("half", [False, True])
def test_masks_of_other_weights_are_not_mixed(tmp_path: Path, half: bool) -> None:
    photos(tmp_path / "images")
    if half:
        with pytest.raises(Stopped):
            run(tmp_path, TAGS, progress=stop_after(2))
        (tmp_path / "out" / "scores.json").unlink()
    else:
        run(tmp_path, TAGS)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(BadInput, match=r"holds masks of weak_shot-0+, and these weights are weak_shot-1+"):
        run(tmp_path, TAGS, version="weak_shot-11111111")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("classes.json", {"names": ["cat"]}, "names other classes"),
        ("scores.json", ["mine"], "not written by pseudo-label"),
        ("scores.json", {"version": "weak_shot-00000000", "photos": {"a": {}}}, "cannot be read"),
    ],
)
def test_files_of_others_in_out(tmp_path: Path, file: str, content: object, says: str) -> None:
    photos(tmp_path / "images")
    path = put_json(tmp_path / "out" / file, content)
    with pytest.raises(BadInput, match=says):
        run(tmp_path, TAGS)
    assert json.loads(path.read_text()) == content


# Nothing can be done


def test_folders_and_files_that_cannot_be_used(tmp_path: Path) -> None:
    images = photos(tmp_path / "images")
    with pytest.raises(BadInput, match="given as --images"):
        run(tmp_path, TAGS, out=images)
    with pytest.raises(BadInput, match="is a file; wants a folder"):
        run(tmp_path, TAGS, out=images / "a.png")
    with pytest.raises(BadInput, match="wants"):
        run(tmp_path, ["cat"])
    with pytest.raises(BadMedia, match="no such folder"):
        run(tmp_path, TAGS, images=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadMedia, match="no photos in it"):
        run(tmp_path, TAGS, images=tmp_path / "empty")
    assert not (tmp_path / "out").exists()


def test_a_tag_file_that_is_no_json(tmp_path: Path) -> None:
    images = photos(tmp_path / "images")
    (tmp_path / "tags.json").write_text("{")
    with pytest.raises(BadInput, match=r"tags\.json: not JSON"):
        pseudo_label(lambda: (Brightest(), "v"), images, tmp_path / "tags.json", tmp_path / "out")
