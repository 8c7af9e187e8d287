"""One pass over a clip's frames, forward or backward: what is handed from frame to frame, and one step of it.

The state is one soft mask per object, rounded to bytes, and what follows from the masks passed so far: the
expected centres and the frame that is remembered. So a pass goes on exactly from masks that were stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backends.core.types import Clip, MaskPrompt
from backends.video_object import centres, confidence
from backends.video_object.centres import Prior
from backends.video_object.geometry import Geometry
from backends.video_object.memory import Given, remembered
from backends.video_object.network import Decoded, Encoding, Engine, aggregate
from backends.video_object.template import Rows, Template

SLOTS_AT_ONCE = 8  # objects decoded together; bounds memory, not results
REMEMBER_EVERY = 5  # frames between the network's own frames that join the template; 0: none do
REMEMBERED = 1  # how many of them stay, the newest
SURE = 0.8  # mean probability from which on an own mask may be remembered
LOST = 0.0005  # share of the frame below which an object counts as out of sight


@dataclass(frozen=True)
class Seen:
    """One frame of one pass."""

    frame: int
    probabilities: Tensor  # (K, 4h, 4w)
    live: tuple[bool, ...]  # per object slot: carried or given in this pass
    signals: Mapping[int, Mapping[str, float]]  # per slot, see ``confidence``

    @property
    def state(self) -> NDArray[np.uint8]:
        """(K, 4h, 4w): what this pass hands to the next frame."""
        return as_bytes(self.probabilities)


@dataclass(frozen=True)
class _State:
    """Where a pass stands."""

    live: tuple[bool, ...]
    masks: Tensor  # (K, 4h, 4w) probabilities
    centre: Tensor  # (K, 2) px, of the last frame on which the object was in sight
    area: Tensor  # (K,) px, likewise
    lost: tuple[int, ...]  # frames since then
    frame: int = -1
    encoding: Encoding | None = None  # of that frame, where it was needed
    kept: tuple[_Kept, ...] = ()


@dataclass(frozen=True)
class _Kept:
    """A frame of this pass that joins the template; encoded when it is first needed."""

    frame: int
    masks: Tensor
    sure: tuple[bool, ...]
    encoding: Encoding | None = field(default=None, compare=False)


class Walk:
    """One pass. The template's own rows are shared by all passes of a clip; what is remembered is not."""

    def __init__(
        self, engine: Engine, clip: Clip, given: Given, geometry: Geometry, rows: Rows, device: torch.device
    ):
        self.engine, self.clip, self.given = engine, clip, given
        self.geometry, self.rows, self.device = geometry, rows, device
        self._template: tuple[tuple[tuple[int, ...], ...], Template] | None = None  # what it holds, itself

    def frames(self, order: range) -> Iterator[Seen]:
        """Objects join at their first given frame and restart at each further one."""
        if order.step < 0 and self.given.last == 0:
            return  # nothing lies before frame 0
        state = self._begin()
        for frame in order:
            state, signals = self._step(frame, state)
            yield Seen(frame, state.masks, state.live, signals)

    def _begin(self) -> _State:
        slots, (height, width) = len(self.given.objects), self.geometry.grid_hw
        masks = torch.zeros(slots, 4 * height, 4 * width, device=self.device)
        nowhere = torch.zeros(slots, 2, device=self.device)
        return _State((False,) * slots, masks, nowhere, nowhere[:, 0], (0,) * slots)

    @torch.inference_mode()
    def _step(self, frame: int, last: _State) -> tuple[_State, dict[int, dict[str, float]]]:
        """One frame further. Frames on which every object is given cost nothing, not even an encoding."""
        fixed = self.given.by_frame.get(frame, {})
        masks, now = torch.zeros_like(last.masks), None
        signals: dict[int, dict[str, float]] = {}
        if any(on and slot not in fixed for slot, on in enumerate(last.live)):
            last = replace(last, encoding=last.encoding or self._encode(last.frame))
            last = self._with_kept_encodings(last)
            now = self._encode(frame)
            masks, signals = self._decode(frame, now, last)
        live = tuple(on or slot in fixed for slot, on in enumerate(last.live))
        # whole 1/255ths, so that a state that was stored goes on exactly like one that was not
        masks = (self._fix(masks, fixed) * 255).round() / 255
        return self._follow(replace(last, live=live, masks=masks, frame=frame, encoding=now)), signals

    def _encode(self, frame: int) -> Encoding:
        return self.engine.encode(self.geometry.of_clip(self.clip, frame, self.device))

    def _fix(self, masks: Tensor, fixed: Mapping[int, MaskPrompt]) -> Tensor:
        """Put given masks, then states to go on from, in place of what the network says."""
        for slot, prompt in fixed.items():
            if prompt.soft is None:
                mask = self.geometry.soft_mask(prompt.mask, self.device)
                masks = masks * (1 - mask)
                masks[slot] = mask
        for slot, prompt in fixed.items():
            if prompt.soft is not None:
                masks[slot] = torch.from_numpy(prompt.soft).to(self.device).float() / 255
        return masks

    def _follow(self, state: _State) -> _State:
        """Where the objects are now; those out of sight are expected where they were last seen."""
        found = centres.prior_of(state.masks[None], 4)
        area = (state.masks > 0.5).flatten(1).sum(1) * 16.0
        here = area >= LOST * 16.0 * state.masks[0].numel()
        centre = torch.where(here[:, None], found.centre[0], state.centre)
        lost = tuple(0 if h else n + 1 for h, n in zip(here.tolist(), state.lost, strict=True))
        state = replace(state, centre=centre, area=torch.where(here, area, state.area), lost=lost)
        if REMEMBER_EVERY and state.frame % REMEMBER_EVERY == 0:
            return replace(state, kept=(*state.kept, *self._keep(state))[-REMEMBERED:])
        return state

    def _keep(self, state: _State) -> tuple[_Kept, ...]:
        """This frame for the template, where some object is sure and no person said what is there."""
        if any(p.is_anchor for p in self.given.by_frame.get(state.frame, {}).values()):
            return ()  # its rows are in the template anyway
        sure = tuple(
            on and n == 0 and confidence.certainty(mask) >= SURE
            for on, n, mask in zip(state.live, state.lost, state.masks, strict=True)
        )
        return (_Kept(state.frame, state.masks, sure, state.encoding),) if any(sure) else ()

    def _with_kept_encodings(self, state: _State) -> _State:
        """Frames that were passed without looking at them are encoded now that they are needed."""
        if all(k.encoding is not None for k in state.kept):
            return state

        def encoded(kept: _Kept) -> _Kept:
            if kept.encoding is not None:
                return kept
            mine = state.encoding if kept.frame == state.frame else self._encode(kept.frame)
            return replace(kept, encoding=mine)

        return replace(state, kept=tuple(encoded(k) for k in state.kept))

    def _template_for(self, frame: int, kept: tuple[_Kept, ...]) -> Template:
        """What ``frame`` is matched against, orthogonalised when it changes.

        Of the anchors those nearest to the frame: on farther ones the object and what is around it look
        different. The isometry is that of all anchors. The remembered frames join last.
        """
        near = self.given.nearest_template_frames(frame)
        names = (near, tuple(k.frame for k in kept))
        if self._template is None or self._template[0] != names:
            rows = self.rows.matched(near)
            for one in kept:
                assert one.encoding is not None
                rows = rows.join(*remembered(one.encoding, one.masks, one.sure))
            c = self.engine.config
            self._template = names, rows.template(method=c.svb, eps=c.svb_eps, g=c.svb_g)
        return self._template[1]

    def _decode(self, frame: int, now: Encoding, last: _State) -> tuple[Tensor, dict[int, dict[str, float]]]:
        """Probabilities (K, 4h, 4w), objects that are not live at 0, and the signals of those that are."""
        assert last.encoding is not None
        slots = [k for k, on in enumerate(last.live) if on]
        template = self._template_for(frame, last.kept)
        parts: list[tuple[list[int], Decoded]] = []
        for start in range(0, len(slots), SLOTS_AT_ONCE):
            chosen = slots[start : start + SLOTS_AT_ONCE]
            prior = _expected(last, chosen)
            previous = last.masks[None, chosen]
            mine = template if len(chosen) == len(last.live) else template.of_slots(chosen)
            parts.append((chosen, self.engine.decode(now, mine, last.encoding, previous, prior)))
        found = aggregate(torch.cat([d.logits for _, d in parts], 1)).softmax(1)[0, 1:]
        masks = torch.zeros_like(last.masks)
        masks[slots] = found.to(masks.dtype)
        signals = {
            slot: self._signals(slot, masks[slot], decoded, at, last)
            for chosen, decoded in parts
            for at, slot in enumerate(chosen)
        }
        return masks, signals

    def _signals(self, slot: int, mask: Tensor, decoded: Decoded, at: int, last: _State) -> dict[str, float]:
        area = float((mask > 0.5).sum()) * 16.0
        signals = {
            "certainty": confidence.certainty(mask),
            "entropy": confidence.entropy(mask),
            "change": confidence.change(area, float(last.area[slot])),
            "jump": 0.0,
            "familiar": 0.0,
            "steady": 1.0 if decoded.steady is None else float(decoded.steady[0]),
        }
        if decoded.vote is not None:
            vote = centres.median_vote(decoded.vote[0, at], torch.nn.functional.avg_pool2d(mask[None], 2)[0])
            signals["jump"] = 0.0 if vote is None else confidence.jump(last.centre[slot], vote, area)
        if decoded.familiar is not None:
            cells = torch.nn.functional.avg_pool2d(mask[None], 4).flatten()
            signals["familiar"] = confidence.familiar(decoded.familiar[0, at], cells)
        return signals


def as_bytes(probabilities: Tensor) -> NDArray[np.uint8]:
    """Probabilities as whole 1/255ths."""
    found: NDArray[np.uint8] = (probabilities * 255).round().to(torch.uint8).cpu().numpy()
    return found


def _expected(last: _State, chosen: list[int]) -> Prior:
    """Centres of the last frame; for an object out of sight the spread doubles with every frame."""
    spread = centres.spread_of(last.area[chosen])
    side = 4.0 * max(last.masks.shape[-2:])
    longer = torch.tensor([2.0 ** min(20, last.lost[k]) for k in chosen], device=spread.device)
    known = (last.area[chosen] > 0).to(spread.dtype)
    return Prior(last.centre[None, chosen], (spread * longer).clamp_max(side)[None], known[None])
