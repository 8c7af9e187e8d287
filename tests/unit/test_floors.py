"""The floors of the house, read from the source: who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path for top in ("backends", "pipelines") for path in (ROOT / top).rglob("*.py"))
ROOMS = {"labelstudio", "video_object", "video_semantic", "weak_shot", "clicks", "console"}
SHARED = {"core", "trunks", "engines", "training"}  # what every room may stand on
TORCH_ROOMS = {"video_object", "video_semantic", "weak_shot", "clicks", "trunks", "training"}
OUTSIDE_OF_CORE = {"torch", "redis", "rq", "flask", "label_studio_sdk", "requests", "sqlite3", "waitress"}


def imported(source: str, package: str) -> Iterator[str]:
    """Every dotted name that the source imports, relative imports resolved against its package."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            stem = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def breach(module: str, name: str) -> str | None:
    """Why ``module`` may not import ``name``, or None where it may."""
    mine, theirs = module.split("."), name.split(".")
    room = mine[1] if mine[0] == "backends" and len(mine) > 1 else ""
    if mine[0] == "backends" and theirs[0] == "pipelines":
        return "backends never imports pipelines"
    if room in {"trunks", "engines"} and theirs[0] == "backends" and theirs[1:2] not in (["core"], [room]):
        return f"{room} stand on core only; they reach for {name}"
    if room == "training" and theirs[0] == "backends" and theirs[1] not in {"core", "trunks", room}:
        return f"training stands on core and trunks; it reaches for {name}"
    if room in ROOMS and theirs[0] == "backends" and theirs[1] not in {*SHARED, room}:
        return f"a room imports {', '.join(sorted(SHARED))} only; {room} reaches for {name}"
    if room == "core" and theirs[0] in OUTSIDE_OF_CORE:
        return f"core is the ground floor; it knows no {theirs[0]}"
    if room == "core" and theirs[0] == "backends" and theirs[1:2] != ["core"]:
        return f"core imports nothing above it; it reaches for {name}"
    opens_a_room = theirs[0] == "backends" and bool(set(theirs[1:2]) & (TORCH_ROOMS - {"clicks"}))
    if mine[0] == "backends" and opens_a_room and room not in {*TORCH_ROOMS, "catalogue"}:
        return f"only the catalogue opens an algorithm's room; {module} reaches for {name}"
    if mine[0] == "backends" and room not in TORCH_ROOMS and theirs[0] in {"torch", "safetensors"}:
        return f"{module} answers Label Studio and knows no {theirs[0]}"
    return None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_stay_on_their_floor(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = [why for name in imported(path.read_text(), package) if (why := breach(module, name))]
    assert not found, f"{module}: {found}"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("backends.server", "import pipelines.jobs"),
        ("backends.clicks.grabcut", "from backends.labelstudio import rle"),
        ("backends.labelstudio.client", "from ..video_object.network import Net"),
        ("backends.labelstudio.rle", "import torch.nn"),
        ("backends.training.loop", "from backends.clicks import training"),
        ("backends.engines.onnx", "import torch"),
        ("backends.engines.onnx", "from backends.trunks import mobilenet_v2"),
        ("backends.server", "from backends.video_object import network"),
        ("backends.core.masks", "from redis import Redis"),
        ("backends.core.masks", "from backends import settings"),
        ("backends.server", "def f():\n    from torch import nn"),
    ],
)
def test_a_breach_is_seen(module: str, source: str) -> None:
    names = list(imported(source, module.rpartition(".")[0]))
    assert any(breach(module, name) for name in names), names
