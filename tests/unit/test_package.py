"""The wheel that the image installs holds every file that the code reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("backends", "pipelines", "labelstudio_config")


def test_wheel_holds_every_tracked_file_of_the_packages(tmp_path: Path) -> None:
    run = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = {name for name in run.stdout.split("\n") if name and (ROOT / name).is_file()}
    source = tmp_path / "source"
    for name in [*wanted, "pyproject.toml", "README.md", "LICENSE"]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    built = subprocess.run(
        [*command, "--wheel-dir", str(tmp_path), str(source)], capture_output=True, text=True, timeout=300
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert any(name.endswith(".html") for name in wanted)
    assert not wanted - held
    assert any(name.endswith("licenses/LICENSE") for name in held)
