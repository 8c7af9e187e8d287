"""Tags and boxes of one image become masks with trust."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backends.core.errors import BadInput, BadMedia
from backends.weak_shot.labeller import Labeller
from backends.weak_shot.networks import AffinityNetwork, BoundaryNetwork, Classifier
from backends.weak_shot.recipe import ResponseConfig
from backends.weak_shot.weights_file import Bundle
from tests.unit.weak_shot.toys import CLASSES, COLOURS, discs, overlap_of, toy_bundle

IMAGE, TRUTH = discs(180, 240, red=(80, 70, 44), green=(100, 170, 40))


def test_tags_become_masks() -> None:
    made = Labeller(toy_bundle()).label(IMAGE, ("red", "green"))
    assert made.labels.shape == (180, 240) and made.labels.dtype == np.uint8
    assert made.ids == {"red": 1, "green": 2}
    for name, number in made.ids.items():
        assert overlap_of(made.labels == number, TRUTH[name]) > 0.8, name
        assert made.trust[name] > 0.5, name
    assert made.notes == ()


def test_only_tagged_classes_are_painted() -> None:
    labels = Labeller(toy_bundle()).label(IMAGE, ("green",)).labels
    assert set(np.unique(labels)) == {0, 2}
    assert overlap_of(labels == 2, TRUTH["green"]) > 0.8


def test_a_tag_whose_object_is_not_there_comes_back_doubtful() -> None:
    """Its response, divided by its own maximum, is as strong as a true one; trust must tell."""
    made = Labeller(toy_bundle()).label(IMAGE, ("red", "blue"))
    assert made.trust["blue"] < 0.1 < 0.5 < made.trust["red"]
    assert any(note.startswith("blue: ") for note in made.notes)
    assert not any(note.startswith("red: ") for note in made.notes)


def test_all_tags_at_once() -> None:
    made = Labeller(toy_bundle()).label(IMAGE, tuple(COLOURS))
    ranked = sorted(made.trust, key=lambda name: made.trust[name])
    assert ranked[0] == "blue"
    assert overlap_of(made.labels == 1, TRUTH["red"]) > 0.6


def test_a_tag_given_twice_counts_once() -> None:
    once, twice = (Labeller(toy_bundle()).label(IMAGE, tags) for tags in (("red",), ("red", "red")))
    np.testing.assert_array_equal(once.labels, twice.labels)
    assert once.trust == twice.trust


def test_a_box_says_which() -> None:
    image, truth = discs(180, 240, red=(80, 60, 34), red2=(90, 180, 34))
    image[truth["red2"]] = image[truth["red"]][0]
    labeller = Labeller(toy_bundle())
    both = labeller.label(image, ("red",)).labels == 1
    assert (both & truth["red2"]).sum() > 0.8 * truth["red2"].sum()
    made = labeller.label(image, ("red",), {"red": (140, 50, 220, 130)})
    assert overlap_of(made.labels == 1, truth["red2"]) > 0.8
    assert not (made.labels[:, :140] == 1).any()
    assert made.grounds["red"].presence is None  # a person showed it


def test_a_box_teaches_a_class_that_no_network_knows() -> None:
    image, truth = discs(180, 240, red=(80, 70, 44), lamp=(100, 170, 40))
    made = Labeller(toy_bundle()).label(image, ("red",), {"lamp": (128, 58, 212, 142)})
    assert made.ids == {"red": 1, "lamp": 4}
    assert overlap_of(made.labels == 4, truth["lamp"]) > 0.75
    assert overlap_of(made.labels == 1, truth["red"]) > 0.75
    assert made.trust["lamp"] > 0.4


def test_a_box_alone_serves_weights_without_a_classifier() -> None:
    labeller = Labeller(toy_bundle(classifier=None))
    made = labeller.label(IMAGE, (), {"red": (22, 32, 118, 128)})
    assert overlap_of(made.labels == 1, TRUTH["red"]) > 0.75
    with pytest.raises(BadInput, match="draw a box around 'green'"):
        labeller.label(IMAGE, ("green",), {"red": (22, 32, 118, 128)})


def test_a_class_keeps_to_its_box() -> None:
    made = Labeller(toy_bundle(affinity=None, boundary=None)).label(IMAGE, (), {"red": (0, 0, 53, 180)})
    assert (made.labels == 1).any() and not (made.labels[:, 53:] == 1).any()


@pytest.mark.parametrize("without", ["affinity", "boundary"])
def test_networks_may_be_missing(without: str) -> None:
    made = Labeller(toy_bundle(**{without: None})).label(IMAGE, ("red", "green"))
    assert overlap_of(made.labels == 1, TRUTH["red"]) > 0.3
    assert (made.grounds["red"].closure is None) == (without == "boundary")


def test_a_large_image_is_looked_at_small_and_answered_large() -> None:
    image, truth = discs(900, 1203, red=(400, 350, 220))
    labeller = Labeller(toy_bundle(), long_side_px=240)
    made = labeller.label(image, ("red",), {"red": (100, 150, 600, 650)})
    assert made.labels.shape == (900, 1203)
    assert overlap_of(made.labels == 1, truth["red"]) > 0.8


def test_a_class_all_over_the_image_is_told() -> None:
    image = np.zeros((96, 96, 3), np.uint8)
    image[:] = COLOURS["red"]
    made = Labeller(toy_bundle()).label(image, ("red",))
    assert made.trust["red"] < 0.5
    assert "cannot say where" in made.notes[0]


def test_a_class_that_is_found_nowhere_is_told() -> None:
    bundle = toy_bundle()
    bundle.classifier.colours.data[0] = 1e4  # type: ignore[union-attr,index]
    made = Labeller(bundle).label(IMAGE, ("red", "green"))
    assert made.trust["red"] == 0 and "nothing found" in made.notes[0]
    assert overlap_of(made.labels == 2, TRUTH["green"]) > 0.75


@pytest.mark.parametrize(
    ("tags", "boxes", "part"),
    [
        ((), {}, "no tag"),
        (("mauve",), {}, "unknown class 'mauve'; known: red, green, blue"),
        (("red",), {"red": (250, 0, 300, 20)}, "holds no pixel of the image of 240x180"),
        (("red",), {"red": (50, 60, 50, 80)}, "holds no pixel"),
        (("red",), {"red": (0, 0, float("nan"), 20)}, "wants four finite numbers"),
    ],
)
def test_unfit_requests_are_refused(tags: tuple[str, ...], boxes: dict[str, Any], part: str) -> None:
    with pytest.raises(BadInput, match=part):
        Labeller(toy_bundle()).label(IMAGE, tags, boxes)


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.ones((8, 8, 3))]
)
def test_unfit_images_are_refused(image: Any) -> None:
    with pytest.raises(BadMedia, match=r"\(H, W, 3\) uint8"):
        Labeller(toy_bundle()).label(image, ("red",))


@pytest.mark.parametrize("hw", [(1, 1), (1, 40), (40, 1), (3, 5), (17, 16)])
@pytest.mark.parametrize("boxes", [{}, {"hat": (0, 0, 1, 1)}])
def test_tiny_images_with_the_real_networks(hw: tuple[int, int], boxes: dict[str, Any]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*hw, 3), dtype=np.uint8)
    made = Labeller(_untrained()).label(image, CLASSES.names, boxes)
    assert made.labels.shape == hw
    assert set(np.unique(made.labels).tolist()) <= {0, *made.ids.values()}
    assert all(0 <= trust <= 1 for trust in made.trust.values())


def test_an_answer_repeats_itself() -> None:
    labeller = Labeller(_untrained())
    image = IMAGE[:64, :96]
    first, second = (labeller.label(image, CLASSES.names) for _ in range(2))
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.trust == second.trust


_KEPT: dict[str, Bundle] = {}


def _untrained() -> Bundle:
    if not _KEPT:
        _KEPT["one"] = Bundle(
            "mobilenet_v2",
            CLASSES,
            responses=ResponseConfig(scales=(1.0, 1.5)),
            classifier=Classifier("mobilenet_v2", 3).eval(),
            boundary=BoundaryNetwork("mobilenet_v2").eval(),
            affinity=AffinityNetwork("mobilenet_v2").eval(),
        )
    return _KEPT["one"]
