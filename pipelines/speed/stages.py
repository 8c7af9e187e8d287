"""What is timed of one engine: the bare trunk, the network, a whole frame as an annotator waits for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from backends.video_object import centres
from backends.video_object.geometry import Geometry
from backends.video_object.network import aggregate
from backends.video_object.segmenter import VideoObjectSegmenter, load
from backends.video_object.template import condense
from pipelines.speed.plan import Plan, Scene
from pipelines.speed.rounds import Candidate

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Engine:
    """One engine on so many threads."""

    name: str
    threads: int
    segmenter: VideoObjectSegmenter
    trunk: Callable[[Tensor], object]

    @property
    def label(self) -> dict[str, object]:
        """For the report's rows."""
        return {"engine": self.name, "threads": self.threads}

    def candidate(self, lap: Callable[[], object]) -> Candidate:
        """Timed on this engine's threads."""
        return Candidate(lap, prepare=partial(torch.set_num_threads, self.threads))


def open_engines(weights: Path, graphs: Path, threads: list[int]) -> list[Engine]:
    """torch and ONNX Runtime, each on each number of threads. Raises SetupFault when either cannot run."""
    from backends.video_object.graph import open_trunk

    engines = []
    for count in threads:
        for name in ("onnx", "torch"):
            segmenter = load(weights, threads=count, engine=name, graphs=graphs)
            network = segmenter.network
            exported = name == "onnx"
            trunk = open_trunk(network, weights, graphs, count) if exported else _torch_trunk(segmenter)
            engines.append(Engine(name, count, segmenter, trunk))
    return engines


def _torch_trunk(segmenter: VideoObjectSegmenter) -> Callable[[Tensor], object]:
    return torch.inference_mode()(lambda rgb: segmenter.network.trunk(rgb)[16])


def trunk_stage(engine: Engine, plan: Plan) -> Candidate:
    """The bare trunk, from a float picture to its map at stride 16."""
    _, image = _picture(engine, Scene(plan.frame_hw, 1))
    return engine.candidate(lambda: engine.trunk(image))


def network_stage(engine: Engine, scene: Scene) -> Candidate:
    """Encode one frame, decode its objects, aggregate: nothing before, nothing after."""
    geometry, image = _picture(engine, scene)
    segmenter, device = engine.segmenter, torch.device("cpu")
    masks = [geometry.soft_mask(prompt.mask, device) for prompt in scene.prompts()]
    previous = torch.stack(masks)[None]
    with torch.inference_mode():
        before = segmenter.engine.encode(image)
        cells = F.avg_pool2d(previous, 4).flatten(2)
        template = segmenter.network.template(*condense(before.embedded, cells, before.grid_hw))
        expected = centres.prior_of(previous, 4)

    @torch.inference_mode()
    def lap() -> Tensor:
        now = segmenter.engine.encode(image)
        decoded = segmenter.engine.decode(now, template, before, previous, expected)
        return aggregate(decoded.logits).softmax(1)

    return engine.candidate(lap)


def frame_stage(engine: Engine, scene: Scene, plan: Plan) -> Candidate:
    """The next frame of a clip: from its pixels to masks at its size, confidence and signals."""
    n_frames = plan.warm_up + plan.rounds * plan.laps + 2
    segmenter = engine.segmenter
    masks = segmenter.segment(scene.clip(n_frames), scene.prompts())
    first = next(masks)  # the one with the given masks costs nothing like the others
    assert first.anchors
    return engine.candidate(lambda: next(masks))


def _picture(engine: Engine, scene: Scene) -> tuple[Geometry, Tensor]:
    geometry = Geometry.of(scene.frame_hw, engine.segmenter.short_side)
    return geometry, geometry.image(scene.clip(1).frames[0], torch.device("cpu"))
