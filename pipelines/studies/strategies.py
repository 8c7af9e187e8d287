"""Which frame to correct next: four ways, as pure functions of what is known so far.

Frames that may be corrected are those that the DAVIS protocol scores: neither the first (its mask is given)
nor the last. ``confidence`` and ``true_j`` look at the last pass and take the frame with the lowest mean over
objects; corrections already made stay. ``random`` adds one more frame by lot. ``even`` plans each number of
corrections anew, so that no frame lies further from a given one than it must: the fairest plan made blindly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from backends.core.errors import BadInput

LOOKING = ("confidence", "true_j")
"""Strategies that look at the last pass before they choose."""


def lowest(values: Mapping[int, float], taken: Sequence[int]) -> int:
    """The frame with the lowest value that is not taken yet; of equals the earliest. Raises BadInput."""
    open_frames = [frame for frame in sorted(values) if frame not in taken]
    if not open_frames:
        raise BadInput(f"all {len(values)} frames are corrected already; ask for fewer corrections")
    return min(open_frames, key=values.__getitem__)


def by_lot(n_frames: int, count: int, seed: Sequence[int]) -> tuple[int, ...]:
    """``count`` scored frames in random order; the first ones of a longer answer are those of a shorter."""
    check_count(n_frames, count)
    order = np.random.default_rng(list(seed)).permutation(np.arange(1, n_frames - 1))
    return tuple(int(frame) for frame in order[:count])


def evenly(n_frames: int, count: int) -> tuple[int, ...]:
    """``count`` frames with the shortest greatest way to a given one, frame 0 given as well.

    Between two given frames the middle is served from both sides, the end of the clip from one; so gaps of
    2 d and an end of d, ``d = (n_frames - 1) / (2 count + 1)``.
    """
    check_count(n_frames, count)
    reach = (n_frames - 1) / (2 * count + 1)
    return tuple(int(2 * reach * (place + 1)) for place in range(count))


def check_count(n_frames: int, count: int) -> None:
    """Raises BadInput when a clip has fewer scored frames than corrections are wanted."""
    if not 0 < count <= n_frames - 2:
        raise BadInput(
            f"{count} corrections on {n_frames} frames: wants 1 to {n_frames - 2}, "
            "as the first frame is given and the last is not scored"
        )
