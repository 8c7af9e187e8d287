"""What ``maskloop pseudo-label`` has done in a folder: it goes on from there and spares others' work.

``scores.json`` is whole whenever it is there; while a run lasts, each finished photo is one more line in a
journal beside it, written before the mask itself. After SIGKILL the journal is still there and is read again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from pipelines.atomic import write_bytes, write_json

SCORES = "scores.json"
JOURNAL = ".pseudo-label.jsonl"


@dataclass(frozen=True)
class Done:
    """One photo's finished mask: what it was made from, what it is, how far it can be trusted."""

    name: str
    image_sha256: str
    mask_sha256: str
    tags: tuple[str, ...]
    trust: Mapping[str, float]
    area_px: Mapping[str, int]
    size_hw: tuple[int, int]
    notes: tuple[str, ...] = ()

    @property
    def lowest(self) -> float:
        """The trust of its least trusted class; 1 without any."""
        return min(self.trust.values(), default=1.0)


@dataclass
class Record:
    """All that was finished in ``out`` by weights of one version."""

    out: Path
    version: str
    done: dict[str, Done] = field(default_factory=dict)
    _ours: dict[str, set[str]] = field(default_factory=dict)  # digests of masks that were made here

    def finished(self, name: str, image_sha256: str, tags: tuple[str, ...]) -> Done | None:
        """The photo's entry when its mask is there, untouched, from the same picture and tags."""
        found = self.done.get(name)
        if found is None or (found.image_sha256, found.tags) != (image_sha256, tags):
            return None
        path = self.mask_path(name)
        return found if path.is_file() and sha256(path.read_bytes()) == found.mask_sha256 else None

    def is_foreign(self, name: str) -> bool:
        """Whether a mask lies there that was not made here, or was changed since."""
        path = self.mask_path(name)
        return path.exists() and sha256(path.read_bytes()) not in self._ours.get(name, set())

    def write(self, entry: Done, png: bytes) -> None:
        """Write a finished photo's mask. The journal knows it first: whatever ends us, the file is ours."""
        self.out.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"version": self.version, **asdict(entry)}, ensure_ascii=False, allow_nan=False)
        with (self.out / JOURNAL).open("a", encoding="utf-8") as stream:
            stream.write(f"\n{line}\n")  # the first break ends a line that a kill cut off
        write_bytes(self.mask_path(entry.name), png)
        self._take(entry)

    def close(self, *, complete: bool, refused: Mapping[str, str]) -> None:
        """Write ``scores.json``; the journal goes when the run is ``complete``."""
        report = {
            "version": self.version,
            "complete": complete,
            "refused": refused,
            "photos": {name: _told(self.done[name]) for name in sorted(self.done)},
        }
        write_json(self.out / SCORES, report)
        if complete:
            (self.out / JOURNAL).unlink(missing_ok=True)

    def mask_path(self, name: str) -> Path:
        """Where the photo's mask goes."""
        return self.out / f"{name}.png"

    def _take(self, entry: Done) -> None:
        self.done[entry.name] = entry
        self._ours.setdefault(entry.name, set()).add(entry.mask_sha256)


def open_record(out: Path, version: str) -> Record:
    """What was done in ``out`` so far, nothing for a new folder.

    Raises BadInput when the masks there are another version's (their numbers may mean other classes) and when
    ``scores.json`` is not one of ours.
    """
    record = Record(out, version)
    for value in (*_of_scores(out / SCORES), *_of_journal(out / JOURNAL)):
        if value.get("version") != version:
            raise BadInput(
                f"--out {out} holds masks of {value.get('version')}, and these weights are {version}; "
                "choose another folder"
            )
        record._take(_entry(out, value))
    return record


def sha256(data: bytes) -> str:
    """64 hex characters."""
    return hashlib.sha256(data).hexdigest()


def _of_scores(path: Path) -> Iterable[dict[str, Any]]:
    if not path.is_file():
        return
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        version, photos = report["version"], report["photos"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not written by pseudo-label; choose another folder for --out") from error
    for name, told in photos:
        yield {**told, "name": name, "version": version}


def _of_journal(path: Path) -> Iterable[dict[str, Any]]:
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            value = json.loads(line)
        except ValueError:  # empty, or cut off by a kill: its mask was never written
            continue
        yield value


def _entry(out: Path, value: Mapping[str, Any]) -> Done:
    try:
        height, width = value["size_hw"]
        return Done(
            str(value["name"]),
            str(value["image_sha256"]),
            str(value["mask_sha256"]),
            tuple(value["tags"]),
            dict(value["trust"]),
            dict(value["area_px"]),
            (int(height), int(width)),
            tuple(value["notes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{out / SCORES}: an entry cannot be read ({error}); choose another --out") from error


def _told(entry: Done) -> dict[str, Any]:
    told = {key: value for key, value in asdict(entry).items() if key != "name"}
    return {**told, "lowest_trust": entry.lowest}
