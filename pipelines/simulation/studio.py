"""Projects and tasks as Label Studio's API gives them, kept as JSON files: nobody has to start a server.

It answers what readers and writers of the loop ask of a client, in Label Studio's own words, and checks as
little as Label Studio does. One annotation per task: the one annotator submits a clip once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backends.labelstudio.connection import NotThere
from backends.loop.files import write_json

_ANNOTATOR = 1


class Studio:
    """Everything below ``folder``; ``configs``: project -> the XML of its labelling configuration."""

    def __init__(self, folder: Path, configs: Mapping[int, str]) -> None:
        self._folder, self._configs = folder, configs
        self._known: dict[tuple[int, str], int] = {}
        for number in self._numbers():
            task = self.task(number)
            self._known[task["project"], task["data"]["clip"]] = number

    def project(self, project_id: int) -> dict[str, Any]:
        """Raises NotThere."""
        if project_id not in self._configs:
            raise NotThere(f"no project {project_id}")
        return {"id": project_id, "title": "simulation", "label_config": self._configs[project_id]}

    def put_task(self, project_id: int, data: Mapping[str, Any]) -> int:
        """The task of the clip ``data["clip"]`` in this project, made when it is new; its number."""
        name = (project_id, str(data["clip"]))
        if name not in self._known:
            number = len(self._known) + 1
            self._write({"id": number, "project": project_id, "data": dict(data)})
            self._known[name] = number
        return self._known[name]

    def tasks(self, project_id: int) -> Iterator[dict[str, Any]]:
        """As the list of tasks gives them: with counts, without annotations."""
        for (project, _), number in self._known.items():
            if project == project_id:
                task = self.task(number)
                counts = {"total_annotations": len(task["annotations"]), "cancelled_annotations": 0}
                yield {"id": number, "data": task["data"], **counts}

    def task(self, task_id: int) -> dict[str, Any]:
        """With everything on it. Raises NotThere."""
        path = self._path(task_id)
        if not path.is_file():
            raise NotThere(f"no task {task_id}")
        task: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {"annotations": [], "predictions": [], **task}

    def predictions(self, task_id: int, model_version: str | None = None) -> list[dict[str, Any]]:
        """Oldest first; of one version, or all."""
        found = self.task(task_id)["predictions"]
        return [p for p in found if model_version in (None, p["model_version"])]

    def create_prediction(
        self,
        task_id: int,
        result: Sequence[Mapping[str, Any]],
        model_version: str,
        score: float | None = None,
    ) -> int:
        """Its number, which holds the task's."""
        task = self.task(task_id)
        number = 1000 * task_id + len(task["predictions"]) + 1
        told = {"id": number, "model_version": model_version, "score": score, "created_at": _now()}
        task["predictions"].append({**told, "result": list(result)})
        self._write(task)
        return number

    def update_prediction(
        self, prediction_id: int, result: Sequence[Mapping[str, Any]], score: float | None = None
    ) -> None:
        """The same one, with another result."""
        task = self.task(prediction_id // 1000)
        for prediction in task["predictions"]:
            if prediction["id"] == prediction_id:
                prediction |= {"result": list(result), "score": score}
        self._write(task)

    def delete_prediction(self, prediction_id: int) -> None:
        """It is gone."""
        task = self.task(prediction_id // 1000)
        task["predictions"] = [p for p in task["predictions"] if p["id"] != prediction_id]
        self._write(task)

    def submit(
        self, task_id: int, result: Sequence[Mapping[str, Any]], parent_prediction: int | None = None
    ) -> None:
        """What the editor sends when Submit is pressed. A task that has its annotation keeps it."""
        task = self.task(task_id)
        if task["annotations"]:
            return
        now = _now()
        annotation = {
            "id": task_id,
            "completed_by": _ANNOTATOR,
            "was_cancelled": False,
            "ground_truth": False,
            "created_at": now,
            "updated_at": now,
            "lead_time": None,  # nobody sat there
            "parent_prediction": parent_prediction,
            "result": list(result),
        }
        task["annotations"].append(annotation)
        self._write(task)

    def is_submitted(self, task_id: int) -> bool:
        """Whether the task has its annotation."""
        return bool(self.task(task_id)["annotations"])

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self._folder.glob("*.json"))

    def _path(self, task_id: int) -> Path:
        return self._folder / f"{task_id:05d}.json"

    def _write(self, task: Mapping[str, Any]) -> None:
        write_json(self._path(int(task["id"])), task)


def _now() -> str:
    return datetime.now(UTC).isoformat()
