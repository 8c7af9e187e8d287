"""The doctor's look at this machine: packages, programs, folders, secrets, the model."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata

from backends.catalogue import ALGORITHMS
from backends.core.errors import MaskLoopError
from backends.pointers import ALL
from backends.registry import Registry
from backends.settings import Settings
from pipelines.doctor.findings import OLDEST_LABEL_STUDIO, Check, Finding, version_tuple
from pipelines.services import installation, label_studio_process
from pipelines.services.locks import running_pid
from pipelines.services.redis_process import find_redis

_OURS = {"torch": "2.13", "rq": "3.", "redis": "8.", "label-studio-sdk": "2.1.2", "numpy": "2."}


def _python(settings: Settings) -> Iterator[Finding]:
    """Python and the packages."""
    found = {name: _version(name) for name in _OURS}
    wrong = [f"{name} {has}" for name, has in found.items() if not has.startswith(_OURS[name])]
    told = ", ".join(f"{name} {has}" for name, has in found.items())
    yield Finding(not wrong, f"Python {platform.python_version()}; {told}", "make ours (pinned versions)")


def _label_studio_environment(settings: Settings) -> Iterator[Finding]:
    """Label Studio's own environment."""
    label_studio_process.find_label_studio(settings)
    version = label_studio_process.installed_version(settings)
    new_enough = version_tuple(version) >= OLDEST_LABEL_STUDIO
    fix = "rm -rf .venv-label-studio && make environments (older releases have known holes)"
    yield Finding(new_enough, f"Label Studio {version} is installed", fix)


def _redis_program(settings: Settings) -> Iterator[Finding]:
    """A Redis to start, unless one is named."""
    services = installation.read_services(settings.data_dir)
    if settings.redis_url and not (services and services.redis_url == settings.redis_url):
        return
    program = find_redis()
    yield Finding(True, f"Redis {program.version} to start: {program.path}")


def _data_folder(settings: Settings) -> Iterator[Finding]:
    """The data folder and the room on its disk."""
    folder = settings.data_dir
    if not folder.is_dir():
        yield Finding(False, f"the data folder {folder} is not there yet", "make demo (makes it)")
        return
    writable = os.access(folder, os.W_OK | os.X_OK)
    yield Finding(writable, f"the data folder is {folder.resolve()}", f"chown -R $USER {folder}")
    free = installation.free_mb(folder)
    enough = free >= installation.MIN_FREE_MB
    fix = f"free some space ({installation.MIN_FREE_MB} MB wanted), or set MASKLOOP_DATA_DIR to another disk"
    yield Finding(enough, f"the disk has {free} MB left", fix)


def _private_files(settings: Settings) -> Iterator[Finding]:
    """Secret and login are there and for this user's eyes only."""
    secret = settings.data_dir / "secret"
    if settings.secret:
        long_enough = len(settings.secret) >= 16
        yield Finding(long_enough, "the secret comes from MASKLOOP_SECRET", "use 16 or more characters")
    for path in (secret, installation.login_path(settings.data_dir)):
        if not path.is_file():
            if not (path == secret and settings.secret):
                yield Finding(False, f"{path} is not there yet", "make demo (writes it at the first start)")
            continue
        mode = path.stat().st_mode & 0o777
        yield Finding(not mode & 0o077, f"{path} has mode {mode:o}", f"chmod 600 {path}")


def _supervisor(settings: Settings) -> Iterator[Finding]:
    """Whether `maskloop up` runs on this data folder."""
    pid = running_pid(settings.data_dir)
    if pid:
        yield Finding(True, f"maskloop up runs (process {pid})")
    else:
        yield Finding(False, f"maskloop up does not run on {settings.data_dir}", "make demo")


def _model(settings: Settings) -> Iterator[Finding]:
    """The served model, and those of projects that have their own."""
    registry = Registry(settings.models_dir)
    served = registry.served("video_object")
    yield Finding(True, f"the served model is {served.version}")
    for algorithm in ALGORITHMS:
        for project, version in registry.pointers(algorithm).items():
            if project != ALL:
                yield _own_model(registry, algorithm, version, project)


def _own_model(registry: Registry, algorithm: str, version: str, project: int) -> Finding:
    fix = f"maskloop roll-back {algorithm} --project {project}"
    try:
        registry.find(algorithm, version)
    except MaskLoopError as error:
        return Finding(False, f"project {project} is to be answered by {version}: {error}", fix)
    return Finding(True, f"project {project} is answered by {version}")


def _tools(settings: Settings) -> Iterator[Finding]:
    """A browser, for `make demo-check` only."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser:
        yield Finding(True, f"a browser for make demo-check: {browser}")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "is missing"


MACHINE: tuple[Check, ...] = (
    _python,
    _label_studio_environment,
    _redis_program,
    _data_folder,
    _private_files,
    _supervisor,
    _model,
    _tools,
)
