"""``maskloop up``: Redis, Label Studio, the backend and the worker, in the foreground, until Ctrl-C.

This module is the order of events; each service has its own module. Starting again on the same data folder
goes on where it was.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import requests

from backends.core.errors import SetupFault
from backends.ledger import Ledger
from backends.settings import Settings, from_env, inherited, named_in, to_env
from pipelines import installation, label_studio_process, ports, redis_process
from pipelines.ingest import ingest
from pipelines.installation import Services
from pipelines.label_studio_login import working_login
from pipelines.locks import DataDirLock
from pipelines.progress import bar
from pipelines.provision import Provisioned, draw_sample, provision
from pipelines.supervisor import ChildSpec, Say, Supervisor, python_argv, tail

_FIRST_START = "the first start builds its database, about a minute"
_LOW_DISK_MB = 200


def main(*, clip: Path | None = None) -> int:
    """Start everything as the environment says and stay until Ctrl-C or SIGTERM; returns the exit status."""
    return up(from_env(), named_in(), clip=clip, say=_print)


def up(settings: Settings, named: frozenset[str], *, clip: Path | None, say: Say) -> int:
    """As :func:`main`; ``named`` are the settings a person chose, which may not be moved.

    Raises SetupFault when something is missing, BadInput when the clip cannot be used.
    """
    begun = time.monotonic()
    installation.prepare(settings.data_dir)
    with _stop_signals(), DataDirLock(settings.data_dir) as lock:
        if lock.stale_pid:
            say(f"The last run (process {lock.stale_pid}) did not end cleanly; going on where it was.")
        try:
            with Supervisor(say) as supervisor:
                ready = _bring_up(supervisor, settings, named, clip, say, lock.stale_pid is not None)
                say(screen(ready, settings.data_dir, time.monotonic() - begun))
                _stay(supervisor, settings.data_dir, say)
        except KeyboardInterrupt:
            say("Everything has ended; type the same command to go on.")
    return 0


def _bring_up(
    supervisor: Supervisor,
    settings: Settings,
    named: frozenset[str],
    clip: Path | None,
    say: Say,
    after_crash: bool,
) -> Provisioned:
    program = label_studio_process.find_label_studio(settings)
    own_clips = _own_clips(clip, settings, say)
    secret = installation.ensure_secret(settings)
    login = installation.ensure_login(settings.data_dir)
    settings = _with_ports(settings, named, say, patience_s=5.0 if after_crash else 0.0)
    settings = replace(settings, label_studio_token=login.token)
    settings = _with_redis(supervisor, settings, say)
    settings.media_root.mkdir(parents=True, exist_ok=True)
    _keep_services(settings)
    first = not (settings.data_dir / "label-studio" / "label_studio.sqlite3").exists()
    say("Starting Label Studio, the backend and the worker …")
    logs = settings.data_dir.resolve() / "logs"
    supervisor.start(label_studio_process.spec(program, settings, login, logs / "label-studio.log"))
    for spec in _own_services(settings, logs):
        supervisor.start(spec)
    if not own_clips:
        draw_sample(settings)
    supervisor.wait_until(
        lambda: label_studio_process.is_up(settings.label_studio_url),
        "Label Studio",
        limit_s=600,
        hint=_FIRST_START if first else "",
    )
    working = working_login(settings.label_studio_url, login, settings.data_dir, say)
    if working != login:
        settings, login = replace(settings, label_studio_token=working.token), working
        for spec in _own_services(settings, logs):
            supervisor.replace(spec)
    supervisor.wait_until(lambda: _answers(f"{backend_url(settings)}/health"), "the backend", limit_s=120)
    ready = provision(settings, backend_url(settings), secret, login, own_clips=own_clips)
    supervisor.wait_until(lambda: _worker_ready(settings), "the worker (loads the model)", 300)
    return ready


def _own_clips(clip: Path | None, settings: Settings, say: Say) -> list[dict[str, Any]]:
    """The tasks of the person's own frames or video, made before anything starts: a refusal comes at once."""
    if clip is None:
        return []
    say(f"Reading {clip} …")
    clips = ingest(clip, settings, progress=bar)
    for note in dict.fromkeys(note for item in clips for note in item.notes):
        say(f"Note: {note}")
    return [item.task_data for item in clips]


def backend_url(settings: Settings) -> str:
    """Where processes on this machine reach the backend."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def screen(ready: Provisioned, data_dir: Path, seconds: float) -> str:
    """What the person sees at the end of the start."""
    login = ready.login
    return f"""
MaskLoop is ready ({seconds:.0f} s).

  Label Studio   {ready.project_url}
  log in as      {login.email}   password   {login.password}
  console        {ready.console_url}
                 (jobs, progress, errors in words; the link logs you in)

  1. Open the address, log in, open a task. Switch on Auto-Annotation and Auto-Accept at the bottom.
  2. Choose "object 1" under the brush labels and paint the object on one frame.
  3. Choose the label Propagate, press M, then Ctrl+click on what you painted: masks come on every frame.
  4. Flip pages with Ctrl+Right; repaint what is wrong and propagate again; Submit when it is good.

  Ctrl-C ends everything, the same command goes on where you were. Logs: {data_dir / "logs"}
