"""Snapshots: the name is the content, and whatever was edited is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.core.errors import BadInput
from pipelines.export import snapshot
from pipelines.export.snapshot import MANIFEST, Snapshot, SnapshotWriter, open_snapshot


def written(home: Path, pixels: bytes = b"pixels", **about: object) -> Snapshot:
    with SnapshotWriter(home) as writer:
        writer.put("images/größe 1.png", pixels)
        writer.put_json("tags.json", {"größe 1": ["dog"]})
        return writer.finish({"project": 3, **about})


def test_the_same_content_has_the_same_name_and_other_content_another(tmp_path: Path) -> None:
    one, again = written(tmp_path / "a"), written(tmp_path / "b")
    assert one.digest == again.digest == one.folder.name
    assert written(tmp_path / "a") == one, "the second time it is found, not made"
    names = {
        one.digest,
        written(tmp_path / "a", b"pixelz").digest,
        written(tmp_path / "a", project=4).digest,
    }
    assert len(names) == 3
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(names), "no half-written folder stays"


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    source = tmp_path / "photo.jpg"
    source.write_bytes(os.urandom(3_000_000))  # more than one chunk
    with SnapshotWriter(tmp_path / "home") as writer:
        writer.copy("images/p.jpg", source)
        made = writer.finish({"by": {"1": "ann@example.com"}})
    opened = open_snapshot(made.folder)
    assert opened == made
    assert opened.manifest["by"] == {"1": "ann@example.com"}
    assert (opened.folder / "images/p.jpg").read_bytes() == source.read_bytes()


def edit_file(folder: Path) -> None:
    path = folder / "images/größe 1.png"
    path.chmod(0o644)
    path.write_bytes(b"pixelz")


def edit_tags_and_manifest(folder: Path) -> None:
    """Someone who also corrects the manifest, with its digest."""
    path = folder / "tags.json"
    path.chmod(0o644)
    path.write_text('{"größe 1": ["cat"]}')
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["digest"]
    manifest["files"]["tags.json"] = snapshot._sha256(path)
    manifest["digest"] = snapshot._digest(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def edit_who(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["project"] = 4
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (edit_file, "größe 1.png was changed"),
        (lambda folder: (folder / "tags.json").unlink(), "tags.json is missing"),
        (lambda folder: (folder / "images/more.png").write_bytes(b"x"), "images/more.png was added"),
        (edit_who, "manifest.json was changed"),
        (edit_tags_and_manifest, "its content has the name"),
        (lambda folder: (folder / MANIFEST).unlink(), "no snapshot's manifest"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "no snapshot's manifest"),
    ],
    ids=["pixels", "missing", "added", "manifest", "manifest put right", "no manifest", "other manifest"],
)
def test_an_edited_snapshot_is_refused(tmp_path: Path, edit: Callable[[Path], object], says: str) -> None:
    folder = written(tmp_path).folder
    edit(folder)
    with pytest.raises(BadInput, match=says):
        open_snapshot(folder)
    if (folder / MANIFEST).is_file():
        with pytest.raises(BadInput):
            written(tmp_path)  # writing the same again does not take the edited one for it


def test_what_an_operating_system_leaves_behind_is_no_edit(tmp_path: Path) -> None:
    folder = written(tmp_path).folder
    (folder / "images" / ".DS_Store").write_bytes(b"x")
    open_snapshot(folder)


def test_nothing_is_left_of_a_snapshot_that_was_not_finished(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), SnapshotWriter(tmp_path) as writer:
        writer.put("a.txt", b"a")
        raise KeyboardInterrupt
    stale, young = tmp_path / ".part-old", tmp_path / ".part-young"
    stale.mkdir()
    young.mkdir()
    os.utime(stale, (0, 0))
    written(tmp_path)
    assert not stale.exists() and young.exists()


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../../x", "./a", "a//b", MANIFEST, "twice"])
def test_names_stay_inside_the_folder(tmp_path: Path, name: str) -> None:
    with SnapshotWriter(tmp_path) as writer:
        writer.put("twice", b"1")
        with pytest.raises(ValueError):
            writer.put(name, b"2")
