"""Scores on drawn clips by segmenters whose answers are known: figures, counts, what a version lacks."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from backends.core.types import Clip, FrameMasks, MaskPrompt, Prompt
from backends.video_semantic.loaders import open_scenes
from backends.video_semantic.weights_file import load_weights
from pipelines.loop import benchmark
from pipelines.loop.examples import Examples, write_index
from pipelines.loop.plan import data_of
from pipelines.loop.score_objects import LabelledSequence, held_out_sequences, score_objects
from pipelines.loop.score_scenes import Tally, matched, score_scenes
from pipelines.loop.scores import Data
from pipelines.loop.scoring import refuse_nonsense
from tests import knowing_scene, loop_snapshots

DATA = Data(1, 1)


@dataclass
class Answers:
    """Says the truth of a sequence, but of ``lost`` objects nothing."""

    sequence: LabelledSequence
    lost: tuple[str, ...] = ()
    version: str = "answers"
    asked: list[MaskPrompt] = field(default_factory=list)

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        self.asked += [prompt for prompt in prompts if isinstance(prompt, MaskPrompt)]
        for index in range(len(clip)):
            truth = self.sequence.truth(index) if index in self.sequence.labelled else np.zeros((4, 4))
            masks = {
                name: np.equal(truth, number)
                for number, name in self.sequence.names.items()
                if name not in self.lost
            }
            yield FrameMasks(index, masks, {})


def sequence(maps: dict[int, Sequence[Sequence[int]]], length: int = 5) -> LabelledSequence:
    """Index maps of some of ``length`` frames."""
    found = {index: np.array(rows, np.uint8) for index, rows in maps.items()}
    clip = Clip("c", [np.zeros((4, 4, 3), np.uint8)] * length, (4, 4), tuple(map(str, range(length))))
    return LabelledSequence("c", "v", clip, tuple(found), found.__getitem__, {1: "cat", 2: "dog"})


CAT = [[1, 1, 0, 0]] * 4
BOTH = [[1, 1, 2, 2]] * 4
DOG = [[0, 0, 2, 2]] * 4


def test_each_object_is_given_where_it_is_first_labelled_and_scored_from_there_on() -> None:
    drawn = sequence({1: CAT, 2: BOTH, 4: DOG})
    answers = Answers(drawn)
    scores = score_objects(answers, [drawn], DATA)
    assert [(p.object_id, p.frame_index) for p in answers.asked] == [("cat", 1), ("dog", 2)]
    assert {name: figure.count for name, figure in scores.per_class.items()} == {"cat": 2, "dog": 1}
    assert scores.overall == pytest.approx(100) and scores.per_video["v"].count == 3


def test_what_is_lost_scores_nothing_and_an_object_that_left_counts_as_right_where_nothing_is_said() -> None:
    drawn = sequence({0: BOTH, 1: BOTH, 2: CAT})
    scores = score_objects(Answers(drawn, lost=("dog",)), [drawn], DATA)
    assert scores.per_class["cat"].value == pytest.approx(100)
    assert scores.per_class["dog"].value == pytest.approx(50), "lost on frame 1, rightly gone on frame 2"
    assert scores.overall == pytest.approx(75)
    assert set(scores.per_class["dog"].more) == {"j", "f"}


def test_a_mask_accepted_as_proposed_only_says_what_was_good_enough() -> None:
    proposed = np.ones((20, 20), np.uint8)
    answer = proposed.copy()
    answer[:1] = 0  # J 0.95: nobody would have corrected that either
    clip = Clip("c", [np.zeros((20, 20, 3), np.uint8)] * 3, (20, 20), ("0", "1", "2"))
    truths = {0: proposed, 1: proposed, 2: proposed}
    drawn = LabelledSequence("c", "v", clip, (0, 1, 2), truths.__getitem__, {1: "cat"})
    told = replace(drawn, accepted=frozenset({(1, "cat"), (2, "cat")}))
    other = Answers(replace(drawn, truth=lambda index: answer))
    as_truth, as_word = (
        score_objects(other, [one], DATA).per_class["cat"].more["j"] for one in (drawn, told)
    )
    assert as_truth == pytest.approx(95) and as_word == pytest.approx(100)
    lost = score_objects(Answers(drawn, lost=("cat",)), [told], DATA)
    assert lost.per_class["cat"].more["j"] == 0, "what an accepted mask shows must still be found"


def test_accepted_masks_are_known_by_the_annotation_that_counts(tmp_path: Path) -> None:
    snapshot = loop_snapshots.objects(tmp_path / "s", clips=3, frames=8)
    masks = [
        {"frame": frame, "class": "cat", "origin": origin}
        for frame, origin in ((1, "accepted"), (2, "painted"))
    ]
    told = {
        "annotations": [{"masks_count": True, "masks": masks}, {"masks_count": False, "masks": masks[:1]}]
    }
    clips = {name: {**clip, **told} for name, clip in snapshot.manifest["clips"].items()}
    changed = replace(snapshot, manifest={**snapshot.manifest, "clips": clips})
    assert [held.accepted for held in held_out_sequences(changed)] == [frozenset({(1, "cat")})]


def test_an_object_on_one_labelled_frame_is_told_and_not_scored() -> None:
    drawn = sequence({0: CAT, 4: BOTH})
    scores = score_objects(Answers(drawn), [drawn], DATA)
    assert set(scores.per_class) == {"cat"}
    assert scores.notes == ("c: 'dog' is on one labelled frame only, nothing to score",)


def test_nothing_to_score_is_no_number() -> None:
    empty = sequence({0: [[0] * 4] * 4, 1: [[0] * 4] * 4})
    assert math.isnan(score_objects(Answers(empty), [empty], DATA).overall)
    assert math.isnan(score_objects(Answers(empty), [], DATA).overall)


def test_held_out_clips_come_from_the_snapshot_with_their_labels_and_leave_an_example(
    tmp_path: Path,
) -> None:
    snapshot = loop_snapshots.objects(tmp_path / "s", clips=3, frames=8)
    [held] = held_out_sequences(snapshot)
    assert (held.name, held.video, len(held.labelled)) == ("drawn-002", "drawn-002", 8)
    examples = Examples(tmp_path / "x", "candidate")
    scores = score_objects(Answers(held), [held], data_of(snapshot), examples=examples)
    assert scores.overall == pytest.approx(100)
    write_index(tmp_path / "x", examples)
    [row] = json.loads((tmp_path / "x" / "examples.json").read_text())
    assert (snapshot.folder / row["image"]).is_file()
    assert all((tmp_path / "x" / row[who]).is_file() for who in ("truth", "candidate"))


def test_classes_are_matched_by_name() -> None:
    table = matched(("road", "bus", "sky"), ("sky", "road"))
    assert table[[0, 1, 2, 9]].tolist() == [1, 2, 0, 2]


def test_only_shown_classes_have_a_figure_and_wrong_pixels_count_there() -> None:
    tally = Tally(3)
    tally.add(np.array([[0, 0, 1, 255]], np.uint8), np.array([[0, 3, 1, 2]], np.uint8))
    figures = tally.figures(("a", "b", "c"))
    assert {name: (round(f.value), f.count) for name, f in figures.items()} == {"a": (50, 1), "b": (100, 1)}


def test_scenes_score_by_class_and_by_video_and_unknown_classes_score_nothing(tmp_path: Path) -> None:
    snapshot = loop_snapshots.scenes(tmp_path / "s", frames=2)
    known = [loop_snapshots.street(n, ("sky", "road")) for n in range(6)]
    weights = knowing_scene.write_knowing_scene(tmp_path / "w.safetensors", known, ("sky", "road"))
    scores = score_scenes(
        load_weights(weights),
        "v",
        open_scenes(snapshot.folder, "val"),
        data_of(snapshot),
        video_of=lambda name: f"video of {name}",
    )
    assert scores.unknown == ("car",) and scores.per_class["car"].value == 0
    assert scores.per_class["sky"].value > 60 and scores.per_class["sky"].count == 2
    assert set(scores.per_video) == {"video of drive-003"}
    assert 0 <= scores.more["temporal_consistency"] <= 100
    assert scores.overall == pytest.approx(sum(f.value for f in scores.per_class.values()) / 3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_found_before_they_are_scored(tmp_path: Path, value: float) -> None:
    save_file({"good": torch.ones(3), "bad": torch.tensor([1.0, value])}, tmp_path / "w.safetensors")
    with pytest.raises(FloatingPointError, match="weights bad are no numbers"):
        refuse_nonsense(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("algorithm", "folder", "said"),
    [
        ("video_object", "", None),
        ("video_object", "none", "wants no benchmark"),
        ("video_semantic", "", "no benchmark ships for video_semantic"),
        ("weak_shot", "data/", None),
    ],
)
def test_it_is_said_where_forgetting_is_not_measured(algorithm: str, folder: str, said: str | None) -> None:
    found = benchmark.nothing(algorithm, folder)
    assert (found is None) if said is None else (found is not None and said in found.note)


def test_the_drawn_clips_are_the_same_every_time_and_their_truth_scores_all() -> None:
    drawn, again = list(benchmark._wanderers()), list(benchmark._wanderers())
    assert [one.name for one in drawn] == ["wanderer cross", "wanderer pass", "wanderer turn"]
    short = drawn[0]
    names = {1: "object 1"}
    named = LabelledSequence(short.name, short.video, short.clip, short.labelled[:4], short.truth, names)
    assert score_objects(Answers(named), [named], DATA).overall == pytest.approx(100)
    assert np.array_equal(again[0].clip.frames[3], short.clip.frames[3])
    assert np.array_equal(again[0].truth(3), short.truth(3))
