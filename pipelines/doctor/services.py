"""The doctor's look at the running services: every connection, in both directions."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
import requests

from backends.core.errors import BadInput, LabelStudioDown, TokenRefused
from backends.labelstudio.client import LabelStudioClient
from backends.ledger import Ledger
from backends.queues import TRAIN, WARM_QUEUES
from backends.settings import Settings
from pipelines.doctor.findings import OLDEST_LABEL_STUDIO, Check, Finding, version_tuple
from pipelines.services.provision import BACKEND_TITLE, SECRET_HEADER
from pipelines.up import backend_url

_START = "make demo (or `maskloop up`), and look at the end of its logs/*.log"
_MODEL_FIX = "maskloop train video_object, or correct MASKLOOP_MODELS_DIR"
_UNBLOCK = (
    "start Label Studio with LABEL_STUDIO_ML_BLOCK_LOCAL_IP=false and "
    "LABEL_STUDIO_SSRF_PROTECTION_ENABLED=false "
    "(it refuses loopback and private addresses since 1.23.1; `maskloop up` sets both)"
)


def _redis(settings: Settings) -> Iterator[Finding]:
    """Redis answers, keeps its queue and refuses rather than forgets."""
    client = redis.Redis.from_url(settings.redis_address(), socket_connect_timeout=3, socket_timeout=3)
    try:
        info: dict[str, Any] = client.info()
    except (redis.RedisError, OSError) as error:
        fix = "start that Redis, or correct MASKLOOP_REDIS_URL" if not _is_socket(settings) else _START
        yield Finding(False, f"Redis does not answer ({type(error).__name__})", fix)
        return
    finally:
        client.close()
    yield Finding(True, f"Redis {info.get('redis_version')} answers")
    yield Finding(
        bool(info.get("aof_enabled")) and info.get("aof_last_write_status", "ok") == "ok",
        "Redis keeps its queue on disk (append-only file)",
        "start Redis with --appendonly yes and see that its disk has room",
    )
    policy = info.get("maxmemory_policy", "noeviction")
    yield Finding(
        policy == "noeviction", f"Redis's memory policy is {policy}", "set maxmemory-policy noeviction"
    )


def _backend(settings: Settings) -> Iterator[Finding]:
    """The backend answers, accepts our secret and refuses others."""
    url = backend_url(settings)
    try:
        begun = time.monotonic()
        health = requests.get(f"{url}/health", timeout=3)
        took_s = time.monotonic() - begun
        yield Finding(
            health.status_code == 200 and took_s < 1.0,
            f"the backend answers at {url} in {took_s * 1000:.0f} ms (Label Studio waits 1 s)",
            "end what keeps this machine's processors busy, or look at logs/backend.log",
        )
        headers = {SECRET_HEADER: settings.shared_secret()}
        versions = requests.get(f"{url}/versions", headers=headers, timeout=5)
    except requests.RequestException as error:
        yield Finding(False, f"the backend does not answer at {url} ({type(error).__name__})", _START)
        return
    yield Finding(
        versions.status_code == 200,
        f"the backend accepts the secret ({versions.status_code})",
        "restart the backend: it started with another MASKLOOP_SECRET than this shell's",
    )


def _backend_sees(settings: Settings) -> Iterator[Finding]:
    """The backend's own view of Redis, Label Studio and its model, as its console tells it."""
    url = backend_url(settings)
    with requests.Session() as console:
        try:
            console.get(f"{url}/console/login", params={"key": settings.shared_secret()}, timeout=5)
            state = console.get(f"{url}/console/state", timeout=10).json()
            tasks = console.get(f"{url}/console/tasks", timeout=30).json()
        except (requests.RequestException, ValueError) as error:
            yield Finding(False, f"the console tells nothing ({type(error).__name__})", _START)
            return
    trouble = state.get("queue", {}).get("error")
    fix = "give the backend the same MASKLOOP_REDIS_URL as the worker"
    yield Finding(not trouble, f"the backend reaches Redis{_because(trouble)}", fix)
    trouble = tasks.get("error")
    fix = "start the backend with MASKLOOP_LABEL_STUDIO_URL and _TOKEN as they are right from its place"
    yield Finding(not trouble, f"the backend reaches Label Studio{_because(trouble)}", fix)
    trouble = state.get("model", {}).get("error")
    yield Finding(not trouble, f"the backend finds its model{_because(trouble)}", _MODEL_FIX)


