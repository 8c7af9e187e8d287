"""An annotator who knows the truth, at work through Label Studio's API and the console, as a browser would.

Nothing is put into ledger or queue by hand: masks are drafted and submitted where people draft and submit
them, and the buttons of the console are pressed by their addresses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from backends.core.errors import LabelStudioDown, MaskLoopError
from backends.core.masks import iou
from backends.core.types import FrameMasks, Mask
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import read_masks, region_id, to_results, unite
from backends.ledger import JobRow, Ledger

GOOD = 0.9
"""IoU with the truth from which on a proposed mask is left as it is."""
LIMIT_S = 900.0
"""How long one job may take: it runs beside everything else on a small machine."""

Truth = list[dict[str, Mask]]
"""Frame -> object -> (H, W) bool."""


class WentWrong(MaskLoopError):  # noqa: N818 - read as a noun at the raise site
    """A step of the circle did not lead where it should."""


class Console:
    """The console's buttons, pressed by a session that is logged in."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = f"{url}/console"
        self._session = requests.Session()
        page = self._session.get(f"{self._url}/login", params={"key": secret}, timeout=30)
        _, found, rest = page.text.partition('name="csrf" content="')
        if not page.ok or not found:
            raise WentWrong(f"the console at {self._url} did not let us in ({page.status_code})")
        self._session.headers["X-CSRF-Token"] = rest.partition('"')[0]

    def press(self, path: str) -> str:
        """The sentence that the page would show. Raises WentWrong with the one that it shows in red."""
        answer = self._session.post(f"{self._url}/{path}", timeout=60)
        if not answer.ok:
            raise WentWrong(f"the console refused {path}: {answer.json().get('error', answer.text)}")
        return str(answer.json()["message"])


@dataclass(frozen=True)
class Proposal:
    """What a version predicted for a task: (object, frame) -> mask, and the regions as they came."""

    version: str
    masks: Mapping[tuple[str, int], Mask]
    result: list[dict[str, Any]]

    def worth(self, truth: Truth) -> float:
        """Mean IoU with the truth over all objects and frames; a mask that is missing counts 0."""
        found = [
            iou(self.masks[name, index], mask) if (name, index) in self.masks else 0.0
            for index, frame in enumerate(truth)
            for name, mask in frame.items()
        ]
        return sum(found) / len(found)


@dataclass
class Annotator:
    """The hands on one project of clips."""

    client: LabelStudioClient
    console: Console
    ledger: Ledger
    config: LabelConfig
    size_hw: tuple[int, int]
    say: Callable[[str], None]
    _drafts: dict[int, int] = field(default_factory=dict)

    def paint(self, task: int, truth: Truth) -> None:
        """Paint every object on the first frame; the editor saves that as a draft."""
        result = [
            {**region, "id": f"hand-{region['id']}"}
            for region in to_results(FrameMasks(0, truth[0], {}), self.config, self.size_hw)
        ]
        made = self.client.connection.post(f"/api/tasks/{task}/drafts", {"result": result, "lead_time": 4.0})
        self._drafts[task] = int(made["id"])

    def propagate(self, task: int) -> Proposal:
        """Press Propagate for the task and wait until the prediction is in Label Studio."""
        self.console.press(f"tasks/{task}/propagate")
        [row] = self.ledger.jobs(task_id=task, limit=1)
        row = self.until(row.id, lambda row: row.state == "done" and row.delivery == "delivered")
        return self.proposal(task, row.model_version, row.total)

    def proposal(self, task: int, version: str, n_frames: int) -> Proposal:
        """The version's newest prediction of the task, as Label Studio holds it."""
        found = self.client.predictions(task, version)
        if not found:
            raise WentWrong(f"task {task} has no prediction of {version}")
        regions, refusals = read_masks(found[-1]["result"], self.config, n_frames, self.size_hw)
        if refusals:
            raise WentWrong(f"the prediction of task {task}: {refusals[0]}")
        return Proposal(version, unite(regions), found[-1]["result"])

    def correct(self, task: int, proposal: Proposal, truth: Truth) -> int:
        """Redraw every proposed mask that is off, add those that are missing, submit; how many it were."""
        kept = {str(region["id"]): region for region in proposal.result}
        wrong = 0
        for index, frame in enumerate(truth):
            for name, mask in frame.items():
                found = proposal.masks.get((name, index))
                if found is not None and iou(found, mask) >= GOOD:
                    continue
                [region] = to_results(FrameMasks(index, {name: mask}, {}), self.config, self.size_hw)
                kept[region_id(name, index)] = region
                wrong += 1
        body = {"result": list(kept.values()), "lead_time": 4.0 + 2.0 * wrong, "draft_id": self._drafts[task]}
        self.client.connection.post(f"/api/tasks/{task}/annotations/", body)
        return wrong

    def until(self, job: str, met: Callable[[JobRow], bool]) -> JobRow:
        """The job when the condition holds; says how far it is. Raises WentWrong when it cannot any more."""
        deadline, said = time.monotonic() + LIMIT_S, ""
        while not met(row := self.ledger.job(job)):
            if row.state in ("failed", "cancelled") or row.delivery == "refused":
                raise WentWrong(f"job {job[:12]} {row.state}: {row.error or row.delivery_error}")
            if time.monotonic() > deadline:
                raise LabelStudioDown(f"job {job[:12]} is still {row.state} after {LIMIT_S:g} s")
            if row.stage and row.stage != said:
                self.say(f"    {row.stage} …")
                said = row.stage
            time.sleep(0.1)
        return row
