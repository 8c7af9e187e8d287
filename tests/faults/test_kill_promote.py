"""kill -9 between writing a version's weights and swapping the pointer: what is served always loads."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from backends.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
KILLS = 100
SEED = 20_260

WRITER = """
import os, sys, time
from pathlib import Path
from backends.loop.folder import ProjectFolder
from backends.registry import Registry
from pipelines.loop.candidate import register
from pipelines.loop.plan import Plan

home, registry = Path(sys.argv[1]), Registry(Path(sys.argv[1]) / "models")
import pipelines.loop.candidate as candidate
candidate.code_revision = lambda: "test"
number = 0
while True:  # one child after another, each killed somewhere in here
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        os.waitpid(pid, 0)
        number += 1
        continue
    while True:
        number += 1
        run = home / "run"
        run.mkdir(exist_ok=True)
        weights = run / f"weights-{os.getpid()}"
        weights.write_bytes(os.urandom(8) + bytes(200_000))
        plan = Plan(run, 3, "video_object", home)
        made = register(registry, plan, weights, digest="d", started_from="")
        registry.promote("video_object", made.version, project=3)
        if number % 3 == 0:
            registry.roll_back("video_object", project=3)
"""


def test_whenever_it_is_killed_the_served_version_is_whole(tmp_path: Path) -> None:
    rng, registry = random.Random(SEED), Registry(tmp_path / "models")
    before, changes = "", 0
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        try:
            for number in range(KILLS):
                victim = int(writer.stdout.readline())
                time.sleep(rng.uniform(0.0, 0.03))  # not a wait: where in the writing it dies, by lot
                os.kill(victim, signal.SIGKILL)
                served = registry.served("video_object", project=3)
                digest = hashlib.sha256(served.weights.read_bytes()).hexdigest()
                assert served.version == f"video_object-{digest[:8]}", f"kill {number}, seed {SEED}"
                assert all(v.card for v in registry.versions("video_object") if not v.is_shipped)
                changes += served.version != before
                before = served.version
        finally:
            writer.kill()
    assert changes > KILLS / 4, "killed too early to mean anything"
