"""Scores a whole-scene network: mean IoU on labelled frames, and whether its answers hold still.

The network is run twice over every piece of footage, as it is and with no cell looking back (rho 0), which is
its single-frame network with the same weights. The motion between frames is worked out once and shared by
both, and by the true labels, whose consistency says what the measure itself can reach.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from backends.core.confusion import Confusion
from backends.core.types import Image
from backends.video_semantic.consistency import Consistency, Motion, motion
from backends.video_semantic.networks import SceneNetwork
from backends.video_semantic.scenes import Footage, Labels, Scenes
from backends.video_semantic.stream import Scene, Stream
from backends.video_semantic.switches import Switched
from pipelines.progress import Track, quiet

SLOWEST_HZ = 5.0
"""Below that, neighbours have too little in common to be compared, or to be looked back at."""

Push = Callable[[torch.Tensor], torch.Tensor]


@dataclass
class Tally:
    """What one way of answering has scored so far."""

    n_classes: int
    laps_ms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.truth = Confusion(self.n_classes)
        self.steady = Consistency(self.n_classes)
        self.before: Labels | None = None

    def answer(self, push: Push, rgb: torch.Tensor) -> Labels:
        """The label map that ``push`` gives for a frame, timed with its argmax and no reading of files."""
        _wait(rgb.device)
        started = time.perf_counter()
        labels = push(rgb)[0].argmax(0).to(torch.uint8)
        found: Labels = labels.cpu().numpy()
        self.laps_ms.append(1000 * (time.perf_counter() - started))
        return found

    def follow(self, labels: Labels, moved: Motion | None) -> None:
        """Compare with the frame before, which ``moved`` leads on from; None: there is none."""
        if moved is not None and self.before is not None:
            self.steady.add_moved(moved, self.before, labels)
        self.before = labels


def evaluate_video_semantic(
    network: SceneNetwork, scenes: Scenes, *, device: str = "cpu", progress: Track = quiet
) -> dict[str, Any]:
    """``miou``, ``temporal_consistency``, ``temporal_consistency_occ`` (0..100) and ``ms_per_frame``.

    ``single_frame`` holds the same at rho 0, ``truth`` the consistency of the labels, ``per_class`` the
    figures by name; null where nothing could be counted. Raises BadMedia and BadMask like Scenes.
    """
    network = network.eval().to(device)
    looks_back = network.temporal is not None and bool(network.temporal.rho)
    ways: dict[str, Scene] = {"single": Switched(network)} | ({"video": network} if looks_back else {})
    found = evaluate_ways(ways, scenes, device=device, progress=progress)
    return {
        **found["ways"]["video" if looks_back else "single"],
        "looks_back": looks_back,
        "single_frame": found["ways"]["single"],
        **{name: value for name, value in found.items() if name != "ways"},
    }


@torch.inference_mode()
def evaluate_ways(
    ways: Mapping[str, Scene], scenes: Scenes, *, device: str = "cpu", progress: Track = quiet
) -> dict[str, Any]:
    """Several ways of answering in one pass, frame by frame in turn; motion and truth are worked out once.

    Under ``ways`` stand the figures of each by its name, the rest is what evaluate_video_semantic says of the
    footage. The ways are on ``device`` and ready to answer. Raises BadMedia and BadMask like Scenes.
    """
    n = len(scenes.classes)
    tallies, truth = {name: Tally(n) for name in ways}, Tally(n)
    for number in range(len(scenes.footage)):
        _footage(ways, scenes, number, tallies, truth, device, progress)
    return {
        "ways": {name: _figures(tally, scenes.classes) for name, tally in tallies.items()},
        "truth": {k: v for k, v in _figures(truth, scenes.classes).items() if k.startswith("temporal")},
        "frames": sum(len(part.frames) for part in scenes.footage),
        "labelled_frames": len(scenes.labelled()),
        "pairs": max((tally.steady.pairs for tally in tallies.values()), default=0),
        "threads": torch.get_num_threads(),
        "device": device,
    }


def table(report: dict[str, Any]) -> str:
    """The report as lines for people: one per class, then both ways of answering."""
    width = max(len(name) for name in (*report["per_class"], "single frame"))
    lines = [f"{'':<{width}}  {'IoU':>5}  {'TC':>5}  {'TC occ':>6}  {'ms/frame':>8}"]
    for name, part in report["per_class"].items():
        lines.append(f"{name:<{width}}  {_row(part, 'iou')}")
    for name, part in (("single frame", report["single_frame"]), ("all classes", report)):
        lines.append(f"{name:<{width}}  {_row(part, 'miou')}  {part['ms_per_frame']:8.1f}")
    lines.append(f"{'true labels':<{width}}  {_row({**report['truth'], 'miou': None}, 'miou')}")
    return "\n".join(lines)


def _footage(
    ways: Mapping[str, Scene],
    scenes: Scenes,
    number: int,
    tallies: Mapping[str, Tally],
    truth: Tally,
    device: str,
    progress: Track,
) -> None:
    part = scenes.footage[number]
    for tally in (*tallies.values(), truth):
        tally.before = None
    pushes = {name: _push(way, part) for name, way in ways.items()}
    frames = progress(_frames(scenes, number), total=len(part.frames), label=part.name)
    before: Image | None = None
    for index, image in frames:
        moved = _moved(part, before, image)
        before = image
        rgb = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].to(device).float() / 255
        known = scenes.labels(number, index) if index in part.labels else None
        for name, tally in tallies.items():
            found = tally.answer(pushes[name], rgb)
            tally.follow(found, moved)
            if known is not None:
                tally.truth.add(known, found)
        _follow_truth(truth, known, moved)


def _frames(scenes: Scenes, number: int) -> Iterator[tuple[int, Image]]:
    for index in range(len(scenes.footage[number].frames)):
        yield index, scenes.image(number, index)


def _push(way: Scene, part: Footage) -> Push:
    """Answers the footage's frames one by one; frames too far apart in time know of no past."""
    if way.temporal is None or not way.temporal.rho:
        return lambda rgb: way.decode(way.encode(rgb), (rgb.shape[-2], rgb.shape[-1]))
    stream = Stream(way)

    def push(rgb: torch.Tensor) -> torch.Tensor:
        if part.rate_hz < SLOWEST_HZ:
            stream.reset()
        return stream.push(rgb)

    return push


