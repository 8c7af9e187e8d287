"""The network as ONNX Runtime computes it: the engine that carries clips on a CPU.

The graphs are made of the weights at the first start and kept on disk (``backends.engines.onnx``). Tensors go
in and out without being copied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from backends.engines.onnx import cached_graph, open_session
from backends.video_object.centres import Prior
from backends.video_object.export import export_decode, export_encode, export_trunk, inputs_of, outputs_of
from backends.video_object.grouped import Grouped, Layout
from backends.video_object.int8 import export_int8
from backends.video_object.network import Decoded, Encoding, Grid, Network, NetworkConfig
from backends.video_object.template import Template

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_HERE = Path(__file__).parent
_MADE_FROM = (
    *(
        _HERE / f"{name}.py"
        for name in ("network", "decoder", "matching", "centres", "template", "grouped", "export", "int8")
    ),
    *sorted((_HERE.parent / "trunks").glob("*.py")),
)  # a change here makes other graphs


def open_engine(
    network: Network, weights: Path, folder: Path, threads: int, ranges: Path | None = None
) -> ExportedEngine:
    """Graphs of ``network``, whose weights came from ``weights``, in ``folder``; made where they are missing.

    With ``ranges`` (``int8.measure_ranges``) the trunk is computed in eight bits. Raises SetupFault where
    ONNX Runtime is missing or cannot use the graphs, and whatever the export raises.
    """
    name = fingerprint(weights)
    if ranges is None:
        encode = cached_graph(folder, f"video_object-encode-{name}.onnx", partial(export_encode, network))
    else:
        digest = hashlib.sha256(ranges.read_bytes()).hexdigest()[:8]
        build = partial(export_int8, network, ranges)
        encode = cached_graph(folder, f"video_object-int8-{name}-{digest}.onnx", build)
    decode = cached_graph(folder, f"video_object-decode-{name}.onnx", partial(export_decode, network))
    return ExportedEngine(network.config, open_session(encode, threads), open_session(decode, threads))


def open_trunk(network: Network, weights: Path, folder: Path, threads: int) -> Callable[[Tensor], Tensor]:
    """The bare trunk of ``network`` as ONNX Runtime computes it. Raises like :func:`open_engine`."""
    path = folder / f"video_object-trunk-{fingerprint(weights)}.onnx"
    session = open_session(cached_graph(folder, path.name, partial(export_trunk, network)), threads)
    return lambda rgb: _run(session, {"rgb": rgb})[0]


def fingerprint(weights: Path) -> str:
    """12 hex characters that change with the weights and with the code that makes graphs of them."""
    found = hashlib.sha256(weights.read_bytes())
    for source in _MADE_FROM:
        found.update(source.read_bytes())
    return found.hexdigest()[:12]


class ExportedEngine:
    """The two graphs of one network; an ``Engine`` for one clip at a time per thread, batch 1, on the CPU."""

    def __init__(self, config: NetworkConfig, encode: InferenceSession, decode: InferenceSession):
        self.config = config
        self._encode, self._decode = encode, decode
        self._inputs, self._outputs = inputs_of(config), outputs_of(config)
        self._grid: tuple[tuple[int, int], Grid | Layout] | None = None
        self._template: tuple[Template, Grouped] | None = None

    def encode(self, rgb: Tensor) -> Encoding:
        """See ``Network.encode``."""
        embedded, *near = _run(self._encode, {"rgb": rgb})
        return Encoding((near[0].shape[2], near[0].shape[3]), embedded, *near)

    def decode(
        self,
        now: Encoding,
        template: Template,
        before: Encoding,
        previous: Tensor,
        prior: Prior | None = None,
    ) -> Decoded:
        """See ``Network.decode``; the heat of centres, which serves training only, is left out."""
        expected = prior or _nothing_expected(previous)
        given = {f"now_{k}": getattr(now, k) for k in ("embedded", "near16", "near8", "near4")}
        given |= {"before": before.embedded, "previous": previous}
        for part in (self._template_of(template), self._grid_of(now.grid_hw), expected):
            given |= vars(part)
        found = _run(self._decode, {name: given[name] for name in self._inputs})
        return Decoded(**dict(zip(self._outputs, found, strict=True)))

    def _grid_of(self, grid_hw: tuple[int, int]) -> Grid | Layout:
        known = self._grid
        if known is None or known[0] != grid_hw:
            radius = self.config.lc_radius
            full = self.config.lc == "full"
            grid = Grid.of(grid_hw, radius, torch.device("cpu")) if full else Layout.of(grid_hw, radius)
            self._grid = known = grid_hw, grid
        return known[1]

    def _template_of(self, template: Template) -> Template | Grouped:
        """In groups, as long as it is the same one."""
        if self.config.lc == "full":
            return template
        known = self._template
        if known is None or known[0] is not template:
            self._template = known = template, Grouped.of(template)
        return known[1]


def _nothing_expected(previous: Tensor) -> Prior:
    slots = previous.shape[1]
    return Prior(torch.zeros(1, slots, 2), torch.ones(1, slots), torch.zeros(1, slots))


def _run(session: InferenceSession, given: Mapping[str, Tensor]) -> list[Tensor]:
    feed = {name: tensor.contiguous().numpy() for name, tensor in given.items()}
    return [torch.from_numpy(array) for array in session.run(None, feed)]
