"""Projects read as labelled clips: names, videos, kinds, and every trouble told while the others go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backends.core.errors import BadLabelConfig
from pipelines.export.project import ProjectWork
from tests.clip_house import MemoryStudio, clip_xml, on, scene_xml, write_frames
from tests.project_house import SIZE_HW, annotation, block, config_xml, painted, ticked

A, B = block(2, 12, 2, 12), block(4, 14, 4, 14)


@pytest.fixture
def studio(tmp_path: Path) -> MemoryStudio:
    return MemoryStudio(tmp_path / "media")


def saved(number: int = 1, *results: Any, **fields: Any) -> dict[str, Any]:
    return annotation(number, results or [on(0, "object 1", A)], **fields)


def test_a_clip_is_read_with_its_frames_in_order(studio: MemoryStudio) -> None:
    studio.add("bus-36d8450bbb-001", saved(1, on(2, "object 1", A), on(0, "object 2", B)), start=40)
    clip = studio.clip()
    assert (clip.name, clip.video, clip.size_hw) == ("bus-36d8450bbb-001", "bus-36d8450bbb", SIZE_HW)
    assert clip.names == ("00000", "00001", "00002")
    assert [path.name for path in clip.frames] == ["00000.jpg", "00001.jpg", "00002.jpg"]
    assert clip.data["start"] == 40
    assert clip.work.mask_opinion is not None and clip.work.mask_opinion.frames == (0, 2)


@pytest.mark.parametrize(
    ("clip", "name", "video"),
    [
        ("bus-000", "bus-000", "bus"),
        ("bus", "bus", "bus"),
        ("Straße 7/übung", "Straße-7-übung", "Straße-7-übung"),
        ("../../etc", "etc", "etc"),
        ("", "task-000001", "task-000001"),
        (None, "task-000001", "task-000001"),
        (7, "task-000001", "task-000001"),
    ],
)
def test_names_are_file_safe_and_videos_lose_the_clips_number(
    studio: MemoryStudio, clip: Any, name: str, video: str
) -> None:
    studio.add("folder", saved())
    studio.held[1]["data"]["clip"] = clip
    found = studio.clip()
    assert (found.name, found.video) == (name, video)


def test_a_clip_that_was_imported_twice_is_two_clips_of_one_video(studio: MemoryStudio) -> None:
    for name in ("bus-000", "BUS-000", "bus-000"):
        studio.add("bus", saved())
        studio.held[len(studio.held)]["data"]["clip"] = name
    clips = studio.read().clips
    assert [clip.name for clip in clips] == ["bus-000", "BUS-000-task-000002", "bus-000-task-000003"]
    assert {clip.video.casefold() for clip in clips} == {"bus"}


def test_frames_that_share_a_stem_are_numbered(studio: MemoryStudio) -> None:
    studio.add("bus", saved())
    write_frames(studio.media / "other", 1)
    studio.held[1]["data"]["frames"] = ["bus/00000.jpg", "other/00000.jpg"]
    assert studio.clip().names == ("00000", "00001")


@pytest.mark.parametrize(
    ("xml", "kind"),
    [(clip_xml(), "video_object"), (scene_xml(), "video_semantic"), (config_xml(), "weak_shot")],
)
def test_the_configuration_says_what_kind_a_project_is(studio: MemoryStudio, xml: str, kind: str) -> None:
    studio.xml = xml
    work = studio.read()
    assert (work.kind, work.clips, work.tasks) == (kind, (), 0)


def test_a_project_without_a_brush_is_refused(studio: MemoryStudio) -> None:
    studio.xml = clip_xml().replace("BrushLabels", "PolygonLabels")
    with pytest.raises(BadLabelConfig, match="lacks BrushLabels"):
        studio.read()


def test_a_photo_is_a_clip_of_one_frame(studio: MemoryStudio) -> None:
    studio.xml = config_xml()
    for result in ([ticked("dog")], [painted("skin", A)], []):
        studio.add("photos", annotation(1, result), frames=1)
    for task in studio.held.values():
        task["data"] = {"image": "photos/00000.jpg"}
    work = studio.read()
    assert [(clip.name, clip.video) for clip in work.clips] == [
        (n, n) for n in ("task-000001", "task-000002")
    ]
    assert work.clips[0].work.tags == {"dog"} and work.clips[0].names == ("00000",)


def told(work: ProjectWork, number: int) -> str:
    return " / ".join(note for note in work.notes if note.startswith(f"task {number}:"))


def test_every_trouble_is_named_and_the_others_go_on(studio: MemoryStudio) -> None:
    broken = on(1, "object 1", A, "cut")
    broken["value"]["rle"] = broken["value"]["rle"][:30]
    empty = annotation(1, [])
    cases = {
        "deleted": studio.add("a", saved()),
        "frame gone": studio.add("b", saved()),
        "other size": studio.add("c", saved()),
        "no picture": studio.add("d", saved()),
        "no kind": studio.add("e", saved()),
        "skipped": studio.add("f", saved(was_cancelled=True)),
        "nothing painted": studio.add("g", empty),
        "only broken": studio.add("h", saved(1, broken)),
        "no frames": studio.add("i", saved()),
        "annotation gone": studio.add("j", saved()),
        "part": studio.add("k", saved(1, on(0, "object 1", A), broken, on(0, "horse", B))),
        "two people": studio.add("l", saved(1), saved(2, on(0, "object 1", B))),
        "once cancelled": studio.add("m", saved(1), saved(2, was_cancelled=True)),
        "plain": studio.add("n", saved()),
        "untouched": studio.add("o"),
    }
    studio.deleted.add(cases["deleted"])
    (studio.media / "b" / "00001.jpg").unlink()
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(studio.media / "c" / "00002.jpg")
    (studio.media / "d" / "00000.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (studio.media / "e" / "00001.jpg").rename(studio.media / "e" / "00001.gif")
    studio.held[cases["no kind"]]["data"]["frames"][1] = "e/00001.gif"
    studio.held[cases["no frames"]]["data"]["frames"] = "i/00000.jpg"
    real = studio.task

    def task(number: int) -> dict[str, Any]:
        return {**real(number), **({"annotations": []} if number == cases["annotation gone"] else {})}

    studio.task = task  # type: ignore[method-assign]
    work = studio.read()
    wanted = {
        "deleted": "was deleted while the project was read",
        "frame gone": "frame 1 of 3: 'b/00001.jpg': the file is gone",
        "other size": "frame 2 of 3: 00002.jpg is 9x9, the first frame 32x24",
        "no picture": "frame 0 of 3: 00000.jpg: ",
        "no kind": "frame 1 of 3: 00001.gif: a picture's name ends in",
        "skipped": "skipped by the annotator",
        "nothing painted": "nobody painted a mask that can be used",
        "only broken": "nobody painted a mask that can be used",
        "no frames": "no list of frames",
        "annotation gone": "has no annotation any more",
        "part": "'horse' is not in 'mask'",
        "two people": "those of annotation 2 count, all are kept",
        "once cancelled": "1 cancelled annotations do not count",
    }
    for name, words in wanted.items():
        assert words in told(work, cases[name]), f"{name}: {told(work, cases[name])!r}"
    assert "region cut" in told(work, cases["part"]) and "region cut" in told(work, cases["only broken"])
    assert {clip.name for clip in work.clips} == {"k", "l", "m", "n"}
    assert not told(work, cases["plain"]) and not told(work, cases["untouched"])
    assert (work.tasks, work.untouched) == (15, 1)
    assert not any(str(studio.media) in note for note in work.notes), "manifests know no machine"


def test_a_clip_of_which_every_mask_is_broken_does_not_fill_the_notes(studio: MemoryStudio) -> None:
    studio.add("bus", saved(1, *(on(0, "horse", A, f"r{n}") for n in range(200)), on(0, "object 1", A)))
    notes = studio.read().notes
    assert len(notes) == 6 and "195 more regions" in notes[-1]


def test_progress_counts_the_tasks_with_work(studio: MemoryStudio) -> None:
    studio.add("a", saved())
    studio.add("b")
    seen: list[int | None] = []

    def track(items: Any, *, total: int | None, label: str) -> Any:
        seen.append(total)
        yield from items

    studio.read(progress=track)
    assert seen == [1]
