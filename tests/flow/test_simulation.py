"""An annotator who knows the truth in the real loop: counts by construction, gate, resume, real networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from backends.core.types import MaskPrompt
from backends.loop.folder import ProjectFolder
from backends.queues import PropagationRequest
from backends.registry import Registry
from backends.settings import Settings
from backends.video_object.network import Network, NetworkConfig
from backends.video_object.weights_file import save_weights
from backends.video_semantic.loaders.camvid import CLASSES, VOID
from pipelines import cli
from pipelines.export.snapshot import open_snapshot
from pipelines.simulation.desk import Desk
from pipelines.simulation.studio import Studio
from pipelines.simulation.videos import cut, open_videos
from pipelines.tag_project.config_xml import video_object_xml
from tests.knowing_scene import write_knowing_scene
from tests.loop_snapshots import street
from tests.media import save_mask
from tests.simulation_house import PER_SCENE, SCENES, Knower, School, plan, run, write_videos

THE_PROJECT = 1


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_videos(tmp_path / "davis", "one", "two", "three")


def rounds(found: dict[str, Any], labels: str = "propose") -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = found["tracks"][labels]["rounds"]
    return told


def corrections(found: dict[str, Any], part: str, strategy: str = "propose") -> list[float]:
    return [r[part]["corrections"][strategy] for r in rounds(found) if r[part]]


def test_a_clip_takes_one_correction_per_scene_that_is_neither_given_nor_learnt(
    data: Path, tmp_path: Path
) -> None:
    found = run(plan(data), tmp_path / "out")
    assert corrections(found, "test") == [SCENES - 1, SCENES - 2, 0]
    assert corrections(found, "loop") == [1, 1], "a piece of each video shows two scenes, one is given"
    assert corrections(found, "without_loop") == [1], "told where another version than the first is served"
    [test] = rounds(found)[0]["test"]["clips"].values()
    [count] = test["propose"]["orders"]
    assert count["corrected"] == [PER_SCENE, 2 * PER_SCENE], "the first frame of each unknown scene"
    assert count["reached"] and [f["j"] for f in count["figures"]] == [30.0, 70.0, 100.0]
    assert len(test["random"]["orders"]) == 2 and test["random"]["corrections"] >= SCENES - 1
    assert found["tracks"]["propose"]["paid"]["propose"] == {
        "first": 2, "last": 0, "fewer": 1, "same": 0, "more": 0
    }  # fmt: skip
    decisions = [r["decision"] for r in rounds(found)]
    assert [d["outcome"] for d in decisions[:2]] == ["promoted"] * 2 and decisions[2] is None
    assert [r["served"] for r in rounds(found)[1:]] == [d["serves"] for d in decisions[:2]]
    assert decisions[0]["gate"] == {"metric": "j_and_f", "candidate": 60.0, "served": 50.0}


def test_what_was_submitted_is_told_apart_in_the_snapshot(data: Path, tmp_path: Path) -> None:
    found = run(plan(data, rounds=1), tmp_path / "out")
    home = tmp_path / "out" / "propose"
    [cycle] = ProjectFolder(home, THE_PROJECT).cycles()
    manifest = open_snapshot(home / "snapshots" / cycle.snapshot).manifest
    assert len(manifest["held_out"]) == 1 and set(manifest["clips"]) == {"one-000", "two-000"}
    [opinion] = manifest["clips"]["one-000"]["annotations"]
    origins = {mask["frame"]: (mask["origin"], mask["proposed_by"]) for mask in opinion["masks"]}
    first = rounds(found)[0]["served"]
    hand = {0, PER_SCENE, 2 * PER_SCENE}
    assert set(origins) == set(range(SCENES * PER_SCENE)), "each frame shows the object"
    assert {frame for frame, (origin, _) in origins.items() if origin != "accepted"} == hand
    assert {by for origin, by in origins.values() if origin == "accepted"} == {first}


def test_a_refused_candidate_changes_nothing(data: Path, tmp_path: Path) -> None:
    found = run(plan(data), tmp_path / "out", school=School(gain=-5.0))
    assert corrections(found, "test") == [SCENES - 1] * 3
    first, *others = (r["served"] for r in rounds(found))
    assert set(others) == {first} and corrections(found, "without_loop") == []
    decisions = [r["decision"] for r in rounds(found)[:2]]
    assert all(d["outcome"] == "refused" and d["serves"] == first != d["candidate"] for d in decisions)
    assert "a loss of 5.00 points" in decisions[0]["against"][0]
    served = Registry(tmp_path / "out" / "propose" / "models").served("video_object", project=THE_PROJECT)
    assert served.version == first


@pytest.mark.parametrize("strength", [7, 31, 90])
def test_a_simulation_that_is_stopped_again_and_again_comes_to_the_same(
    strength: int, data: Path, tmp_path: Path
) -> None:
    whole = run(plan(data), tmp_path / "whole" / "out")
    found, stops, schools = None, 0, [School(strength=0), School(strength=1), School(strength=0), School()]
    while found is None:
        try:
            school = schools[min(stops // 3, 3)]
            found = run(plan(data), tmp_path / "broken" / "out", strength=strength + stops, school=school)
        except KeyboardInterrupt:
            stops += 1
    assert stops > 2 and found == whole
    again = run(plan(data), tmp_path / "broken" / "out", strength=0, school=School(strength=0))
    assert again == whole, "nothing is done twice"


def test_each_strategy_may_have_a_loop_of_its_own(data: Path, tmp_path: Path) -> None:
    found = run(plan(data, retrain="each", rounds=1, seeds=1), tmp_path / "out")
    assert set(found["tracks"]) == {"propose", "random", "even"}  # type: ignore[arg-type]
    assert set(rounds(found, "even")[0]["test"]["corrections"]) == {"even"}
    homes = [tmp_path / "out" / name / "models" / "video_object" for name in ("propose", "random", "even")]
    assert all(len(list(home.glob("video_object-*"))) == 2 for home in homes), "a registry each"


def test_another_simulation_in_the_folder_is_refused(data: Path, tmp_path: Path) -> None:
    run(plan(data, rounds=1), tmp_path / "out")
    with pytest.raises(Exception, match=r"holds a simulation with another target \(100.0\)"):
        run(plan(data, rounds=1, target=90.0), tmp_path / "out")


def test_report_is_json(data: Path, tmp_path: Path) -> None:
    found = run(plan(data, rounds=1), tmp_path / "out")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert str(tmp_path) not in json.dumps(found)


def test_a_job_that_was_running_when_its_process_was_killed_is_carried_out(
    data: Path, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, media_root=data)
    xml = video_object_xml(["object 1"])
    desk = Desk(settings, Studio(tmp_path / "studio", {THE_PROJECT: xml}), lambda name: Knower(0, name))
    [clip] = cut(open_videos("video_object", data, "", ["one"], 1)[0], 1)
    task = desk.task(THE_PROJECT, clip)
    frames = tuple(desk.studio.task(task)["data"]["frames"])
    anchors = (MaskPrompt("object 1", 0, clip.masks(0)["object 1"]),)
    request = PropagationRequest(THE_PROJECT, task, frames, clip.clip.size_hw, anchors, "knower-00000000")
    row = desk.ledger.want_job(request.wanted())
    assert desk.ledger.start(row.id, row.generation, "killed") is not None
    assert len(desk.carry_out(request)) == len(clip.paths)
    desk.close()


@pytest.fixture(scope="module")
def objects_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = Network(NetworkConfig(embedding=16))
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_weights(network.state_dict(), network.config, path)
    return path


QUICK = "--rounds 1 --strategies propose,even --set enough_train=1 --set benchmark=none --set min_gain=0 "


def test_the_command_with_a_real_network(
    data: Path,
    tmp_path: Path,
    objects_weights: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MASKLOOP_ENGINE", "torch")  # weights that live for one test are not worth a graph
    words = (
        f"simulate video_object --data {data} --loop one,two:0-9 --test three:0-8 --out {tmp_path / 'out'} "
    )
    training = "--set training.steps=2 --set training.batch=1 --set training.sample.crop_hw=[96,96] "
    files = f"--json {tmp_path / 's.json'} --plot {tmp_path / 's.png'} --weights {objects_weights}"
    options = f"{QUICK}{training}--every 2 --corrections 1 --set max_class_loss=100 {files}"
    assert cli.main((words + options).split()) == 0
    found = json.loads((tmp_path / "s.json").read_text())
    told = rounds(found)
    assert [len(r["test"]["clips"]["three.0-8-000"]["propose"]["orders"]) for r in told] == [1, 1]
    assert told[0]["decision"]["candidate"].startswith("video_object-")
    assert told[0]["decision"]["gate"]["served"] is not None
    said = capsys.readouterr()
    assert "corrections per test clip before the first round" in said.out and "round 0: " in said.out
    assert np.asarray(Pillow.open(tmp_path / "s.png")).std() > 0


def write_camvid(root: Path, count: int) -> Path:
    """Frames of one drive, every one labelled."""
    for index in range(count):
        image, labels = street(index, CLASSES)
        name = f"Drawn_{index:05d}.png"
        save_mask(root / "val" / name, image)
        save_mask(root / "valannot" / name, np.where(labels == 255, VOID, labels).astype(np.uint8))
    return root


def test_the_command_for_whole_scenes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_camvid(tmp_path / "camvid", 14)
    shown = [street(index, CLASSES) for index in range(4)]
    poor = [
        (image, np.where(labels == CLASSES.index("car"), CLASSES.index("road"), labels))
        for image, labels in shown
    ]
    weights = write_knowing_scene(tmp_path / "weights.safetensors", poor, CLASSES)
    words = f"simulate video_semantic --data {data} --loop Drawn_00000:0-5,Drawn_00000:5-10 "
    words += f"--test Drawn_00000:10-14 --out {tmp_path / 'out'} --target 90 --weights {weights} "
    training = "--set training.steps=2 --set training.batch=1 --set training.sample.crop_hw=[64,64] "
    assert cli.main((words + QUICK + training + f"--json {tmp_path / 's.json'}").split()) == 0
    first, _ = rounds(json.loads((tmp_path / "s.json").read_text()))
    [clip] = first["test"]["clips"].values()
    assert clip["figure"] < 90 and clip["propose"]["corrections"] >= 1 and clip["propose"]["reached"]
    values = [one["miou"] for one in clip["propose"]["orders"][0]["figures"]]
    assert values == sorted(values) and values[-1] >= 90
    assert first["decision"]["outcome"] in ("promoted", "refused")
    home = tmp_path / "out" / "propose"
    [cycle] = ProjectFolder(home, THE_PROJECT).cycles()
    snapshot = open_snapshot(home / "snapshots" / cycle.snapshot)
    told = snapshot.manifest["clips"]["Drawn_00000.0-5-000"]
    loop = first["loop"]["clips"]["Drawn_00000.0-5-000"]["propose"]["orders"][0]
    assert told["labelled_frames"] == sorted(loop["corrected"]), "only what was corrected teaches"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--loop one --test one", "frame 00000.png is in 'one' and in 'one'"),
        ("--loop one:0-6 --test one:5-12", "in 'one.0-6' and in 'one.5-12'"),
        ("--loop one:0-20 --test two", "'one' has 12 frames, 0-12"),
        ("--loop four --test two", "has no sequence four"),
        ("--loop one --test two --rounds 5", "one-000: 2 frames; a clip wants 3 or more"),
        ("--loop one --test two --rounds 0", "--rounds 0: wants 1 or more"),
        ("--loop one --test two --every 0", "--every 0: wants 1"),
        ("--loop one --test two --target 0", "--target 0: wants points above 0"),
        ("--loop one --test two --strategies best", "'best': unknown; known: propose, random, even"),
        ("--loop one,one --test two", "--loop: 'one' is named twice"),
        ("--loop one --test two --set promote=ask", "nobody is there to say yes"),
        ("--loop one --test two --weights none.safetensors", "no such file"),
    ],
)
def test_refusals(options: str, says: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"simulate video_object --data {data} --out {data.parent / 'out'} {options}"
    assert cli.main(words.split()) == 2
    assert says in capsys.readouterr().err
    assert not (data.parent / "out").exists()


def test_other_algorithms_are_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(f"simulate weak_shot --data {data} --loop a --test b --out {data / 'out'}".split()) == 2
    assert "known: video_object, video_semantic" in capsys.readouterr().err


@pytest.mark.parametrize(("held_out", "shown"), [("accepted", 2 * PER_SCENE), ("exact", 3 * PER_SCENE)])
def test_the_clips_that_judge_are_handed_in_as_asked(
    held_out: str, shown: int, data: Path, tmp_path: Path
) -> None:
    found = run(plan(data, rounds=1, target=60.0, held_out=held_out), tmp_path / "out")
    assert corrections(found, "loop") == [1], "what is done beyond the target is not counted"
    home = tmp_path / "out" / "propose"
    [cycle] = ProjectFolder(home, THE_PROJECT).cycles()
    manifest = open_snapshot(home / "snapshots" / cycle.snapshot).manifest
    frames = {
        name: {mask["frame"] for mask in told["annotations"][0]["masks"]}
        for name, told in manifest["clips"].items()
    }
    [judge] = manifest["held_out"]
    assert frames.pop(judge) == set(range(shown)), "the third scene was never corrected"
    assert list(frames.values()) == [set(range(2 * PER_SCENE))]