"""


def _with_ports(settings: Settings, named: frozenset[str], say: Say, patience_s: float) -> Settings:
    """Choose the two ports: those a person named, else those of the last start, else the defaults."""
    before = installation.read_services(settings.data_dir)
    taken: list[int] = []
    for name, service in (("port", "the backend"), ("label_studio_port", "Label Studio")):
        by_hand = name in named
        wished = getattr(settings, name) if by_hand or before is None else getattr(before, name)
        wish = ports.PortWish(
            service=service,
            host=settings.host if name == "port" else "127.0.0.1",
            port=wished,
            by_hand=by_hand,
            variable=f"MASKLOOP_{name.upper()}",
        )
        _await_free(wish, patience_s)
        choice = ports.choose(wish, taken)
        if choice.remark:
            say(f"Note: {choice.remark}.")
        taken.append(choice.port)
    return replace(
        settings,
        port=taken[0],
        label_studio_port=taken[1],
        label_studio_url=f"http://127.0.0.1:{taken[1]}",
    )


def _await_free(wish: ports.PortWish, patience_s: float) -> None:
    """After a crash the old services may take a moment to vanish."""
    ends = time.monotonic() + patience_s
    while time.monotonic() < ends and not ports.is_free(wish.host, wish.port):
        time.sleep(0.1)


def _with_redis(supervisor: Supervisor, settings: Settings, say: Say) -> Settings:
    """Check the Redis that a person named, or start a private one."""
    if settings.redis_url:
        if not redis_process.answers(settings.redis_url):
            raise SetupFault(
                "the Redis named by MASKLOOP_REDIS_URL does not answer; start it, or unset "
                "MASKLOOP_REDIS_URL so that MaskLoop starts a private one"
            )
        return settings
    program = redis_process.find_redis()
    socket = redis_process.socket_path(settings.data_dir)
    url = redis_process.url_of(socket)
    spec = redis_process.spec(program, settings.data_dir, socket, inherited(("PATH", "LANG", "LC_ALL", "TZ")))
    _start_redis(supervisor, spec, url, settings.data_dir, say)
    return replace(settings, redis_url=url)


def _start_redis(supervisor: Supervisor, spec: ChildSpec, url: str, data_dir: Path, say: Say) -> None:
    """Start it; when it cannot read its file, set that aside and start anew: the ledger holds the jobs."""
    spec.log.unlink(missing_ok=True)
    supervisor.start(spec)
    try:
        supervisor.wait_until(lambda: redis_process.answers(url), "Redis", limit_s=60)
    except SetupFault:
        aside = redis_process.set_damaged_aside(data_dir.resolve(), tail(spec.log, 200))
        if aside is None:
            raise
        say(f"Redis could not read its queue file; it was moved to {aside}. The ledger keeps the jobs.")
        spec.cwd.mkdir(mode=0o700)
        supervisor.start(spec)
        supervisor.wait_until(lambda: redis_process.answers(url), "Redis", limit_s=60)


def _keep_services(settings: Settings) -> None:
    services = Services(settings.port, settings.label_studio_port, settings.redis_address())
    installation.keep_services(settings.data_dir, services)


def _own_services(settings: Settings, logs: Path) -> tuple[ChildSpec, ChildSpec]:
    env = inherited() | to_env(settings) | {"PYTHONUNBUFFERED": "1"}
    root = Path(__file__).parents[1]
    return (
        ChildSpec("backend", python_argv("backends.wsgi"), env, root, logs / "backend.log"),
        ChildSpec("worker", python_argv("pipelines.worker"), env, root, logs / "worker.log"),
    )


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=3).status_code == 200
    except requests.RequestException:
        return False


def _worker_ready(settings: Settings) -> bool:
    """Whether a worker that lives has loaded its model."""
    if not settings.ledger_path.exists():
        return False
    ledger = Ledger(settings.ledger_path)
    try:
        return any(row.is_alive and row.state != "loading" for row in ledger.workers())
    finally:
        ledger.close()


def _stay(supervisor: Supervisor, data_dir: Path, say: Say) -> None:
    """Watch until a signal comes; warn once each time the disk gets full."""
    warned = False
    while True:
        supervisor.tend()
        free = installation.free_mb(data_dir)
        if free < _LOW_DISK_MB and not warned:
            say(f"The disk of {data_dir} is nearly full ({free} MB left): free some space now.")
        warned = free < _LOW_DISK_MB
        time.sleep(0.5)


@contextmanager
def _stop_signals() -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP becomes KeyboardInterrupt; later ones do not disturb the end."""
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            _print("\nEnding …")
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print(text: str) -> None:
    print(text, flush=True, file=sys.stdout)
