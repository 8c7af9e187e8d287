"""What ``maskloop pseudo-label`` has done in a folder: it goes on from there and spares others' work.

``scores.json`` is whole whenever it is there; while a run lasts, each finished photo is one more line in the
folder's journal. After SIGKILL the journal is still there and is read again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from pipelines.atomic import write_json
from pipelines.mask_folder import MaskFolder, journal_lines

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


class Record(MaskFolder[Done]):
    """All that was finished in a folder by weights of one version."""

    def finished(self, name: str, image_sha256: str, tags: tuple[str, ...]) -> Done | None:
        """The photo's entry when its mask is there, untouched, from the same picture and tags."""
        found = self.untouched(name)
        if found is None or (found.image_sha256, found.tags) != (image_sha256, tags):
            return None
        return found

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


def open_record(out: Path, version: str) -> Record:
    """What was done in ``out`` so far, nothing for a new folder.

    Raises BadInput when the masks there are another version's (their numbers may mean other classes) and when
    ``scores.json`` is not one of ours.
    """
    record = Record(out, version, JOURNAL)
    for value in (*_of_scores(out / SCORES), *journal_lines(out / JOURNAL)):
        if value.get("version") != version:
            raise BadInput(
                f"--out {out} holds masks of {value.get('version')}, and these weights are {version}; "
                "choose another folder"
            )
        entry = _entry(out, value)
        record.take(entry, entry.mask_sha256)
    return record


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