def _because(trouble: object) -> str:
    return f": {trouble}" if trouble else ""


def _label_studio(settings: Settings) -> Iterator[Finding]:
    """Label Studio answers, is new enough and takes our token."""
    client = _client(settings)
    url = settings.label_studio_url
    if not client.health():
        fix = f"{_START}; or set MASKLOOP_LABEL_STUDIO_URL to where it is"
        yield Finding(False, f"Label Studio does not answer at {url}", fix)
        return
    yield Finding(True, f"Label Studio answers at {url}")
    version = client.version()
    fix = f"pip install label-studio=={'.'.join(map(str, OLDEST_LABEL_STUDIO))} or newer"
    yield Finding(version_tuple(version) >= OLDEST_LABEL_STUDIO, f"Label Studio is {version}", fix)
    kind = "personal access token" if settings.label_studio_token.count(".") == 2 else "legacy token"
    try:
        user = client.whoami()
        yield Finding(True, f"Label Studio accepts the {kind} of {user.get('email')}")
    except TokenRefused as error:
        fix = (
            "set MASKLOOP_LABEL_STUDIO_TOKEN to the token under Account & Settings; for legacy tokens also "
            "allow them under Organization, Access Token Settings"
        )
        yield Finding(False, f"the {kind} is refused: {error}", fix)


def _label_studio_to_backend(settings: Settings) -> Iterator[Finding]:
    """What Label Studio itself says of its connection to the backend, and the webhook."""
    client = _client(settings)
    if not client.health():
        return  # said above
    url, connected = backend_url(settings), 0
    for project in client.projects():
        project_id, name = int(project["id"]), f"project {project['id']} ({project.get('title')})"
        backends = client.ml_backends(project_id)  # Label Studio calls /health and /setup while it answers
        ours = [b for b in backends if b.get("title") == BACKEND_TITLE or b.get("url", "").rstrip("/") == url]
        for backend in ours:
            connected += 1
            yield from _connection(client, backend, name)
        if ours:
            yield from _webhook(client, project_id, f"{url}/webhook", name)
        if ours and backends[0] not in ours:
            fix = f"remove the backend {backends[0].get('title')!r} under Settings, Model of that project"
            yield Finding(False, f"{name}: another backend stands first, and only the first is asked", fix)
    if not connected:
        fix = "make demo (connects its project), or add it under Settings, Model with basic authentication"
        yield Finding(False, f"no project of this Label Studio is connected to {url}", fix)


def _connection(client: LabelStudioClient, backend: dict[str, Any], name: str) -> Iterator[Finding]:
    url = str(backend.get("url"))
    body = {"project": backend.get("project"), "url": url, "auth_method": "PROBE"}
    blocked = _blocked(client, "/api/ml", body)
    state = backend.get("readable_state") or backend.get("state")
    yield Finding(
        backend.get("state") == "CO",
        f"{name}: Label Studio reaches the backend at {url}: {state}{_because(blocked)}",
        _UNBLOCK if blocked else "see that the backend runs, and that Label Studio can reach that address",
    )
    yield Finding(
        bool(backend.get("is_interactive")),
        f"{name}: interactive clicks go to the backend",
        "switch on Interactive preannotations under Settings, Model",
    )


def _webhook(client: LabelStudioClient, project_id: int, url: str, name: str) -> Iterator[Finding]:
    hooks = [hook for hook in client.webhooks(project_id) if hook.get("url") == url]
    good = [hook for hook in hooks if hook.get("is_active") and SECRET_HEADER in (hook.get("headers") or {})]
    said = f"{name}: a webhook with the secret tells the backend what was saved"
    yield Finding(bool(good), said, "make demo (registers it)")
    blocked = _blocked(client, "/api/webhooks/", {"project": project_id, "url": url, "actions": ["PROBE"]})
    yield Finding(not blocked, f"{name}: Label Studio may call the webhook{_because(blocked)}", _UNBLOCK)


