"""From the tags of one image to its pseudo-mask: responses, affinities, boundary, propagation, trust.

The image is looked at with its longer side reduced to what the networks were trained on; labels come back at
its own size. Tags are all the method is told, and boxes where a person drew some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from backends.core.errors import BadInput, BadMedia
from backends.core.types import Image
from backends.weak_shot import subjects
from backends.weak_shot.boxes import Box, Window, boxed, cell_window, pixel_window
from backends.weak_shot.classes import MOST, ClassSet
from backends.weak_shot.grid import labels_at, max_pooled, on_grid, with_background
from backends.weak_shot.maps import Viewer
from backends.weak_shot.networks import GRID, grid_of
from backends.weak_shot.pictures import reduced
from backends.weak_shot.propagation import propagate
from backends.weak_shot.responses import responses
from backends.weak_shot.trust import Grounds, grounds
from backends.weak_shot.weights_file import Bundle

Float = NDArray[np.float32]
LONG_SIDE_PX = Bundle.long_side_px
"""As training keeps its photos, unless a bundle says otherwise."""
_UNSEEN = 0.2  # probability below which a class is said to be missing
_EVERYWHERE = 0.6  # mean response above which a classifier cannot be said to know where


@dataclass(frozen=True)
class PseudoMask:
    """What tags became."""

    labels: NDArray[np.uint8]
    """(H, W) ids, 0 background."""
    ids: Mapping[str, int]
    """The id of every wanted class; classes that the weights lack, shown by a box, come after theirs."""
    grounds: Mapping[str, Grounds]
    notes: tuple[str, ...] = ()
    """What a person should know about it, in sentences."""

    @property
    def trust(self) -> dict[str, float]:
        """0..1 by class."""
        return {name: found.trust for name, found in self.grounds.items()}


@dataclass(frozen=True)
class _View:
    """The image as the networks see it."""

    image: Image
    """Reduced."""
    size_hw: tuple[int, int]
    """Before it was."""

    @property
    def inner_hw(self) -> tuple[int, int]:
        """Size of the reduced image."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of its grid."""
        return grid_of(*self.inner_hw)

    def cells_of(self, window: Window) -> Window:
        """The cells that a window of original pixels touches."""
        return cell_window(window, self.size_hw, self.inner_hw, GRID)

    def allowed(self, window: Window) -> Float:
        """(h, w) 1 on those cells, 0 elsewhere."""
        found = np.zeros(self.cells, np.float32)
        found[self.cells_of(window)] = 1
        return found


@dataclass(frozen=True)
class _Wanted:
    """What was asked for, checked: names, their ids, and windows of pixels for some."""

    ids: dict[str, int]
    windows: dict[str, Window]


