"""Masks on some frames -> masks on every frame: forward, backward, fused in between, streamed.

An object that is given on several frames is carried from each of them; between two of its given frames the
forward and the backward pass are mixed by distance. Frames are yielded once both passes are through them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from backends.core.errors import SetupFault
from backends.core.types import Clip, FrameMasks, MaskPrompt, Prompt
from backends.video_object.geometry import SHORT_SIDE, Geometry
from backends.video_object.memory import Given, build_template
from backends.video_object.network import Encoding, Network, NetworkConfig, Template, aggregate

SLOTS_AT_ONCE = 8  # objects decoded together; bounds memory, not results


def load(weights: Path, *, device: str = "cpu", threads: int = 0, version: str = "") -> VideoObjectSegmenter:
    """Read safetensors weights. Raises SetupFault when they are missing, broken or of another algorithm."""
    try:
        with safe_open(weights, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {k: file.get_tensor(k).float() for k in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError) as error:
        raise SetupFault(f"weights {weights} cannot be read: {error}") from error
    if metadata.get("algorithm") != "video_object":
        raise SetupFault(f"weights {weights} are of {metadata.get('algorithm')!r}, not of 'video_object'")
    network = Network(NetworkConfig(**json.loads(metadata["network"])))
    network.load_state_dict(state)
    if threads:
        torch.set_num_threads(threads)
    return VideoObjectSegmenter(network, version or weights.stem, device)


@dataclass(frozen=True)
class _Seen:
    """One frame of one pass."""

    frame: int
    probabilities: Tensor  # (K, 4h, 4w)
    live: tuple[bool, ...]  # per object slot: carried or given in this pass

    @property
    def state(self) -> NDArray[np.uint8]:
        """(K, 4h, 4w): what this pass hands to the next frame."""
        return _bytes(self.probabilities)


@dataclass(frozen=True)
class _State:
    """Where a pass stands: what the next frame needs of the last one."""

    live: list[bool]
    masks: Tensor  # (K, 4h, 4w) probabilities
    frame: int = -1
    encoding: Encoding | None = None  # of that frame, where it was needed


class VideoObjectSegmenter:
    """Weights only; everything of one clip lives in the generator that ``segment`` returns."""

    def __init__(
        self, network: Network, version: str, device: str = "cpu", short_side: tuple[int, int] = SHORT_SIDE
    ):
        self.version = version
        self.device = torch.device(device)
        self.short_side = short_side
        self.network = network.eval().to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """Yield every frame once. Prompts are MaskPrompts and are checked before the first frame."""
        given = Given.of(clip, prompts)
        return _ClipRun(
            self.network, clip, given, Geometry.of(clip.size_hw, self.short_side), self.device
        ).frames()


class _ClipRun:
    """The state of one clip: template, the backward pass that waits to be fused."""

    def __init__(self, network: Network, clip: Clip, given: Given, geometry: Geometry, device: torch.device):
        self.network, self.clip, self.given = network, clip, given
        self.geometry, self.device = geometry, device

    def frames(self) -> Iterator[FrameMasks]:
        given, last = self.given, len(self.clip) - 1
        template = self._template()
        waiting: dict[int, NDArray[np.uint8]] = {}
        for seen in self._walk(template, range(given.last, -1, -1)):
            if seen.frame < given.first:
                yield self._answer(seen, seen.probabilities, seen.live)
            else:  # 26 kB per object and 480p frame until the forward pass comes by
                waiting[seen.frame] = _bytes(seen.probabilities)
        for seen in self._walk(template, range(given.first, last + 1)):
            yield self._answer(seen, *self._fuse(seen, waiting.pop(seen.frame, None)))

    @torch.inference_mode()
    def _template(self) -> Template:
        return build_template(self.network, self.clip, self.given, self.geometry, self.device)

    def _walk(self, template: Template, order: range) -> Iterator[_Seen]:
        """One pass over ``order``; objects join at their first given frame, restart at each further one."""
        if order.step < 0 and self.given.last == 0:
            return  # nothing lies before frame 0
        state = _State(
            live=[False] * len(self.given.objects),
            masks=torch.zeros(self._state_shape(), device=self.device),
        )
        for frame in order:
            state = self._step(template, frame, state)
            yield _Seen(frame, state.masks, tuple(state.live))

    def _state_shape(self) -> tuple[int, int, int]:
        height, width = self.geometry.grid_hw
        return len(self.given.objects), 4 * height, 4 * width

    @torch.inference_mode()
    def _step(self, template: Template, frame: int, last: _State) -> _State:
        """One frame further. Frames on which every object is given cost nothing, not even an encoding."""
        fixed = self.given.by_frame.get(frame, {})
        live, masks, now = list(last.live), torch.zeros_like(last.masks), None
        if any(on and slot not in fixed for slot, on in enumerate(live)):
            before = last.encoding or self._encode(last.frame)
            now = self._encode(frame)
            masks = self._decode(now, template, before, last.masks, live)
        masks = self._fix(masks, fixed, live)
        # whole 1/255ths, so that a state that was stored goes on exactly like one that was not
        return _State(live, (masks * 255).round() / 255, frame, now)

    def _fix(self, masks: Tensor, fixed: dict[int, MaskPrompt], live: list[bool]) -> Tensor:
        """Put given masks, then states to go on from, in place of what the network says."""
        for slot, prompt in fixed.items():
            live[slot] = True
            if prompt.soft is None:
                mask = self.geometry.soft_mask(prompt.mask, self.device)
                masks = masks * (1 - mask)
                masks[slot] = mask
        for slot, prompt in fixed.items():
            if prompt.soft is not None:
                masks[slot] = torch.from_numpy(prompt.soft).to(self.device).float() / 255
        return masks

    def _encode(self, frame: int) -> Encoding:
        return self.network.encode(self.geometry.image(self.clip.frames[frame], self.device))

    def _decode(
        self, now: Encoding, template: Template, before: Encoding, previous: Tensor, live: list[bool]
    ) -> Tensor:
        """Probabilities (K, 4h, 4w); objects that are not live stay at 0."""
        slots = [k for k, on in enumerate(live) if on]
        logits = []
        for start in range(0, len(slots), SLOTS_AT_ONCE):
            chosen = slots[start : start + SLOTS_AT_ONCE]
            part = Template(template.rows, template.isometric, template.masks[:, chosen])
            logits.append(self.network.decode(now, part, before, previous[None, chosen]))
        probabilities = aggregate(torch.cat(logits, 1)).softmax(1)[0, 1:]
        out = torch.zeros_like(previous)
        out[slots] = probabilities.to(out.dtype)
        return out

    def _fuse(self, seen: _Seen, backward: NDArray[np.uint8] | None) -> tuple[Tensor, tuple[bool, ...]]:
        """Mix both passes per object by the distance to the given frames on either side."""
        if backward is None:
            return seen.probabilities, seen.live
        later = torch.from_numpy(backward).to(self.device).float() / 255
        mixed, live = seen.probabilities.clone(), list(seen.live)
        for slot in range(len(live)):
            frames = self.given.frames_of(slot)
            behind = [t for t in frames if t <= seen.frame]
            ahead = [t for t in frames if t >= seen.frame]
            if not ahead:
                continue
            if not behind:
                mixed[slot], live[slot] = later[slot], True
                continue
            gap = ahead[0] - behind[-1]
            share = (seen.frame - behind[-1]) / gap if gap else 0.0
            mixed[slot] = (1 - share) * seen.probabilities[slot] + share * later[slot]
        return mixed, tuple(live)

    @torch.inference_mode()
    def _answer(self, seen: _Seen, probabilities: Tensor, live: tuple[bool, ...]) -> FrameMasks:
        anchors = self.given.anchors_on(seen.frame)
        labels = self.geometry.labels(_slot_logits(probabilities))
        masks, confidence = {}, {}
        for slot, name in enumerate(self.given.objects):
            if name in anchors:
                masks[name], confidence[name] = anchors[name], 1.0
            elif live[slot]:
                mask = labels == slot + 1
                for anchored in anchors.values():
                    mask &= ~anchored
                masks[name], confidence[name] = mask, _certainty(probabilities[slot])
        state = seen.state
        soft = {name: state[slot] for slot, name in enumerate(self.given.objects) if seen.live[slot]}
        return FrameMasks(seen.frame, masks, confidence, frozenset(anchors), soft)


def _bytes(probabilities: Tensor) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = (probabilities * 255).round().to(torch.uint8).cpu().numpy()
    return found


def _slot_logits(probabilities: Tensor) -> Tensor:
    """(K, ...) -> (K+1, ...) logits relative to the background, the inverse of the aggregation's softmax."""
    clipped = probabilities.clamp(1e-5, 1 - 1e-5)
    background = (1 - clipped.sum(0, keepdim=True)).clamp_min(1e-5)
    return torch.cat((torch.zeros_like(background), clipped.log() - background.log()))


def _certainty(probability: Tensor) -> float:
    """Mean probability inside the mask; for an empty mask, how sure it is that nothing is there."""
    inside = probability > 0.5
    value = probability[inside].mean() if bool(inside.any()) else 1 - probability.max()
    return float(value)
