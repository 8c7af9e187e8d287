"""Fixtures that start real parts. Each part is private to the test and ended by it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import label_studio as label_studio_server
from tests.label_studio import LabelStudioServer
from tests.queue_house import QueueHouse
from tests.redis_server import RedisServer
from tests.up_process import UpProcess


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


@pytest.fixture
def queue_house(redis_server: RedisServer) -> Iterator[QueueHouse]:
    """Ledger, real Redis and, once started, real workers with a stand-in model."""
    house = QueueHouse(redis_server.folder / "data", redis_server)
    yield house
    house.close()


@pytest.fixture(scope="session")
def label_studio() -> Iterator[LabelStudioServer]:
    """A real Label Studio for the whole session; each test makes its own project.

    Skips with the reason where Label Studio is not installed; in CI (``CI`` set) that is a failure.
    """
    if reason := label_studio_server.missing():
        if os.environ.get("CI"):
            pytest.fail(reason)
        print(reason)
        pytest.skip(reason)
    server = label_studio_server.start_session_server()
    yield server
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder with a short path: a unix socket's path may hold 107 characters at most."""
    folder = Path(tempfile.mkdtemp(prefix="ml-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def up_house() -> Iterator[UpProcess]:
    """One folder of ``maskloop up`` for the whole session; ``ensure_ready()`` starts it when it is down.

    The first start is a real first start (about a minute). Skips and fails as ``label_studio`` does.
    """
    if reason := label_studio_server.missing():
        if os.environ.get("CI"):
            pytest.fail(reason)
        print(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="ml-up-"))
    up = UpProcess(folder / "data")
    yield up
    up.end()
    shutil.rmtree(folder, ignore_errors=True)