class Labeller:
    """Pseudo-masks from the networks of a bundle; any of them may be missing.

    Without an affinity network responses are the mask; without a boundary network scores walk freely; without
    a classifier, and for classes that it never learned, a box has to say where.
    """

    def __init__(self, bundle: Bundle, long_side_px: int = 0):
        """``long_side_px`` 0: what the bundle was trained at."""
        self.bundle, self.long_side_px = bundle, long_side_px or bundle.long_side_px

    @property
    def classes(self) -> ClassSet:
        """The classes that tags may name."""
        return self.bundle.classes

    def label(self, image: Image, tags: Sequence[str], boxes: Mapping[str, Box] | None = None) -> PseudoMask:
        """The pseudo-mask of ``image``, (H, W, 3) uint8 RGB, for its ``tags``.

        ``boxes`` say, in pixels, where a class is; a class with a box need not be tagged. Raises BadInput for
        no tag, an unknown one without a box and a box that misses the image, BadMedia for other images.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise BadMedia(f"an image of shape {image.shape} and {image.dtype}; wants (H, W, 3) uint8 RGB")
        wanted = self._wanted(tags, boxes or {}, (image.shape[0], image.shape[1]))
        view = _View(reduced(image, self.long_side_px), (image.shape[0], image.shape[1]))
        found = self._responses(view, wanted)
        scores, boundary = self._propagated(view, with_background(found, self.bundle.responses.alpha))
        for row, name in enumerate(wanted.ids, start=1):
            if name in wanted.windows:
                scores[row] *= view.allowed(wanted.windows[name])
        presence = self._presence(view, wanted)
        reasons = {
            name: grounds(row, scores, found[row - 1], boundary, presence.get(name))
            for row, name in enumerate(wanted.ids, start=1)
        }
        ids, limits = (0, *wanted.ids.values()), {wanted.ids[n]: w for n, w in wanted.windows.items()}
        labels = labels_at(scores, ids, view.inner_hw, view.size_hw, GRID, limits)
        return PseudoMask(labels, wanted.ids, reasons, _notes(wanted, found, labels, reasons))

    def _wanted(self, tags: Sequence[str], boxes: Mapping[str, Box], size_hw: tuple[int, int]) -> _Wanted:
        names = tuple(dict.fromkeys([*tags, *boxes]))
        if not names:
            raise BadInput(f"no tag: say what the image shows; known: {', '.join(self.classes.names)}")
        foreign = [name for name in names if name in boxes and name not in self.classes.names]
        if len(self.classes) + len(foreign) > MOST:
            raise BadInput(f"{len(foreign)} classes beside {len(self.classes)}; {MOST} at most")
        ids = {
            name: len(self.classes) + 1 + foreign.index(name) if name in foreign else self.classes.id_of(name)
            for name in names
        }
        unshown = [name for name in names if name not in boxes]
        if unshown and self.bundle.classifier is None:
            raise BadInput(
                f"these weights have no classifier: draw a box around {', '.join(map(repr, unshown))}, "
                "or train one from tags with `maskloop train weak_shot`"
            )
        return _Wanted(ids, {name: pixel_window(box, size_hw, name) for name, box in boxes.items()})

    def _heard(self, wanted: _Wanted) -> dict[str, int]:
        """Ids of the wanted classes that the classifier has learned."""
        if self.bundle.classifier is None:
            return {}
        return {name: number for name, number in wanted.ids.items() if name in self.classes.names}

    def _responses(self, view: _View, wanted: _Wanted) -> Float:
        """(K, h, w) in 0..1, boxes heeded."""
        how, heard, classifier = self.bundle.responses, self._heard(wanted), self.bundle.classifier
        maps: dict[str, Float] = {}
        if heard and classifier is not None:
            viewer = Viewer(classifier, _device(classifier))
            found = responses(viewer, view.image, tuple(heard.values()), how.scales, how.flip)
            maps = dict(zip(heard, on_grid(found, view.cells), strict=True))
        for name, window in wanted.windows.items():
            maps[name] = boxed(maps.get(name), view.cells, view.cells_of(window))
        return np.stack([maps[name] for name in wanted.ids])

    def _propagated(self, view: _View, scores: Float) -> tuple[Float, Float | None]:
        """Scores after the walk, and the boundary probability on the grid where there is a network for it."""
        networks, walk = self.bundle, self.bundle.walk
        boundary = None
        if networks.boundary is not None:
            probability = subjects.boundary_of(networks.boundary, view.image, _device(networks.boundary))
            boundary = max_pooled(probability, GRID)
        if networks.affinity is None:
            return scores, boundary
        pairs = subjects.pairs_of(networks.affinity, view.image, walk.radius, _device(networks.affinity))
        return propagate(scores, pairs, boundary, walk), boundary

    def _presence(self, view: _View, wanted: _Wanted) -> dict[str, float]:
        """The classifier's probability of each class that no person has shown; where a box is, one has."""
        heard = {name: number for name, number in self._heard(wanted).items() if name not in wanted.windows}
        if not heard or self.bundle.classifier is None:
            return {}
        with torch.inference_mode():
            rgb = subjects.rgb_of(view.image, _device(self.bundle.classifier))
            probability = torch.sigmoid(self.bundle.classifier(rgb)[0].float()).cpu().numpy()
        return {name: float(probability[number - 1]) for name, number in heard.items()}


def _notes(
    wanted: _Wanted, found: Float, labels: NDArray[np.uint8], reasons: Mapping[str, Grounds]
) -> tuple[str, ...]:
    painted = set(np.unique(labels).tolist())
    notes = []
    for row, (name, number) in enumerate(wanted.ids.items()):
        presence = reasons[name].presence
        if number not in painted:
            notes.append(f"{name}: nothing found; draw a box around it, or take the tag away")
        elif presence is not None and presence < _UNSEEN:
            notes.append(f"{name}: probably not in this image ({presence:.0%} by the classifier)")
        elif found[row].mean() > _EVERYWHERE:
            notes.append(
                f"{name}: the classifier answers all over the image and cannot say where; "
                "tagged images without this class teach it, or a box shows it"
            )
    return tuple(notes)


def _device(network: torch.nn.Module) -> str:
    return str(next(network.parameters()).device)
