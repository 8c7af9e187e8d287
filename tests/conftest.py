"""Fixtures that start real parts. Each part is private to the test and ended by it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A real Redis on a private unix socket, AOF on; ``kill()`` and ``start()`` it as often as you like."""
    # Not tmp_path: a unix socket's path may hold 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="ml-redis-"))
    server = RedisServer(folder)
    server.start()
    yield server
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)