def _moved(part: Footage, before: Image | None, image: Image) -> Motion | None:
    if before is None or part.rate_hz < SLOWEST_HZ or before.shape != image.shape:
        return None
    return motion(before, image)


def _follow_truth(truth: Tally, known: Labels | None, moved: Motion | None) -> None:
    if known is None:
        truth.before = None
    else:
        truth.follow(known, moved)


def _figures(tally: Tally, classes: tuple[str, ...]) -> dict[str, Any]:
    steady = tally.steady
    columns = (tally.truth.iou(), steady.per_class, steady.per_class_occ)
    keys = ("iou", "temporal_consistency", "temporal_consistency_occ")
    return {
        "miou": _percent(tally.truth.miou()),
        "temporal_consistency": _percent(steady.overall),
        "temporal_consistency_occ": _percent(steady.overall_occ),
        "ms_per_frame": round(statistics.median(tally.laps_ms), 3) if tally.laps_ms else 0.0,
        "per_class": {
            name: {key: _percent(float(column[c])) for key, column in zip(keys, columns, strict=True)}
            for c, name in enumerate(classes)
        },
    }


def _percent(share: float) -> float | None:
    return None if np.isnan(share) else round(100 * share, 3)


def _row(part: dict[str, Any], first: str) -> str:
    keys = ((first, 5), ("temporal_consistency", 5), ("temporal_consistency_occ", 6))
    return "  ".join(_text(part[key], width) for key, width in keys)


def _text(value: float | None, width: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.1f}"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
