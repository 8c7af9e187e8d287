"""``maskloop up``: Redis, Label Studio, the backend and the workers, in the foreground, until Ctrl-C.

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
from backends.queues import workers_alive
from backends.settings import Settings, from_env, inherited, named_in, to_env
from pipelines.ingest import ingest
from pipelines.progress import bar
from pipelines.services import installation, label_studio_process, ports, redis_process
from pipelines.services.installation import Login, Services
from pipelines.services.label_studio_login import working_login
from pipelines.services.locks import DataDirLock
from pipelines.services.provision import Provisioned, draw_sample, provision, was_filled_before
from pipelines.services.supervisor import ChildSpec, Say, Supervisor, python_argv
from pipelines.trainings import STOP_PATIENCE_S

_FIRST_START = "the first start builds its database, about a minute"
_LOW_DISK_MB = 200
_TRAINER_GRACE_S = STOP_PATIENCE_S + 2.0


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
                patience_s = 5.0 if lock.stale_pid else 0.0
                ready = _bring_up(supervisor, settings, named, clip, patience_s)
                say(screen(ready, settings.data_dir, time.monotonic() - begun))
                _stay(supervisor, settings.data_dir)
        except KeyboardInterrupt:
            say("Everything has ended; type the same command to go on.")
    return 0


def _bring_up(
    supervisor: Supervisor, settings: Settings, named: frozenset[str], clip: Path | None, patience_s: float
) -> Provisioned:
    """Start the services in their order and fill Label Studio; raises SetupFault naming what is missing."""
    say = supervisor.say
    _remark_unused(named, say)
    label_studio_process.find_label_studio(settings)  # first: what is missing is said before anything starts
    own_clips = _own_clips(clip, settings, say)
    secret = installation.ensure_secret(settings)
    login = installation.ensure_login(settings.data_dir)
    settings = replace(
        _with_ports(settings, named, say, patience_s),
        label_studio_token=login.token,
        redis_url=_redis_url(supervisor, settings),
    )
    services = Services(settings.port, settings.label_studio_port, settings.redis_url)
    installation.keep_services(settings.data_dir, services)
    hint = "" if was_filled_before(settings.data_dir) else _FIRST_START
    _start_services(supervisor, settings, login)
    if not own_clips:  # while Label Studio starts
        if hint:
            say("Drawing the sample clip …")
        draw_sample(settings)
    settings, login = _await_label_studio(supervisor, settings, login, hint)
    supervisor.wait_until(lambda: _answers(f"{backend_url(settings)}/health"), "the backend", limit_s=120)
    ready = provision(settings, backend_url(settings), secret, login, own_clips=own_clips)
    supervisor.wait_until(lambda: _worker_ready(settings), "the worker (loads the model)", limit_s=300)
    return ready


def _remark_unused(named: frozenset[str], say: Say) -> None:
    for name in sorted(named & {"label_studio_url", "label_studio_token"}):
        say(f"Note: maskloop up starts a Label Studio of its own; MASKLOOP_{name.upper()} is not used.")


def _start_services(supervisor: Supervisor, settings: Settings, login: Login) -> None:
    supervisor.say("Starting Label Studio, the backend and the workers …")
    settings.media_root.mkdir(parents=True, exist_ok=True)
    supervisor.start(label_studio_process.spec(settings, login))
    for spec in _own_services(settings):
        supervisor.start(spec)


def _await_label_studio(
    supervisor: Supervisor, settings: Settings, login: Login, hint: str
) -> tuple[Settings, Login]:
    """Wait for it and see that our token is good; one that was reset there is replaced in our services."""
    supervisor.wait_until(
        lambda: label_studio_process.is_up(settings.label_studio_url),
        "Label Studio",
        limit_s=600,
        hint=hint,
    )
    working = working_login(settings.label_studio_url, login, settings.data_dir, supervisor.say)
    if working != login:
        settings = replace(settings, label_studio_token=working.token)
        for spec in _own_services(settings):
            supervisor.replace(spec)
    return settings, working


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

    def wish(name: str, service: str, host: str) -> ports.PortWish:
        by_hand = name in named
        port = getattr(settings if by_hand or before is None else before, name)
        return ports.PortWish(service, host, port, by_hand, variable=f"MASKLOOP_{name.upper()}")

    wishes = (
        wish("port", "the backend", settings.host),
        wish("label_studio_port", "Label Studio", "127.0.0.1"),
    )
    port, label_studio_port = ports.settle(wishes, say, patience_s)
    url = f"http://127.0.0.1:{label_studio_port}"
    return replace(settings, port=port, label_studio_port=label_studio_port, label_studio_url=url)


def _redis_url(supervisor: Supervisor, settings: Settings) -> str:
    """The Redis that a person named, if it answers, or a private one of ours."""
    if not settings.redis_url:
        return redis_process.run(supervisor, settings.data_dir, supervisor.say)
    if not redis_process.answers(settings.redis_url):
        raise SetupFault(
            "the Redis named by MASKLOOP_REDIS_URL does not answer; start it, or unset MASKLOOP_REDIS_URL "
            "so that MaskLoop starts a private one"
        )
    return settings.redis_url


def _own_services(settings: Settings) -> tuple[ChildSpec, ...]:
    env = inherited() | to_env(settings) | {"PYTHONUNBUFFERED": "1"}
    root, logs = Path(__file__).parents[1], settings.data_dir.resolve() / "logs"
    return (
        ChildSpec("backend", python_argv("backends.wsgi"), env, root, logs / "backend.log"),
        ChildSpec("worker", python_argv("pipelines.worker"), env, root, logs / "worker.log"),
        ChildSpec(
            "trainer",
            python_argv("pipelines.train_worker"),
            env,
            root,
            logs / "trainer.log",
            _TRAINER_GRACE_S,
        ),
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
        return any(row.state != "loading" for row in workers_alive(ledger))
    finally:
        ledger.close()


def _stay(supervisor: Supervisor, data_dir: Path) -> None:
    """Watch until a signal comes; warn once each time the disk gets full."""
    warned = False
    while True:
        supervisor.tend()
        free = installation.free_mb(data_dir)
        if free < _LOW_DISK_MB and not warned:
            supervisor.say(f"The disk of {data_dir} is nearly full ({free} MB left): free some space now.")
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

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup: stay when the terminal goes
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print(text: str) -> None:
    print(text, flush=True, file=sys.stdout)
