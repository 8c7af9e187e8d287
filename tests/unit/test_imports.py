"""Every module imports, and importing does nothing heavy."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def modules() -> list[str]:
    paths = [
        path for top in ("backends", "pipelines", "labelstudio_config") for path in (ROOT / top).rglob("*.py")
    ]
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths
    }
    return sorted(name for name in names if not name.endswith("__main__"))


@pytest.mark.parametrize("name", modules())
def test_module_imports(name: str) -> None:
    importlib.import_module(name)


def loaded_after(statement: str) -> set[str]:
    """Top-level packages in a fresh interpreter after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


LIGHT = [
    "backends.server",
    "backends.wsgi",
    "backends.catalogue",
    "backends.registry",
    "backends.queues",
    "pipelines.cli",
]


@pytest.mark.parametrize("name", LIGHT)
def test_no_torch_at_import(name: str) -> None:
    assert "torch" not in loaded_after(f"import {name}")


def test_help_needs_none_of_the_big_libraries() -> None:
    heavy = {"torch", "cv2", "skimage", "av", "label_studio_sdk", "flask"}
    assert not heavy & loaded_after("import pipelines.cli")


def test_torch_would_be_noticed() -> None:
    assert "torch" in loaded_after("import sys, types; sys.modules['torch'] = types.ModuleType('torch')")
