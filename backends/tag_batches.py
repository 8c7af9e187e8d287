"""Many tagged tasks at once: one job per picture, each delivered as a prediction.

"Retrieve predictions" brings the tasks along; the console's button and the command line read them here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from backends.anchors import latest_work
from backends.core.errors import BadInput, MaskLoopError
from backends.labelstudio.drafts import Draft
from backends.labelstudio.label_config import LabelConfig, refuse_untaggable
from backends.ledger import JobRow
from backends.notices import Notices
from backends.queues import PseudoLabelRequest
from backends.tag_wishes import NothingTagged, TagWishes, TagWork


class TaggedTasks(Protocol):
    """What is asked of Label Studio."""

    def project(self, project_id: int) -> dict[str, Any]: ...

    def tasks(self, project_id: int) -> Iterable[dict[str, Any]]: ...

    def tasks_with_drafts(self, project_id: int) -> set[int]: ...

    def annotations(self, task_id: int) -> list[dict[str, Any]]: ...

    def drafts(self, task_id: int) -> list[Draft]: ...


@dataclass(frozen=True)
class Wanted:
    """What became of one task: its job, or the words why there is none (empty: it has no tags)."""

    task_id: int
    job: JobRow | None = None
    refusal: str = ""


@dataclass
class Summary:
    """Counts over a project's tasks."""

    jobs: list[JobRow] = field(default_factory=list)
    untagged: int = 0
    refused: int = 0

    def add(self, wanted: Wanted) -> None:
        if wanted.job is not None:
            self.jobs.append(wanted.job)
        elif wanted.refusal:
            self.refused += 1
        else:
            self.untagged += 1

    def __str__(self) -> str:
        n = len(self.jobs)
        parts = [f"{n} picture{'' if n == 1 else 's'} with tags on the way to masks"]
        parts += [f"{self.untagged} without tags"] if self.untagged else []
        parts += [f"{self.refused} refused (see the messages)"] if self.refused else []
        return ", ".join(parts)


@dataclass(frozen=True)
class TagBatches:
    """Wants masks for whole tasks."""

    wishes: TagWishes
    notices: Notices
    enqueue: Callable[[PseudoLabelRequest], JobRow]
    """Raises NoWorker or RedisDown."""

    def want(self, work: TagWork) -> JobRow:
        """Queue one task; done already: its result is handed over again. Raises as TagWishes.request."""
        request, _ = self.wishes.request(work)
        return self.enqueue(replace(request, deliver_prediction=True))

    def project(self, label_studio: TaggedTasks, project_id: int) -> Iterator[Wanted]:
        """Every task of a project, one by one; a task that is refused is told and the others go on.

        Raises BadLabelConfig for a project without tags, SetupFault without a model, Unavailable.
        """
        config = LabelConfig.parse(str(label_studio.project(project_id).get("label_config") or ""))
        refuse_untaggable(config)
        drafted = label_studio.tasks_with_drafts(project_id)
        for task in label_studio.tasks(project_id):
            task_id = int(task["id"])
            has_work = task_id in drafted or bool(task.get("total_annotations") or task.get("is_labeled"))
            annotations = label_studio.annotations(task_id) if has_work else []
            drafts = label_studio.drafts(task_id) if task_id in drafted else []
            data = task.get("data")
            yield self._wanted(
                TagWork(
                    project_id,
                    task_id,
                    data if isinstance(data, Mapping) else {},
                    config,
                    latest_work(annotations, drafts),
                )
            )

    def _wanted(self, work: TagWork) -> Wanted:
        try:
            return Wanted(work.task_id, self.want(work))
        except NothingTagged:
            return Wanted(work.task_id)
        except BadInput as error:
            self.notices.add("error", in_words(error), work.task_id)
            return Wanted(work.task_id, refusal=str(error))


def in_words(error: MaskLoopError) -> str:
    """The error's message as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}.".replace("..", ".")
