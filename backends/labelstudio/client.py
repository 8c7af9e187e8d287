"""Label Studio's API as MaskLoop uses it. How requests travel, retries and errors: see ``connection``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backends.core.errors import BadInput, LabelStudioDown
from backends.labelstudio.connection import Connection, NotThere
from backends.labelstudio.drafts import Draft, drafts_of

_PAGE = 100

WEBHOOK_ACTIONS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED", "TASKS_DELETED")
"""The events MaskLoop listens to; there is none for drafts."""


class LabelStudioClient:
    """One Label Studio with one token, legacy or personal (told by its shape).

    Every method raises LabelStudioDown, TokenRefused or BadInput (``connection.NotThere`` for a 404).
    """

    def __init__(self, url: str, token: str, *, timeout_s: float = 20.0, get_attempts: int = 4) -> None:
        self.connection = Connection(url, token, timeout_s=timeout_s, get_attempts=get_attempts)

    def __repr__(self) -> str:
        return f"LabelStudioClient({self.connection.url!r})"

    # the installation

    def health(self, timeout_s: float = 2.0) -> bool:
        """Whether Label Studio answers "UP" now; never raises for a server that is away."""
        try:
            answer = self.connection.once("GET", "/health", timeout_s=timeout_s, with_token=False)
        except (LabelStudioDown, BadInput):
            return False
        return isinstance(answer, dict) and answer.get("status") == "UP"

    def version(self) -> str:
        """The release, such as "1.23.2"; needs no token."""
        answer = self.connection.once("GET", "/api/version", with_token=False)
        release = answer.get("release") if isinstance(answer, dict) else None
        if not isinstance(release, str):
            raise LabelStudioDown(f"{self.connection.url} answers, but not like Label Studio")
        return release

    def whoami(self) -> dict[str, Any]:
        """The user the token belongs to (``id``, ``email``, …)."""
        return _object(self.connection.get("/api/current-user/whoami"))

    def enable_legacy_tokens(self) -> None:
        """Let the organization's legacy tokens in (off by default since 1.23); needs a personal token."""
        self.connection.post(
            "/api/jwt/settings", {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
        )

    def create_personal_token(self) -> str:
        """A new personal access token of the user; it is shown this once only."""
        return str(_object(self.connection.post("/api/token/", {}))["token"])

    # projects and tasks

    def projects(self) -> list[dict[str, Any]]:
        """All projects the token sees."""
        found: list[dict[str, Any]] = []
        for page in range(1, 1000):
            answer = _object(self.connection.get("/api/projects/", {"page": page, "page_size": _PAGE}))
            found.extend(_objects(answer.get("results")))
            if not answer.get("next"):
                break
        return found

    def project(self, project_id: int) -> dict[str, Any]:
        """One project with its ``label_config``."""
        return _object(self.connection.get(f"/api/projects/{project_id:d}/"))

    def create_project(self, title: str, label_config: str, **fields: Any) -> dict[str, Any]:
        """A new project; titles want 3 to 50 characters."""
        return _object(
            self.connection.post("/api/projects/", {"title": title, "label_config": label_config, **fields})
        )

    def patch_project(self, project_id: int, **fields: Any) -> dict[str, Any]:
        """Change fields of a project, such as ``label_config`` or ``show_collab_predictions``."""
        return _object(self.connection.patch(f"/api/projects/{project_id:d}/", fields))

    def tasks(self, project_id: int) -> Iterator[dict[str, Any]]:
        """The project's tasks, without annotations' bodies, page by page."""
        seen = 0
        for page in range(1, 100_000):
            try:
                answer = _object(
                    self.connection.get(
                        "/api/tasks/", {"project": project_id, "page": page, "page_size": _PAGE}
                    )
                )
            except NotThere:  # a page behind the last one
                return
            batch = _objects(answer.get("tasks"))
            yield from batch
            seen += len(batch)
            if not batch or seen >= int(answer.get("total") or 0):
                return

    def tasks_with_drafts(self, project_id: int) -> set[int]:
        """Ids of the project's tasks that hold unsubmitted work of anyone (at most 1,000 are asked for).

        The list of tasks does not say so by itself, and with all fields it carries every mask along.
        """
        wish = {"filter": "filter:tasks:draft_exists", "operator": "equal", "type": "Boolean", "value": True}
        query = json.dumps({"filters": {"conjunction": "and", "items": [wish]}})
        answer = _object(
            self.connection.get("/api/tasks/", {"project": project_id, "query": query, "page_size": 1000})
        )
        return {int(task["id"]) for task in _objects(answer.get("tasks"))}

    def task(self, task_id: int) -> dict[str, Any]:
        """One task with data, annotations, predictions and drafts."""
        return _object(self.connection.get(f"/api/tasks/{task_id:d}/"))

    def import_tasks(self, project_id: int, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        """Add tasks (``{"data": {...}, "predictions": [...]}``); their ids in the order given."""
        answer = _object(
            self.connection.post(
                f"/api/projects/{project_id:d}/import",
                [dict(task) for task in tasks],
                {"return_task_ids": "true"},
            )
        )
        ids = answer.get("task_ids")
        if not isinstance(ids, list) or len(ids) != len(tasks):
            raise BadInput(f"Label Studio took {answer.get('task_count')} of {len(tasks)} tasks")
        return [int(i) for i in ids]

    def delete_task(self, task_id: int) -> None:
        """Delete a task with all that hangs on it."""
        self.connection.delete(f"/api/tasks/{task_id:d}/")

    def drafts(self, task_id: int) -> list[Draft]:
        """Drafts of all users; asked often while a request waits, so without retries."""
        return drafts_of(self.connection.once("GET", f"/api/tasks/{task_id:d}/drafts", timeout_s=5.0))

    def annotations(self, task_id: int) -> list[dict[str, Any]]:
        """The task's annotations with their results."""
        return _objects(self.connection.get(f"/api/tasks/{task_id:d}/annotations/"))

    # predictions

    def predictions(self, task_id: int, model_version: str | None = None) -> list[dict[str, Any]]:
        """The task's predictions, oldest first; of one model version when it is given."""
        found = _objects(self.connection.get("/api/predictions/", {"task": task_id}))
        found = [p for p in found if model_version is None or p.get("model_version") == model_version]
        return sorted(found, key=lambda p: int(p["id"]))

    def create_prediction(
        self,
        task_id: int,
        result: Sequence[Mapping[str, Any]],
        model_version: str,
        score: float | None = None,
    ) -> int:
        """Add one prediction; its id.

        Sent once. When the answer is lost, what Label Studio now holds is read back, so a prediction that
        arrived is found and not made twice. Check the result first (``regions.check_result``): Label
        Studio takes anything.
        """
        body = {"task": task_id, "result": list(result), "model_version": model_version, "score": score}
        try:
            return int(_object(self.connection.post("/api/predictions/", body))["id"])
        except LabelStudioDown:
            wanted = json.dumps(body["result"], sort_keys=True)
            for prediction in reversed(self.predictions(task_id, model_version)):
                if json.dumps(prediction.get("result"), sort_keys=True) == wanted:
                    return int(prediction["id"])
            raise

    def update_prediction(
        self, prediction_id: int, result: Sequence[Mapping[str, Any]], score: float | None = None
    ) -> None:
        """Replace a prediction's result; raises ``connection.NotThere`` when someone deleted it."""
        self.connection.patch(
            f"/api/predictions/{prediction_id:d}/", {"result": list(result), "score": score}
        )

    def delete_prediction(self, prediction_id: int) -> None:
        """Delete a prediction; one that is gone already is no error."""
        self.connection.delete(f"/api/predictions/{prediction_id:d}/")

    # connections of a project

    def ml_backends(self, project_id: int) -> list[dict[str, Any]]:
        """The project's backends. Label Studio calls each one's /health and /setup while it answers."""
        return _objects(self.connection.get("/api/ml", {"project": project_id}))

    def put_ml_backend(
        self, project_id: int, url: str, *, title: str, user: str, password: str
    ) -> dict[str, Any]:
        """Connect the backend with Basic authentication, or update the connection of the same URL.

        Label Studio calls ``url``/health at once and refuses (BadInput) when it does not answer within 1 s.
        """
        body = {
            "project": project_id,
            "url": url,
            "title": title,
            "is_interactive": True,
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": user,
            "basic_auth_pass": password,
        }
        same = [
            b for b in self.ml_backends(project_id) if str(b.get("url", "")).rstrip("/") == url.rstrip("/")
        ]
        if same:
            return _object(self.connection.patch(f"/api/ml/{int(same[0]['id'])}", body))
        return _object(self.connection.post("/api/ml", body))

    def delete_ml_backend(self, backend_id: int) -> None:
        """Disconnect a backend."""
        self.connection.delete(f"/api/ml/{backend_id:d}")

    def webhooks(self, project_id: int) -> list[dict[str, Any]]:
        """The project's webhooks, the one Label Studio made for the backend by itself included."""
        return _objects(self.connection.get("/api/webhooks/", {"project": project_id}))

    def put_webhook(
        self,
        project_id: int,
        url: str,
        *,
        headers: Mapping[str, str],
        actions: Sequence[str] = WEBHOOK_ACTIONS,
    ) -> dict[str, Any]:
        """Register a webhook with secret headers, or bring the one of the same URL up to date.

        Everything is sent every time: a PATCH that leaves ``actions`` out empties them in 1.23.2.
        """
        body = {
            "project": project_id,
            "url": url,
            "headers": dict(headers),
            "actions": list(actions),
            "send_payload": True,
            "send_for_all_actions": False,
            "is_active": True,
        }
        same = [hook for hook in self.webhooks(project_id) if hook.get("url") == url]
        if same:
            return _object(self.connection.patch(f"/api/webhooks/{int(same[0]['id'])}/", body))
        return _object(self.connection.post("/api/webhooks/", body))

    def delete_webhook(self, webhook_id: int) -> None:
        """Remove a webhook."""
        self.connection.delete(f"/api/webhooks/{webhook_id:d}/")

    def local_storages(self, project_id: int) -> list[dict[str, Any]]:
        """The folders that the project may show."""
        return _objects(self.connection.get("/api/storages/localfiles", {"project": project_id}))

    def put_local_storage(
        self, project_id: int, path: str, *, title: str = "MaskLoop clips"
    ) -> dict[str, Any]:
        """Let the project show the files below ``path``, a real subfolder of the document root."""
        same = [s for s in self.local_storages(project_id) if s.get("path") == path]
        if same:
            return same[0]
        body = {"project": project_id, "path": path, "title": title, "use_blob_urls": False}
        return _object(self.connection.post("/api/storages/localfiles", body))


def _object(answer: object) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise LabelStudioDown(f"Label Studio answered {type(answer).__name__} where an object was expected")
    return answer


def _objects(answer: object) -> list[dict[str, Any]]:
    if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
        raise LabelStudioDown(f"Label Studio answered {type(answer).__name__} where a list was expected")
    return answer
