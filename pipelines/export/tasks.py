"""A project's tasks one by one: what cannot be used becomes a sentence, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from backends.core.errors import BadInput, LabelStudioDown, TokenRefused, Unavailable
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.connection import NotThere
from pipelines.export.annotations import TaskWork
from pipelines.progress import Track

_REFUSED_TOLD = 5  # regions of one annotation named one by one
_NOTES_TOLD = 20  # notes said one by one

Item = TypeVar("Item")
Say = Callable[[str], None]
"""Takes sentences for people."""


class TooLittle(BadInput):
    """A project that is not worth training on yet; the message holds the counts and what is wanted."""


@dataclass(frozen=True)
class Found(Generic[Item]):
    """What a project's tasks gave; ``idle``: tasks in which nobody has saved anything."""

    items: tuple[Item, ...]
    notes: tuple[str, ...]
    total: int
    idle: int


def read_tasks(
    client: LabelStudioClient,
    project_id: int,
    has_work: Callable[[Mapping[str, Any]], bool],
    use: Callable[[Mapping[str, Any]], tuple[Item | None, Sequence[str]]],
    progress: Track,
) -> Found[Item]:
    """``use`` of each task, with its annotations and predictions, whose entry in the list ``has_work``.

    BadInput and Unavailable that ``use`` raises become a sentence. Raises LabelStudioDown and TokenRefused:
    a Label Studio that is away ends the reading.
    """
    items: list[Item] = []
    notes: list[str] = []
    listed = list(client.tasks(project_id))  # before anything else: a deletion moves the pages behind it
    wanted = [int(task["id"]) for task in listed if has_work(task)]
    for task_id in progress(wanted, total=len(wanted), label="reading the project"):
        item, told = _read(client, task_id, use)
        items += [] if item is None else [item]
        notes += [f"task {task_id}: {sentence}" for sentence in told]
    return Found(tuple(items), tuple(notes), len(listed), len(listed) - len(wanted))


def is_annotated(listed: Mapping[str, Any]) -> bool:
    """Whether it is worth asking for the task's annotations; a list without counts says nothing."""
    counts = [listed.get("total_annotations"), listed.get("cancelled_annotations")]
    return any(count is None for count in counts) or any(counts)


def remarks(work: TaskWork) -> list[str]:
    """What is worth telling of one task's work: regions that were refused, people who disagree."""
    told: list[str] = []
    for opinion in work.opinions:
        head = f"annotation {opinion.annotation_id}: "
        told += [f"{head}{why}" for why in opinion.refused[:_REFUSED_TOLD]]
        if (more := len(opinion.refused) - _REFUSED_TOLD) > 0:
            told.append(f"{head}{more} more regions or tags cannot be used")
    if work.cancelled and work.opinions:
        told.append(f"{work.cancelled} cancelled annotations do not count")
    if len([opinion for opinion in work.opinions if opinion.masks]) > 1:
        told.append(_several(work))
    return told


def unsubmitted(client: LabelStudioClient, project_id: int) -> str:
    """A sentence on work that is saved as a draft only, which nobody reads; empty when there is none."""
    tasks = client.tasks_with_drafts(project_id)
    if not tasks:
        return ""
    first = ", ".join(map(str, sorted(tasks)[:5]))
    return f"{len(tasks)} tasks hold work that is not submitted, which does not count (task {first})"


def tell_notes(notes: Sequence[str], say: Say) -> None:
    """The first notes one by one; empty ones are none."""
    there = [note for note in notes if note]
    for note in there[:_NOTES_TOLD]:
        say(f"note: {note}")
    if len(there) > _NOTES_TOLD:
        say(f"note: {len(there) - _NOTES_TOLD} more, in the snapshot's manifest")


def nothing_to_train_on(
    project_id: int, total: int, idle: int, notes: Sequence[str], first_steps: str
) -> TooLittle:
    """The refusal of a project of which no task can be used; ``first_steps``: what to do in an empty one."""
    if not total:
        return TooLittle(f"project {project_id} has no tasks; {first_steps}")
    first = f" (the first: {notes[0]})" if notes else ""
    return TooLittle(
        f"project {project_id} has nothing to train on: of {total} tasks {idle} are not annotated and "
        f"{total - idle} cannot be used{first}"
    )


def _read(
    client: LabelStudioClient,
    task_id: int,
    use: Callable[[Mapping[str, Any]], tuple[Item | None, Sequence[str]]],
) -> tuple[Item | None, Sequence[str]]:
    try:
        task = client.task(task_id)
    except NotThere:
        return None, ["was deleted while the project was read"]
    try:
        return use(task)
    except (LabelStudioDown, TokenRefused):
        raise
    except (BadInput, Unavailable) as error:
        return None, [str(error)]


def _several(work: TaskWork) -> str:
    chosen = work.mask_opinion
    values = ", ".join(f"{label} {value:.2f}" for label, value in work.agreement().items())
    number = chosen.annotation_id if chosen else 0
    return f"several annotations with masks (IoU {values}): those of annotation {number} count, all are kept"
