"""The trunk in eight bits: activation ranges measured once on real frames, kept as JSON beside the weights.

The graph itself is built where it is used, from the weights and the ranges, without data. Embedding and neck
stay in 32 bits: unit vectors are compared by their last digits.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from backends.core.errors import BadInput
from backends.video_object.export import export_encode
from backends.video_object.network import Network

RANGES = "int8.json"


def measure_ranges(network: Network, weights: Path, frames: Iterable[Tensor], out: Path) -> None:
    """Run the encoder over ``frames`` (1, 3, H, W) and write each tensor's smallest and largest value.

    ``network`` has the weights in the file ``weights``; the ranges are good for these alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        cache, graph = Path(folder) / "cache.json", Path(folder) / "encode.onnx"
        export_encode(network, graph)
        _quantise(graph, Path(folder) / "int8.onnx", cache, _Reader(iter(frames)))
        report = {"weights_sha256": _digest(weights), "ranges": json.loads(cache.read_text())}
    out.write_text(json.dumps(report, allow_nan=False))


def ranges_for(weights: Path) -> Path | None:
    """The file with ranges beside ``weights``, where there is one that belongs to them."""
    path = weights.with_name(RANGES)
    try:
        return path if json.loads(path.read_text())["weights_sha256"] == _digest(weights) else None
    except (OSError, ValueError, KeyError):
        return None


def export_int8(network: Network, ranges: Path, out: Path) -> None:
    """Write the graph of ``Network.encode`` with its trunk in eight bits."""
    with tempfile.TemporaryDirectory() as folder:
        cache, graph = Path(folder) / "cache.json", Path(folder) / "encode.onnx"
        cache.write_text(json.dumps(json.loads(ranges.read_text())["ranges"]))
        export_encode(network, graph)
        _quantise(graph, out, cache, None)


class _Reader:
    """What the quantiser asks for one input after the other."""

    def __init__(self, frames: Iterator[Tensor]):
        self.frames = frames

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next frame, None after the last."""
        frame = next(self.frames, None)
        return None if frame is None else {"rgb": frame.contiguous().numpy()}

    def __len__(self) -> int:
        raise TypeError("frames come one by one")


def _quantise(graph: Path, out: Path, cache: Path, reader: _Reader | None) -> None:
    """Per channel, unsigned activations and signed weights; ``cache`` is read, or written if missing."""
    import onnx

    nodes = [node.name for node in onnx.load(str(graph)).graph.node if "trunk/" in node.name]
    if not nodes:
        raise BadInput("the graph has no trunk to quantise")
    advice = logging.getLogger()
    advice.addFilter(_is_no_advice)
    try:
        _quantise_nodes(graph, out, cache, reader, nodes)
    finally:
        advice.removeFilter(_is_no_advice)


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing before quantization" not in record.getMessage()


def _quantise_nodes(graph: Path, out: Path, cache: Path, reader: _Reader | None, nodes: list[str]) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        str(graph),
        str(out),
        reader,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Add", "Clip", "Relu", "Pad"],
        nodes_to_quantize=nodes,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibration_cache_path=cache,
    )


def _digest(weights: Path) -> str:
    return hashlib.sha256(weights.read_bytes()).hexdigest()
