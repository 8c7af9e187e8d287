"""What ``maskloop predict-video`` has done in a folder: it goes on from there and spares others' work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.core.errors import BadInput
from pipelines.mask_folder import MaskFolder, journal_lines, sha256

JOURNAL = ".predict-video.jsonl"


@dataclass(frozen=True)
class Done:
    """One finished frame."""

    name: str
    seen: str
    """Digest of all that its answer came from; see :func:`digest_of`."""
    mask: str
    """SHA-256 of the label map's file."""
    opens: bool
    """It was answered as the first of a clip or a scene."""
    confidence: Mapping[str, float]
    """By class, of those it shows."""


class Record(MaskFolder[Done]):
    """All that was finished in a folder by weights of one version."""

    def finished(self, name: str, seen: str) -> Done | None:
        """The frame's entry when its map is there, untouched, made of the same pictures."""
        found = self.untouched(name)
        return found if found is not None and found.seen == seen else None


def open_record(out: Path, version: str) -> Record:
    """What was done in ``out`` so far, nothing for a new folder.

    Raises BadInput when the maps there are another version's: their numbers may mean other classes.
    """
    record = Record(out, version, JOURNAL)
    path = out / JOURNAL
    for value in journal_lines(path):
        if value.pop("version", None) != version:
            raise BadInput(f"--out {out} holds the answers of another version than {version}; choose another")
        try:
            entry = Done(**value)
        except TypeError as error:
            raise BadInput(
                f"{path}: not written by predict-video; choose another folder for --out"
            ) from error
        record.take(entry, entry.mask)
    return record


def digest_of(pictures: Sequence[str], settings: object) -> str:
    """A name for what one answer came from: digests of the files in reach, the frame's last, and settings."""
    return sha256(json.dumps([*pictures, settings]).encode())
