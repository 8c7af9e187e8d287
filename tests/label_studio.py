"""A real Label Studio for tests: its own port, its own data, gone when the session ends.

The first start migrates an empty database (45 s). The migrated folder is kept under ``build/test-cache`` and
copied for each session, so that later starts take about 5 s.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import requests

REPOSITORY = Path(__file__).resolve().parents[1]
CACHE = REPOSITORY / "build" / "test-cache" / "label-studio"
LOG = REPOSITORY / "build" / "test-logs" / "label-studio.log"

USERNAME = "admin@example.com"
PASSWORD = "canary-password-1"
TOKEN = "c0ffee0123456789abcdef0123456789abcdef01"

_START_LIMIT_S = 300.0
_LEAKY_NAMES = {
    "USERNAME",
    "PASSWORD",
    "HOST",
    "PORT",
    "DEBUG",
    "USER_TOKEN",
}  # it reads these without a prefix
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def environment_folder() -> Path:
    """Label Studio's own virtual environment; MASKLOOP_TEST_LABEL_STUDIO names another."""
    return Path(os.environ.get("MASKLOOP_TEST_LABEL_STUDIO") or REPOSITORY / ".venv-label-studio")


def missing() -> str:
    """Why Label Studio cannot be started, with the remedy; empty when it can."""
    binary = environment_folder() / "bin" / "label-studio"
    if binary.is_file():
        return ""
    return f"no Label Studio at {binary}: `make environments` makes one, MASKLOOP_TEST_LABEL_STUDIO names one"


@dataclass
class LabelStudioServer:
    """One running Label Studio with local files, backends and webhooks on loopback allowed."""

    folder: Path
    port: int = 0
    token: str = field(default=TOKEN, repr=False)
    username: str = USERNAME
    password: str = field(default=PASSWORD, repr=False)
    log_path: Path = LOG
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def media_root(self) -> Path:
        """Its document root: put clips into folders below."""
        return self.folder / "media"

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """Start and wait until it answers. Raises RuntimeError with the end of the log."""
        self.media_root.mkdir(parents=True, exist_ok=True)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self.port = self.port or _free_port()
        command = [
            str(environment_folder() / "bin" / "label-studio"),
            *("start", "-b", "--internal-host", "127.0.0.1", "-p", str(self.port)),
            *("--enable-legacy-api-token", "--log-level", "INFO"),
        ]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment(),
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._wait()

    def stop(self) -> None:
        """End its whole process group."""
        if self.process is None:
            return
        for sign, patience_s in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            try:
                os.killpg(self.process.pid, sign)
            except ProcessLookupError:
                break
            try:
                self.process.wait(patience_s)
                break
            except subprocess.TimeoutExpired:
                continue
        self.process = None

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise RuntimeError(f"Label Studio ended with {self.process.returncode}:\n{self._log_end()}")
            try:
                if requests.get(f"{self.url}/health", timeout=2).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"Label Studio did not answer in {_START_LIMIT_S:g} s:\n{self._log_end()}")

    def _log_end(self) -> str:
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-20:])

    def _environment(self) -> dict[str, str]:
        clean = {
            name: value
            for name, value in os.environ.items()
            if name not in _LEAKY_NAMES and not name.startswith(("LABEL_STUDIO_", "HEARTEX_", "DJANGO_"))
        }
        own = {
            "BASE_DATA_DIR": str(self.data_dir),
            "USERNAME": self.username,
            "PASSWORD": self.password,
            "USER_TOKEN": self.token,
            "ENABLE_LEGACY_API_TOKEN": "true",
            "LOCAL_FILES_SERVING_ENABLED": "true",
            "LOCAL_FILES_DOCUMENT_ROOT": str(self.media_root),
            "ML_BLOCK_LOCAL_IP": "false",
            "SSRF_PROTECTION_ENABLED": "false",
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
        }
        return clean | {f"LABEL_STUDIO_{name}": value for name, value in own.items()}


def start_session_server() -> LabelStudioServer:
    """A server on a fresh copy of the migrated data; the caller stops it and removes its folder."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.write_bytes(b"")
    folder = Path(tempfile.mkdtemp(prefix="ml-label-studio-"))
    copy_migrated(folder / "data")
    server = LabelStudioServer(folder)
    server.start()
    return server


def copy_migrated(folder: Path) -> None:
    """Make ``folder`` the data folder of a Label Studio that has started once, with the account above."""
    shutil.copytree(_migrated(), folder)


def _migrated() -> Path:
    """The cached data folder of this version, made on first use; concurrent sessions wait for one another."""
    ready = CACHE / _version()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.is_dir():
            folder = Path(tempfile.mkdtemp(prefix="migrate-", dir=CACHE))
            first = LabelStudioServer(folder)
            try:
                first.start()
                first.stop()
                (folder / "data").rename(ready)
            finally:
                first.stop()
                shutil.rmtree(folder, ignore_errors=True)
    return ready


def _version() -> str:
    found = sorted(environment_folder().glob("lib/python3*/site-packages/label_studio-*.dist-info"))
    return found[0].name.removesuffix(".dist-info") if found else "label_studio-unknown"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _die_with_parent() -> None:
    """Linux: the kernel ends the server when the test process dies, however it dies."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
