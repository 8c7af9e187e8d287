"""What Label Studio must hold before somebody can work: project, folders, backend, webhook, clips.

Every step looks first and adds only what is missing, so it may be interrupted anywhere and run again. What
people changed (title, labels, tasks they deleted) is left as they want it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import labelstudio_config
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.connection import NotThere
from backends.settings import Settings
from pipelines.atomic import write_json
from pipelines.ingest import CLIPS
from pipelines.media.sample_clip import CLIP_ID, FRAME_NAMES, write_sample_clip
from pipelines.services.installation import Login

BACKEND_TITLE = "MaskLoop"
BACKEND_USER = "maskloop"
SECRET_HEADER = "X-MaskLoop-Secret"
PROJECT_TITLE = "Video masks"
_SAMPLE_FOLDER = f"{CLIPS}/{CLIP_ID}"
_INSTRUCTION = (
    "Switch on Auto-Annotation and Auto-Accept (bottom bar). Paint each object on one frame. Choose the "
    "label Propagate, press M, Ctrl+click on a painted object: masks come on every frame. Flip pages with "
    "Ctrl+Right, repaint what is wrong, propagate again, Submit."
)


@dataclass(frozen=True)
class Provisioned:
    """What the person needs to know; ``task_id`` None: no task is there to open."""

    project_id: int
    task_id: int | None
    label_studio_url: str
    console_url: str
    login: Login

    @property
    def project_url(self) -> str:
        """The page to open: the first task when there is one."""
        task = f"?task={self.task_id}" if self.task_id else ""
        return f"{self.label_studio_url}/projects/{self.project_id}/data{task}"


@dataclass(frozen=True)
class _Memory:
    """What was done before, kept in ``provision.json``: a sample task that was deleted stays deleted."""

    project_id: int = 0
    sample_imported: bool = False


def provision(
    settings: Settings,
    backend_url: str,
    secret: str,
    login: Login,
    *,
    own_clips: Sequence[Mapping[str, Any]] = (),
) -> Provisioned:
    """Bring Label Studio into the state described above.

    ``own_clips``: data of the tasks to import; none: the sample clip, once. Raises LabelStudioDown,
    TokenRefused.
    """
    client = LabelStudioClient(settings.label_studio_url, login.token, timeout_s=60.0)
    memory = _recall(settings.data_dir)
    project_id = _ensure_project(client, memory.project_id)
    sample_is_due = not own_clips and not (memory.sample_imported and memory.project_id == project_id)
    wanted = [sample_task()] if sample_is_due else own_clips
    task_id = _ensure_tasks(client, settings, project_id, wanted)
    _remember(settings.data_dir, _Memory(project_id, memory.sample_imported or sample_is_due))
    connect(client, project_id, backend_url, secret)
    console_url = f"{backend_url}/console/login?key={quote(secret)}"
    return Provisioned(project_id, task_id, settings.label_studio_url, console_url, login)


def connect(client: LabelStudioClient, project_id: int, backend_url: str, secret: str) -> None:
    """Make our backend the project's only MaskLoop backend, and its webhook carry the secret."""
    hook_url = f"{backend_url}/webhook"
    stale_hooks = set()
    for backend in client.ml_backends(project_id):
        url = str(backend.get("url", "")).rstrip("/")
        if backend.get("title") == BACKEND_TITLE and url != backend_url:  # the port changed
            client.delete_ml_backend(int(backend["id"]))
            stale_hooks.add(f"{url}/webhook")
    # First the webhook: Label Studio makes one without headers for a backend that has none.
    kept = client.put_webhook(project_id, hook_url, headers={SECRET_HEADER: secret})
    client.put_ml_backend(project_id, backend_url, title=BACKEND_TITLE, user=BACKEND_USER, password=secret)
    for hook in client.webhooks(project_id):
        same = hook.get("url") == hook_url and hook.get("id") != kept.get("id")
        if same or hook.get("url") in stale_hooks:
            client.delete_webhook(int(hook["id"]))


def _ensure_project(client: LabelStudioClient, remembered_id: int) -> int:
    if remembered_id:
        try:
            return int(client.project(remembered_id)["id"])
        except NotThere:
            pass  # somebody deleted it: make a new one
    for project in client.projects():
        if project.get("title") == PROJECT_TITLE:
            return int(project["id"])
    made = client.create_project(
        PROJECT_TITLE,
        label_config_xml(),
        show_collab_predictions=False,  # else every opened task waits for a prediction
        expert_instruction=_INSTRUCTION,
        description="Per-frame object masks on video clips",
    )
    return int(made["id"])


def label_config_xml() -> str:
    """The labelling configuration for video object masks."""
    return (Path(labelstudio_config.__file__).parent / "video_object.xml").read_text()


def _ensure_tasks(
    client: LabelStudioClient, settings: Settings, project_id: int, wanted: Sequence[Mapping[str, Any]]
) -> int | None:
    """Import what is not there yet; returns the task to open: the first wanted one, else the first of all."""
    known = {_clip_key(task["data"]): int(task["id"]) for task in client.tasks(project_id)}
    for folder in sorted({folder for data in wanted for folder in _folders(data)}):
        path = settings.media_root.resolve() / folder
        client.put_local_storage(project_id, str(path), title=f"MaskLoop {folder}")
    missing = [data for data in wanted if _clip_key(data) not in known]
    if missing:
        ids = client.import_tasks(project_id, [{"data": dict(data)} for data in missing])
        known |= {_clip_key(data): task_id for data, task_id in zip(missing, ids, strict=True)}
    if wanted:
        return known[_clip_key(wanted[0])]
    return min(known.values(), default=None)


def _clip_key(data: Mapping[str, Any]) -> tuple[str, str]:
    """Tells one clip from another: its id and its first frame."""
    frames = data.get("frames") or [""]
    return str(data.get("clip", "")), str(frames[0])


def _folders(data: Mapping[str, Any]) -> set[str]:
    """The top folders below the media root that hold the frames of this task."""
    queries = (parse_qs(urlsplit(reference).query) for reference in data["frames"])
    return {PurePosixPath(relative).parts[0] for query in queries for relative in query.get("d", [])}


def draw_sample(settings: Settings) -> None:
    """Write the sample clip's frames below the media root and its truth into ``data_dir/sample-truth``."""
    write_sample_clip(settings.media_root / _SAMPLE_FOLDER, settings.data_dir / "sample-truth")


def sample_task() -> dict[str, Any]:
    """The data of the sample clip's task."""
    return {
        "frames": [f"/data/local-files/?d={_SAMPLE_FOLDER}/{name}" for name in FRAME_NAMES],
        "clip": CLIP_ID,
        "start": 0,
        "fps": 25,
        "source": "sample clip",
        "overlap": 1,
    }


def was_filled_before(data_dir: Path) -> bool:
    """Whether an earlier start came to its end, so that Label Studio's database is complete."""
    return (data_dir / "provision.json").exists()


def _recall(data_dir: Path) -> _Memory:
    try:
        return _Memory(**json.loads((data_dir / "provision.json").read_text()))
    except (OSError, TypeError, ValueError):
        return _Memory()  # everything is looked up in Label Studio again


def _remember(data_dir: Path, memory: _Memory) -> None:
    write_json(data_dir / "provision.json", asdict(memory))
