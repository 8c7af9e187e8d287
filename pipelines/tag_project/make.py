"""Make a project in a running Label Studio: configuration, storage, backend, webhook, tasks.

Every step looks first and adds only what is missing, so it may be interrupted anywhere and run again, with
more photos too. A project of the same title is gone on with; nothing that people did in it is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backends.core.errors import BadInput
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.label_config import LabelConfig, refuse_untaggable
from backends.settings import Settings
from pipelines.progress import Track, quiet
from pipelines.services.provision import connect
from pipelines.tag_project.config_xml import weak_shot_xml
from pipelines.tag_project.photos import PHOTOS

_CHUNK = 100  # tasks per request: a few seconds each, so that progress shows
_INSTRUCTION = (
    "Tick the tags of what is in the picture. Switch on Auto-Annotation and Auto-Accept (bottom bar). Choose "
    "the label Make masks, press M, click anywhere in the picture: masks come. Correct them with the brush, "
    "or drag a smart box over an object, then Submit."
)


@dataclass(frozen=True)
class Plan:
    """What sets one way of working apart."""

    xml: str
    folder: str
    """Below the media root: where the tasks' files are."""
    key: str
    """Of a task's data: tells one task from another."""
    instruction: str
    description: str
    refuse: Callable[[LabelConfig], None]
    """Raises BadLabelConfig for a configuration that works otherwise."""


def tag_plan(classes: Sequence[str]) -> Plan:
    """Photos whose tags become masks. Raises BadInput for classes that cannot be used."""
    xml = weak_shot_xml(classes)
    return Plan(xml, PHOTOS, "image", _INSTRUCTION, "Tags become masks", refuse_untaggable)


@dataclass(frozen=True)
class MadeProject:
    """What was made or found."""

    project_id: int
    title: str
    url: str
    added: int
    """Tasks that are new."""
    total: int


def make_project(
    client: LabelStudioClient,
    settings: Settings,
    title: str,
    plan: Plan,
    tasks: Sequence[Mapping[str, Any]],
    *,
    backend_url: str,
    secret: str,
    progress: Track = quiet,
) -> MadeProject:
    """Bring Label Studio into the state described above.

    Raises BadInput for a title that cannot be used, LabelStudioDown, TokenRefused.
    """
    if not 3 <= len(title) <= 50:
        raise BadInput(f"title {title!r} has {len(title)} characters; Label Studio wants 3 to 50 (--title)")
    project_id = _ensure_project(client, title, plan)
    folder = settings.media_root.resolve() / plan.folder
    client.put_local_storage(project_id, str(folder), title=f"MaskLoop {plan.folder}")
    connect(client, project_id, backend_url, secret)
    known = {str(task.get("data", {}).get(plan.key)) for task in client.tasks(project_id)}
    missing = [{"data": dict(data)} for data in tasks if str(data[plan.key]) not in known]
    chunks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
    for chunk in progress(chunks, total=len(chunks), label="import"):
        client.import_tasks(project_id, chunk)
    url = f"{settings.label_studio_url}/projects/{project_id}/data"
    return MadeProject(project_id, title, url, len(missing), len(known) + len(missing))


def find_project(client: LabelStudioClient, wanted: str) -> int:
    """A project by its number or its title. Raises BadInput naming those there are."""
    projects = client.projects()
    found = [p for p in projects if wanted in (str(p["id"]), str(p.get("title")))]
    if len(found) == 1:
        return int(found[0]["id"])
    known = ", ".join(f"{p['id']} ({p.get('title')})" for p in projects) or "none"
    how_many = "more than one project is" if found else "no project is"
    raise BadInput(f"{how_many} called {wanted!r}; there are: {known}")


def _ensure_project(client: LabelStudioClient, title: str, plan: Plan) -> int:
    for project in client.projects():
        if project.get("title") == title:
            _refuse_other(title, str(project.get("label_config") or ""), plan)
            return int(project["id"])
    made = client.create_project(
        title,
        plan.xml,
        show_collab_predictions=False,  # else every opened task waits for a prediction
        expert_instruction=plan.instruction,
        description=plan.description,
    )
    return int(made["id"])


def _refuse_other(title: str, there: str, plan: Plan) -> None:
    """A project of this title that works otherwise, or lacks a class, is not changed in silence."""
    config = LabelConfig.parse(there)
    plan.refuse(config)
    lacking = [name for name in LabelConfig.parse(plan.xml).objects if name not in config.objects]
    if lacking:
        raise BadInput(
            f"project {title!r} is there and lacks the class {lacking[0]!r}; add it under Settings, Labeling "
            "Interface, to every tool, or choose another --title"
        )
