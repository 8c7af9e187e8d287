"""Masks on some frames -> masks on every frame: forward, backward, fused in between, streamed.

An object that is given on several frames is carried from each of them; between two of its given frames the
forward and the backward pass are mixed. Frames are yielded once both passes are through them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from backends.core.errors import SetupFault
from backends.core.types import Clip, FrameMasks, Prompt
from backends.video_object.confidence import SIGNALS, Calibration, certainty
from backends.video_object.fusion import Fused, Waiting, fuse
from backends.video_object.geometry import SHORT_SIDE, Geometry
from backends.video_object.memory import Given, rows_of_anchors
from backends.video_object.network import Engine, Network, NetworkConfig
from backends.video_object.template import Rows
from backends.video_object.walk import Seen, Walk

log = logging.getLogger(__name__)


def load(
    weights: Path,
    *,
    device: str = "cpu",
    threads: int = 0,
    version: str = "",
    engine: str = "auto",
    graphs: Path | None = None,
) -> VideoObjectSegmenter:
    """Read safetensors weights. Raises SetupFault when they are missing, broken or of another algorithm.

    ``engine``: on a CPU, "onnx" carries clips by graphs that are kept in the folder ``graphs``, "int8" by
    graphs with their trunk in eight bits (for weights with ranges beside them), and both raise SetupFault
    where that cannot be; "torch" carries them by the network itself, "auto" by graphs where they work.
    """
    network, calibration = _read(weights)
    if threads:
        torch.set_num_threads(threads)
    segmenter = VideoObjectSegmenter(network, version or weights.stem, device, calibration=calibration)
    if engine != "torch" and segmenter.device.type == "cpu" and graphs is not None:
        try:
            segmenter.engine = _exported(segmenter.network, weights, graphs, threads, engine)
        except SetupFault as error:  # an annotator is never left without masks
            if engine != "auto":
                raise
            log.warning("the network is computed by torch, which takes longer: %s", error)
    return segmenter


def _read(weights: Path) -> tuple[Network, Calibration]:
    try:
        with safe_open(weights, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {k: file.get_tensor(k).float() for k in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError) as error:
        raise SetupFault(f"weights {weights} cannot be read: {error}") from error
    if metadata.get("algorithm") != "video_object":
        raise SetupFault(f"weights {weights} are of {metadata.get('algorithm')!r}, not of 'video_object'")
    try:
        network = Network(NetworkConfig(**json.loads(metadata["network"])))
        network.load_state_dict(state)
    except (TypeError, RuntimeError) as error:
        raise SetupFault(
            f"weights {weights} are of another version of the network; train them anew"
        ) from error
    return network, Calibration.read(metadata.get("confidence"))


def _exported(network: Network, weights: Path, graphs: Path, threads: int, engine: str) -> Engine:
    try:
        from backends.video_object.graph import open_engine
        from backends.video_object.int8 import ranges_for

        ranges = ranges_for(weights) if engine == "int8" else None
        if engine == "int8" and ranges is None:
            raise SetupFault(f"no ranges for {weights}: measure them with `maskloop quantise`")
        return open_engine(network, weights, graphs, threads, ranges)
    except SetupFault:
        raise
    except Exception as error:  # of the exporter, of the disk, of a package that is not there
        raise SetupFault(f"no graphs could be made of {weights}: {error}") from error


class VideoObjectSegmenter:
    """Weights only; everything of one clip lives in the generator that ``segment`` returns."""

    def __init__(
        self,
        network: Network,
        version: str,
        device: str = "cpu",
        short_side: tuple[int, int] = SHORT_SIDE,
        calibration: Calibration | None = None,
    ):
        self.version = version
        self.device = torch.device(device)
        self.short_side = short_side
        self.network = network.eval().to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.engine: Engine = self.network
        self.calibration = calibration or Calibration()

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """Yield every frame once. Prompts are MaskPrompts and are checked before the first frame."""
        given = Given.of(clip, prompts)
        geometry = Geometry.of(clip.size_hw, self.short_side)
        return _ClipRun(self.engine, self.calibration, clip, given, geometry, self.device).frames()


class _ClipRun:
    """One clip: a backward pass that waits, a forward pass, and what both say together."""

    def __init__(
        self,
        engine: Engine,
        calibration: Calibration,
        clip: Clip,
        given: Given,
        geometry: Geometry,
        device: torch.device,
    ):
        self.engine, self.calibration, self.clip, self.given = engine, calibration, clip, given
        self.geometry, self.device = geometry, device

    def frames(self) -> Iterator[FrameMasks]:
        given, last = self.given, len(self.clip) - 1
        rows = self._rows()
        waiting: dict[int, Waiting] = {}
        for seen in self._walk(rows).frames(range(given.last, -1, -1)):
            if seen.frame < given.first:
                yield self._answer(seen, Fused(seen.probabilities, seen.live, seen.signals))
            else:
                waiting[seen.frame] = Waiting.of(seen)
        for seen in self._walk(rows).frames(range(given.first, last + 1)):
            yield self._answer(seen, fuse(seen, waiting.pop(seen.frame, None), given, self.device))

    @torch.inference_mode()
    def _rows(self) -> Rows:
        return rows_of_anchors(self.engine, self.clip, self.given, self.geometry, self.device)

    def _walk(self, rows: Rows) -> Walk:
        return Walk(self.engine, self.clip, self.given, self.geometry, rows, self.device)

    @torch.inference_mode()
    def _answer(self, seen: Seen, fused: Fused) -> FrameMasks:
        anchors = self.given.anchors_on(seen.frame)
        labels = self.geometry.labels(_slot_logits(fused.probabilities))
        masks, confidence, signals = {}, {}, {}
        for slot, name in enumerate(self.given.objects):
            if name in anchors:
                masks[name], confidence[name] = anchors[name], 1.0
            elif fused.live[slot]:
                mask = labels == slot + 1
                for anchored in anchors.values():
                    mask &= ~anchored
                masks[name], signals[name] = mask, self._signals(slot, seen.frame, fused)
                confidence[name] = self.calibration.of(signals[name])
        state = seen.state
        soft = {name: state[slot] for slot, name in enumerate(self.given.objects) if seen.live[slot]}
        return FrameMasks(seen.frame, masks, confidence, frozenset(anchors), soft, signals)

    def _signals(self, slot: int, frame: int, fused: Fused) -> dict[str, float]:
        """All signals of one cell; masks that came from elsewhere have no more than their certainty."""
        away = self.given.nearest(slot, frame)
        signals = dict.fromkeys(SIGNALS, 0.0) | {"steady": 1.0, "familiar": 1.0}
        signals["distance"] = away / (away + 20.0)
        known = fused.signals.get(slot) or {"certainty": certainty(fused.probabilities[slot])}
        return signals | dict(known)


def _slot_logits(probabilities: Tensor) -> Tensor:
    """(K, ...) -> (K+1, ...) logits relative to the background, the inverse of the aggregation's softmax."""
    clipped = probabilities.clamp(1e-5, 1 - 1e-5)
    background = (1 - clipped.sum(0, keepdim=True)).clamp_min(1e-5)
    return torch.cat((torch.zeros_like(background), clipped.log() - background.log()))
