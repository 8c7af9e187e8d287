"""Tags to masks over plain files: photos and a tag file in, an index-colour PNG per photo out; no server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput, BadMedia
from backends.core.images import MAX_PIXELS, SUFFIXES, open_image
from backends.core.types import Image
from backends.weak_shot.classes import ClassSet
from backends.weak_shot.loaders.folders import read_json, tags_of
from pipelines.mask_folder import sha256
from pipelines.media.palette import index_png
from pipelines.out_folder import check_out, write_names
from pipelines.progress import Track, quiet
from pipelines.pseudo_label_record import SCORES, Done, Record, open_record

CLASSES = "classes.json"


class PseudoMask(Protocol):
    """What a labeller makes of a photo."""

    @property
    def labels(self) -> NDArray[np.uint8]: ...

    @property
    def trust(self) -> Mapping[str, float]: ...

    @property
    def notes(self) -> Sequence[str]: ...


class TagLabeller(Protocol):
    """Photo and tags in, class ids and trust out."""

    @property
    def classes(self) -> ClassSet: ...

    def label(self, image: Image, tags: Sequence[str]) -> PseudoMask: ...


@dataclass(frozen=True)
class Work:
    """One photo to label: ``name`` is its file's stem."""

    name: str
    path: Path
    tags: tuple[str, ...]


@dataclass
class Outcome:
    """What became of the photos: finished now, finished before, refused with the reason."""

    made: list[Done] = field(default_factory=list)
    kept: list[Done] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, list[str]] = field(default_factory=dict)  # tag -> photos
    complete: bool = False


def pseudo_label(
    load: Callable[[], tuple[TagLabeller, str]],
    images: Path,
    tags: Path,
    out: Path,
    *,
    progress: Track = quiet,
    max_pixels: int = MAX_PIXELS,
) -> Outcome:
    """Writes ``out/<photo>.png`` for every photo, ``out/classes.json`` (id -> name) and ``out/scores.json``.

    ``tags`` is a JSON file ``{"photo": ["tag", ...]}``; photos are named with or without their suffix.
    ``load`` gives the labeller and its version. A photo that cannot be used is refused by name and the others
    go on; an interrupt keeps what is finished, and the same call goes on from there. Masks that were changed
    or put there by somebody else are left alone. Raises BadInput when nothing at all can be done, before
    anything is written.
    """
    outcome = Outcome()
    works = gather(images, tags, outcome.refused)
    check_out(out, {"--images": images})
    labeller, version = load()
    record = open_record(out, version)
    write_names(out / CLASSES, names_by_id(labeller.classes))
    try:
        for work in progress(works, total=len(works), label="pseudo-label"):
            try:
                _do(work, labeller, record, outcome, max_pixels)
            except BadInput as error:
                outcome.refused[work.name] = str(error)
        outcome.complete = True
    finally:
        record.close(complete=outcome.complete, refused=dict(sorted(outcome.refused.items())))
    return outcome


def gather(images: Path, tags: Path, refused: dict[str, str]) -> list[Work]:
    """The photos to label, in name order. What cannot be used is put into ``refused`` with the reason.

    Raises BadMedia for no photos at all, BadInput for a tag file that is none.
    """
    stems = _by_stem(images)
    told = read_json(tags)
    if not isinstance(told, dict):
        raise BadInput(f'{tags}: wants {{"photo": ["tag", ...], ...}}')
    wanted: dict[str, tuple[str, ...]] = {}
    for key, value in told.items():
        stem = _stem_of(key, stems)
        if stem is None:
            refused[key] = f"{tags} names it, but {images} holds no such photo"
            continue
        try:
            wanted[stem] = tuple(dict.fromkeys((*wanted.get(stem, ()), *tags_of(tags, key, value))))
        except BadInput as error:
            refused[stem] = str(error)
    works = []
    for stem, paths in stems.items():
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            refused[stem] = f"{names} would share one mask; rename one of them"
        elif stem not in refused and not wanted.get(stem):
            refused[stem] = f"no tag; give it at least one in {tags}"
        elif stem not in refused:
            works.append(Work(stem, paths[0], wanted[stem]))
    return works


