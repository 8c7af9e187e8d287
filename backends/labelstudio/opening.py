"""Which version's predictions a project's tasks open with in Label Studio: what is served there.

A task may hold predictions of several versions, and by itself the newest one made opens, whatever was rolled
back since. A project can name the version instead. That is a courtesy to whoever opens the task next: it is
done after a pointer was moved, and never undoes or delays that for long.
"""

from __future__ import annotations

from typing import Any, Protocol

from backends.core.errors import BadInput, MaskLoopError

NEWEST = ""
"""In place of a version: whichever prediction was made last."""


class Projects(Protocol):
    """What is asked of Label Studio; each raises LabelStudioDown, TokenRefused or BadInput."""

    def project(self, project_id: int) -> dict[str, Any]: ...

    def patch_project(self, project_id: int, **fields: Any) -> dict[str, Any]: ...

    def ml_backends(self, project_id: int) -> list[dict[str, Any]]: ...


def open_with(projects: Projects, project_id: int, version: str) -> str:
    """Let the project's tasks open with predictions of ``version``, where it has made any there.

    Until then they open with the newest, which the first of ``version`` will be. Returns what a person has
    to know where it could not be done, else nothing; raises no MaskLoopError.
    """
    try:
        return _open_with(projects, project_id, version)
    except MaskLoopError as error:
        return (
            f"tasks of project {project_id} may open with predictions of another version, for Label Studio "
            f"could not be told which to show ({error})"
        )


def _open_with(projects: Projects, project_id: int, version: str) -> str:
    now = str(projects.project(project_id).get("model_version") or NEWEST)
    if now == version:
        return ""
    if now != NEWEST and now in {str(backend.get("title")) for backend in projects.ml_backends(project_id)}:
        return (
            f"project {project_id} asks the backend when a task is opened (Label Studio's setting), so which "
            "prediction it opens with was left to that"
        )
    try:
        projects.patch_project(project_id, model_version=version)
    except BadInput:  # it takes none that has made no prediction in this project
        if now != NEWEST:
            projects.patch_project(project_id, model_version=NEWEST)
    return ""
