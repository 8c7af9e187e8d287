"""SBD's masks, in the two forms in which people have them: .mat files or index PNGs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from backends.core.errors import BadMask
from backends.weak_shot.photos import Labels


@dataclass(frozen=True)
class Sbd:
    """A folder of SBD masks named like VOC's photos: ``.mat`` or ``.png``."""

    folder: Path
    suffix: str

    def masks(self) -> dict[str, Path]:
        """Every mask by its photo's name."""
        return {path.stem: path for path in sorted(self.folder.glob(f"*{self.suffix}"))}


def find(voc: Path, root: Path) -> Sbd | None:
    """SBD in VOC's folder, in ``root`` or beside either, or None: .mat files first, then PNGs."""
    places = list(dict.fromkeys([root, voc, voc.parent, voc.parent.parent, root.parent]))
    for place in places:
        for inner in ("SBD", "sbd", "SBD/dataset", "sbd/dataset", "benchmark_RELEASE/dataset", "benchmark"):
            if any((place / inner / "cls").glob("*.mat")):
                return Sbd(place / inner / "cls", ".mat")
    for place in (voc, root):
        if any((place / "SegmentationClassAug").glob("*.png")):
            return Sbd(place / "SegmentationClassAug", ".png")
    return None


def read_mask(path: Path) -> Labels:
    """(H, W) uint8 class ids of one .mat file (``GTcls.Segmentation``). Raises BadMask, naming the file."""
    try:
        labels = np.asarray(loadmat(path, simplify_cells=True)["GTcls"]["Segmentation"])
    except Exception as error:  # whatever its parser stumbled over
        raise BadMask(f"{path}: not a mask of SBD ({type(error).__name__}: {error})") from error
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise BadMask(f"{path}: GTcls.Segmentation is {labels.ndim}-D {labels.dtype}; wants 2-D uint8")
    return labels