def _blocked(client: LabelStudioClient, path: str, body: dict[str, Any]) -> str:
    """Label Studio's words when it refuses to call an address (it drops such calls in silence), else "".

    It is asked to store something with "PROBE" where only certain words are allowed. It refuses that in any
    case, so nothing is stored; of a blocked address it complains first.
    """
    try:
        client.connection.post(path, body)
    except (BadInput, TokenRefused) as error:
        found = re.search(r"URL resolves to .*", str(error))
        return found.group() if found else ""
    return ""


def _local_files(settings: Settings) -> Iterator[Finding]:
    """One frame of one task, read from our folder and through Label Studio: the same bytes?"""
    root = settings.media_root
    yield Finding(
        root.is_dir(), f"the media folder is {root.resolve()}", "set MASKLOOP_MEDIA_ROOT, or make demo"
    )
    client = _client(settings)
    reference = _some_frame(client) if client.health() else None
    if reference is None:
        return
    relative = parse_qs(urlsplit(reference).query)["d"][0]
    ours = _below(root, relative)
    fix = f"start Label Studio with LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={root.resolve()}, our own folder"
    yield Finding(ours is not None, f"the frame {relative} is below our media folder", fix)
    answer = requests.get(
        settings.label_studio_url + reference,
        headers=client.connection.authorization(),
        timeout=10,
        allow_redirects=False,
    )
    same = ours is not None and _digest(answer.content) == _digest(ours.read_bytes())
    fix += ", with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true, and add the clips folder as a local storage"
    yield Finding(
        answer.status_code == 200 and same, f"Label Studio shows the same file ({answer.status_code})", fix
    )


def _workers(settings: Settings) -> Iterator[Finding]:
    """Somebody works on the queues, and says so."""
    if not settings.ledger_path.is_file():
        yield Finding(False, f"no ledger at {settings.ledger_path}", _START)
        return
    ledger = Ledger(settings.ledger_path)
    try:
        alive = [row for row in ledger.workers() if row.is_alive]
    finally:
        ledger.close()
    for row in alive:
        age_s = time.time() - row.seen_at
        what = "trainer" if TRAIN in row.queues else "worker"
        said = f"{what} {row.name} (process {row.pid}) is {row.state}, last seen {age_s:.0f} s ago"
        yield Finding(age_s < 60, said, f"kill -9 {row.pid} (it hangs; `maskloop up` starts another)")
    unheard = sorted(set(WARM_QUEUES) - {queue for row in alive for queue in row.queues})
    fix = "maskloop worker (or make demo, which starts and watches one)"
    yield Finding(not unheard, f"workers listen to {', '.join(WARM_QUEUES)}", fix)
    trainers = [row for row in alive if TRAIN in row.queues]
    fix = "maskloop worker --train (or make demo, which starts and watches one)"
    yield Finding(bool(trainers), "a trainer waits for new versions to train", fix)


def _client(settings: Settings) -> LabelStudioClient:
    return LabelStudioClient(settings.label_studio_url, settings.label_studio_token, get_attempts=1)


def _some_frame(client: LabelStudioClient) -> str | None:
    """A local-files reference out of any task, or None."""
    try:
        for project in client.projects():
            for task in client.tasks(int(project["id"])):
                frames = task.get("data", {}).get("frames")
                if isinstance(frames, list) and frames and "local-files" in str(frames[0]):
                    return str(frames[0])
    except (LabelStudioDown, TokenRefused):
        return None  # said above
    return None


def _is_socket(settings: Settings) -> bool:
    return settings.redis_address().startswith("unix:")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _below(root: Path, relative: str) -> Path | None:
    """``root/relative`` when it is a file below ``root``, symbolic links resolved; else None."""
    path = (root / relative).resolve()
    return path if path.is_relative_to(root.resolve()) and path.is_file() else None


SERVICES: tuple[Check, ...] = (
    _redis,
    _backend,
    _backend_sees,
    _label_studio,
    _label_studio_to_backend,
    _local_files,
    _workers,
)
