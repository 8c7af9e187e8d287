"""Whole clips to label: one job per clip, delivered as a prediction; the open editor is never changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from backends.anchors import FrameFiles
from backends.core.errors import BadInput
from backends.core.images import image_size
from backends.labelstudio.context import Interactive
from backends.labelstudio.label_config import LabelConfig, refuse_unlabellable
from backends.ledger import JobRow
from backends.notices import Notices
from backends.queues import ClipRequest


@dataclass(frozen=True)
class ClipLabels:
    """Reads a task into a ClipRequest and wants it done."""

    files: FrameFiles
    notices: Notices
    served: Callable[[int], str]
    """The version that is served to a project; raises SetupFault when there is none."""
    enqueue: Callable[[ClipRequest], JobRow]
    """Raises NoWorker or RedisDown."""
    max_pixels: int
    max_regions: int

    def want(self, project_id: int, task_id: int, data: Mapping[str, Any], config: LabelConfig) -> JobRow:
        """Queue one clip; done already: its result is handed over again.

        Raises BadLabelConfig, BadMedia, BadInput for a clip that the editor would not cope with, SetupFault
        without a model, NoWorker and RedisDown.
        """
        refuse_unlabellable(config)
        references = config.frame_refs(data)
        if len(references) > self.max_regions:
            raise BadInput(
                f"a clip of {len(references)} frames has more than the {self.max_regions} masks that the "
                "editor copes with; cut it into shorter ones (frames x classes: about 150)"
            )
        size_hw = image_size(self.files.path(references[0]), max_pixels=self.max_pixels)
        version = self.served(project_id)
        names, colours = config.class_names, config.label_colours
        return self.enqueue(ClipRequest(project_id, task_id, references, size_hw, names, version, colours))

    def answer(self, ask: Interactive) -> list[dict[str, Any]]:
        """The command "Label clip": nothing changes in the open editor, the prediction follows."""
        row = self.want(ask.project_id, ask.task.id, ask.task.data, ask.label_config)
        what = "is labelled already" if row.state == "done" else "is being labelled"
        self.notices.add(
            "info", f"The clip {what}; its masks are a prediction of this task, open it again.", ask.task.id
        )
        return []
