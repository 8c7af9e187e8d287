"""A model's classes and a project's labels: which stands for which, and in words what stands for nothing.

Label Studio's own way to say it is ``predicted_values``: a ``<Label value="Vehicle"
predicted_values="car,bus"/>`` stands for both classes. A label without it stands for the class of its own
name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backends.core.errors import BadLabelConfig
from backends.core.types import FrameMasks, Mask


@dataclass(frozen=True)
class ClassNames:
    """``label_of``: a class's label; ``words``: a sentence for each thing that stands for nothing."""

    label_of: Mapping[str, str]
    words: tuple[str, ...] = ()

    def relabelled(self, frame: FrameMasks) -> FrameMasks:
        """Masks under the project's labels; of several classes of one label, their union.

        Its confidence is their mean by area. Classes without a label are left out.
        """
        masks: dict[str, Mask] = {}
        sums: dict[str, float] = {}
        for name, mask in frame.masks.items():
            label = self.label_of.get(name)
            if label is not None:
                masks[label] = masks[label] | mask if label in masks else mask
                weight = frame.confidence.get(name, 0.0) * np.count_nonzero(mask)
                sums[label] = sums.get(label, 0.0) + float(weight)
        confidence = {label: sums[label] / max(1, np.count_nonzero(mask)) for label, mask in masks.items()}
        return replace(frame, masks=masks, confidence=confidence)


def match_names(classes: Sequence[str], labels: Mapping[str, Sequence[str]]) -> ClassNames:
    """``labels``: label -> its ``predicted_values``, none for its own name. Case does not count.

    Raises BadLabelConfig when two labels claim one class, and when no label stands for any class.
    """
    known = {_plain(name): name for name in classes}
    label_of: dict[str, str] = {}
    words: list[str] = []
    for label, predicted in labels.items():
        for name in predicted or (label,):
            found = known.get(_plain(name))
            if found is None:
                words.append(_unknown(label, name if predicted else "", classes))
            elif label_of.setdefault(found, label) != label:
                raise BadLabelConfig(
                    f"labels {label_of[found]!r} and {label!r} both stand for the class {found!r}; name it "
                    "in the predicted_values of one of them only"
                )
    if not label_of:
        raise BadLabelConfig(
            f"no label of this project ({_listed(labels) or 'none'}) stands for a class of the model "
            f"({_listed(classes)}); name labels like classes, or write "
            f'<Label value="..." predicted_values="{classes[0]}"/>'
        )
    if without := [name for name in classes if name not in label_of]:
        words.append(f"No label of this project stands for {_listed(without)}: no mask is made for them.")
    return ClassNames(label_of, tuple(words))


def _unknown(label: str, name: str, classes: Sequence[str]) -> str:
    what = f"names {name!r} in predicted_values, which the model does not know" if name else ""
    what = what or "is none of the model's classes, so it is never predicted"
    return f"Label {label!r} {what} (it knows {_listed(classes)})."


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())


def _listed(names: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(map(repr, names))
