"""Tags and boxes as prompts: what is known, what a box shows, what is told, and tiny pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from backends.core.errors import BadInput
from backends.core.types import BoxPrompt, Clip, FrameMasks, Image, Prompt, TagPrompt
from backends.weak_shot.labeller import Labeller
from backends.weak_shot.segmenter import TagSegmenter
from tests.unit.weak_shot.toys import discs, overlap_of, toy_bundle

PICTURE, TRUTH = discs(96, 128, red=(48, 36, 22), green=(48, 92, 20))
SHOWN = BoxPrompt("lamp", 0, 10.0, 22.0, 62.0, 74.0)


@dataclass(frozen=True)
class One:
    """A single picture as frames."""

    image: Image

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int, /) -> Image:
        return self.image


def asked(*prompts: Prompt, image: Image = PICTURE, **parts: Any) -> FrameMasks:
    clip = Clip("x", One(image), (image.shape[0], image.shape[1]), ("0",))
    [frame] = TagSegmenter(Labeller(toy_bundle(**parts)), "weak_shot-00000000").segment(clip, prompts)
    return frame


def test_a_mask_and_a_trust_for_each_tag() -> None:
    frame = asked(TagPrompt("red", 0), TagPrompt("green", 0))
    assert set(frame.masks) == set(frame.confidence) == {"red", "green"}
    assert all(overlap_of(frame.masks[name], TRUTH[name]) > 0.6 for name in TRUTH)
    assert not (frame.masks["red"] & frame.masks["green"]).any()


def test_a_class_that_is_not_there_is_trusted_less() -> None:
    frame = asked(TagPrompt("red", 0), TagPrompt("blue", 0))
    assert frame.confidence["blue"] < 0.5 * frame.confidence["red"]
    assert any(note.startswith("blue") for note in frame.notes)


def test_a_tag_never_learned_is_told_and_the_others_go_on() -> None:
    frame = asked(TagPrompt("red", 0), TagPrompt("cow", 0))
    assert set(frame.masks) == {"red"}
    assert any("finds no 'cow'" in note and "red, green, blue" in note for note in frame.notes)


def test_a_box_shows_a_class_that_was_never_learned() -> None:
    frame = asked(TagPrompt("red", 0), SHOWN)
    assert set(frame.masks) == {"red", "lamp"}
    rows, columns = np.nonzero(frame.masks["lamp"])
    assert columns.min() >= 10 and columns.max() <= 62 and rows.min() >= 22 and rows.max() <= 74


def test_without_a_classifier_boxes_still_work() -> None:
    frame = asked(TagPrompt("red", 0), SHOWN, classifier=None)
    assert set(frame.masks) == {"lamp"} and frame.masks["lamp"].any()
    assert any("has not learned classes yet" in note for note in frame.notes)


@pytest.mark.parametrize(
    ("parts", "says"), [({}, "finds no 'cow'"), ({"classifier": None}, "has not learned classes yet")]
)
def test_no_usable_tag_is_refused_in_words(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        asked(TagPrompt("cow", 0), **parts)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 40), (3, 2)])
def test_tiny_pictures(size_hw: tuple[int, int]) -> None:
    frame = asked(TagPrompt("red", 0), image=np.full((*size_hw, 3), 200, np.uint8))
    assert frame.masks["red"].shape == size_hw and 0 <= frame.confidence["red"] <= 1
