"""Graphs on disk: made once however many ask, noticed when broken, refused in words."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from backends.core.errors import SetupFault
from backends.engines.onnx import cached_graph, open_session


def write_doubling(path: Path) -> None:
    """A graph y = x + x."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubling", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


def test_a_graph_is_made_once_and_computes(tmp_path: Path) -> None:
    calls: list[Path] = []

    def build(path: Path) -> None:
        calls.append(path)
        write_doubling(path)

    path = cached_graph(tmp_path / "new", "d.onnx", build)
    assert cached_graph(tmp_path / "new", "d.onnx", build) == path and len(calls) == 1
    [y] = open_session(path, 1).run(None, {"x": np.arange(3, dtype=np.float32)})
    assert y.tolist() == [0, 2, 4]
    kept = sorted(item.name for item in path.parent.iterdir())
    assert kept == [".d.onnx.lock", "d.onnx", "d.onnx.sha256"]


@pytest.mark.parametrize("damage", ["cut", "gone", "unsealed", "changed"])
def test_a_broken_graph_is_made_again(tmp_path: Path, damage: str) -> None:
    path = cached_graph(tmp_path, "d.onnx", write_doubling)
    good = path.read_bytes()
    if damage == "cut":
        path.write_bytes(good[:20])
    elif damage == "gone":
        path.unlink()
    elif damage == "unsealed":
        (tmp_path / "d.onnx.sha256").unlink()
    else:
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert cached_graph(tmp_path, "d.onnx", write_doubling).read_bytes() == good


def test_a_failed_build_leaves_nothing_and_can_be_tried_again(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise ValueError("no torch today")

    with pytest.raises(ValueError, match="no torch today"):
        cached_graph(tmp_path, "d.onnx", fail)
    assert [item.name for item in tmp_path.iterdir()] == [".d.onnx.lock"]
    assert cached_graph(tmp_path, "d.onnx", write_doubling).is_file()


def test_the_leavings_of_a_killed_build_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / ".d.onnx.building").mkdir()
    (tmp_path / ".d.onnx.building" / "d.onnx").write_bytes(b"half")
    cached_graph(tmp_path, "d.onnx", write_doubling)
    assert not (tmp_path / ".d.onnx.building").exists()


def test_threads_at_once_build_once(tmp_path: Path) -> None:
    built: list[int] = []
    together = threading.Barrier(4)

    def ask() -> None:
        together.wait()
        cached_graph(tmp_path, "d.onnx", build)

    def build(path: Path) -> None:
        built.append(1)
        write_doubling(path)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


PROCESS = """
import sys, time
from pathlib import Path
from backends.engines.onnx import cached_graph
folder = Path(sys.argv[1])
def build(path):
    with (folder / "calls").open("a") as calls:
        calls.write("built\\n")
    time.sleep(0.3)
    path.write_bytes(b"graph" * 1000)
assert cached_graph(folder, "g", build).stat().st_size == 5000
"""


def test_processes_at_once_build_once(tmp_path: Path) -> None:
    asking = [subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(60) for process in asking] == [0, 0, 0]
    assert (tmp_path / "calls").read_text() == "built\n"


def test_what_is_no_graph_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "d.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(SetupFault, match=r"d\.onnx cannot be opened as a graph"):
        open_session(path, 1)


def test_engines_need_no_torch() -> None:
    code = "import sys, backends.engines.onnx; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