def names_by_id(classes: ClassSet) -> dict[str, str]:
    """``{"0": "background", "1": ..., ...}``: what the numbers in the masks mean."""
    return {str(number): classes.name_of(number) for number in range(len(classes) + 1)}


def _do(work: Work, labeller: TagLabeller, record: Record, outcome: Outcome, max_pixels: int) -> None:
    tags = tuple(tag for tag in work.tags if tag in labeller.classes.names)
    for tag in work.tags:
        if tag not in tags:
            outcome.unknown.setdefault(tag, []).append(work.name)
    if not tags:
        known = ", ".join(labeller.classes.names)
        raise BadInput(f"unknown tag {', '.join(map(repr, work.tags))}; these weights know {known}")
    image_sha256 = sha256(work.path.read_bytes())
    if (before := record.finished(work.name, image_sha256, tags)) is not None:
        outcome.kept.append(before)
        return
    if record.is_foreign(work.name):
        raise BadInput(
            f"{record.mask_path(work.name)} was changed or was there before; "
            "it is left alone, move it away for a new mask"
        )
    image = open_image(work.path, max_pixels=max_pixels)
    made = labeller.label(image, tags)
    png = index_png(made.labels)
    ignored = tuple(f"unknown tag {tag!r} is left out" for tag in work.tags if tag not in tags)
    entry = Done(
        work.name,
        image_sha256,
        sha256(png),
        tags,
        {tag: round(float(made.trust.get(tag, 0.0)), 4) for tag in tags},
        {tag: int(np.count_nonzero(made.labels == labeller.classes.id_of(tag))) for tag in tags},
        (image.shape[0], image.shape[1]),
        (*made.notes, *ignored),
    )
    record.write(entry, png)
    outcome.made.append(entry)


def refusals(outcome: Outcome, out: Path, *, shown: int = 20) -> list[str]:
    """Lines for people: what was refused and why, the first ``shown``; ``scores.json`` holds all."""
    told = [f"refused: {name}: {why}" for name, why in sorted(outcome.refused.items())]
    more = len(told) - shown
    return [*told[:shown], f"... and {more} more, all in {out / SCORES}"] if more > 0 else told


def summary(outcome: Outcome, out: Path, *, shown: int = 5) -> list[str]:
    """Lines for people: how many masks, which are the most doubtful, which tags are unknown."""
    everything = [*outcome.made, *outcome.kept]
    lines = [f"{len(outcome.made)} masks made in {out}"]
    if outcome.kept:
        lines[0] += f", {len(outcome.kept)} were there"
    if outcome.refused:
        lines[0] += f", {len(outcome.refused)} refused"
    doubtful = sorted(everything, key=lambda entry: (entry.lowest, entry.name))[:shown]
    if doubtful:
        told = (f"{entry.name} ({_least(entry)} {entry.lowest:.2f})" for entry in doubtful)
        lines.append(f"least trusted, look at them first: {', '.join(told)}")
    for tag, names in sorted(outcome.unknown.items()):
        lines.append(f"note: tag {tag!r} is unknown to these weights, in {len(names)} photos: {names[0]} ...")
    return lines


def _least(entry: Done) -> str:
    return min(entry.trust, key=lambda tag: entry.trust[tag])


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise BadMedia(f"{folder}: no such folder of photos")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file():
            found.setdefault(path.stem, []).append(path)
    if not found:
        raise BadMedia(f"{folder}: no photos in it; wants files ending in {', '.join(sorted(SUFFIXES))}")
    return found


def _stem_of(key: str, stems: Mapping[str, list[Path]]) -> str | None:
    if key in stems:
        return key
    stem = Path(key).stem
    return stem if any(path.name == key for path in stems.get(stem, ())) else None
