"""A mask from clicks, boxes and the mask so far, by the trained network, on ONNX Runtime and without torch.

The network looks at the picture and at its mirror image, and the mean of both counts. What a frame gives is
kept for a few frames, so that a further click costs the head alone. What the person said outright holds
whatever the network thinks, see :mod:`backends.clicks.promises`.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.clicks import prompts, views
from backends.clicks.promises import honour
from backends.clicks.requests import Request, checked
from backends.clicks.views import View
from backends.core.types import BoxPrompt, Image, Mask, PointPrompt

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

KEPT_FRAMES = 4
KEPT_VIEWS = 3  # of one frame; a view's features are about 7 MB
SPOT = 0.004  # a click that the network contradicts claims a disc of this share of the frame's longer side
CLOSER = 0.7  # a second look is worth its time when it shows less than this share of the first

Features = dict[str, NDArray[np.float32]]


class LearnedClicks:
    """Answers clicks. Thread-safe. ``frame`` and ``head`` are sessions of the two graphs."""

    def __init__(self, frame: InferenceSession, head: InferenceSession):
        self._frame, self._head = frame, head
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, list[tuple[View, Features]]] = OrderedDict()

    def mask(
        self,
        image: Image,
        points: Sequence[PointPrompt],
        boxes: Sequence[BoxPrompt] = (),
        previous: Mask | None = None,
    ) -> Mask:
        """One object's mask on one frame, (H, W) bool.

        ``image`` is (H, W, 3) RGB uint8; ``previous`` is (H, W) or None. With nothing to go by (no prompt, or
        only "this is not it" with nothing to take away from) the previous mask comes back unchanged. Raises
        BadMedia or BadMask on wrong shapes.
        """
        request = checked(image, points, boxes, previous)
        if request.is_idle:
            return request.before.copy()
        name = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
        hinted = request.with_hint()
        found = self._look(image, name, hinted, request.before)
        if request.boxes:
            found = self._look(image, name, hinted, found)  # a second look settles it
        elif not request.before.any():
            found = self._look_closer(image, name, request, found)
        return honour(found, request, max(1, round(SPOT * max(request.size_hw))))

    def _look(self, image: Image, name: bytes, request: Request, before: Mask) -> Mask:
        """The network's mask, from the view that suits what is known."""
        size_hw = request.size_hw
        extent = views.extent_of(before, request.points, request.boxes)
        known = before.any() or bool(request.boxes)
        if extent is None or not known:
            return self._seen_in(image, name, views.whole(size_hw), request, before)
        kept = next((view for view in self._views(name) if view.suits(extent, size_hw)), None)
        view = kept or views.around(extent, views.MARGIN, size_hw)
        return self._seen_in(image, name, view, request, before)

    def _look_closer(self, image: Image, name: bytes, request: Request, found: Mask) -> Mask:
        """Look again, at the object alone, when that shows more of it."""
        extent = views.extent_of(found, request.points, ())
        if extent is None or not found.any():
            return found
        closer = views.around(extent, views.MARGIN, request.size_hw)
        (height, width), (rows, columns) = closer.extent_hw, request.size_hw
        if height * width > CLOSER * rows * columns:
            return found
        return self._seen_in(image, name, closer, request, found)

    def _seen_in(self, image: Image, name: bytes, view: View, request: Request, before: Mask) -> Mask:
        clicks = view.clicks(request.points)
        seen = view.look_at_mask(before) if before.any() else None
        maps = prompts.draw_maps(view.size_hw, clicks, view.boxes(request.boxes), seen)
        places, signs = prompts.list_clicks(view.size_hw, clicks)
        said = {
            "maps": np.stack([maps, maps[:, :, ::-1]]),
            "places": np.stack([places, places * (-1.0, 1.0)]).astype(np.float32),
            "signs": np.stack([signs, signs]),
        }
        [logits] = self._head.run(None, {**self._features(image, name, view), **said})
        mean = (logits[0, 0] + logits[1, 0][:, ::-1]) / 2
        height, width = view.extent_hw
        full = cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR)
        mask = before.copy()
        mask[view.slices] = full > 0
        return mask

    def _views(self, name: bytes) -> list[View]:
        with self._lock:
            return [view for view, _ in self._kept.get(name, ())]

    def _features(self, image: Image, name: bytes, view: View) -> Features:
        """What the view and its mirror image give, computed once while the frame is remembered."""
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
            for known, features in self._kept.get(name, ()):
                if known == view:
                    return features
        seen = view.look(image)
        outputs = [output.name for output in self._frame.get_outputs()]
        both = np.stack([seen, seen[:, ::-1]])
        made = dict(zip(outputs, self._frame.run(outputs, {"frame": both}), strict=True))
        with self._lock:
            here = self._kept.setdefault(name, [])
            here.append((view, made))
            del here[:-KEPT_VIEWS]
            while len(self._kept) > KEPT_FRAMES:
                self._kept.popitem(last=False)
        return made
