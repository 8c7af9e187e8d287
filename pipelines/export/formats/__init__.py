"""One module per format, each with ``write(work, out, *, progress)`` and the sentence ``CANNOT_HOLD``.

A format writes into an empty folder that becomes the export once all of it is there; it knows nothing of
where that is. What a project loses in it comes back as sentences with counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipelines.export.formats import (
    cityscapes,
    coco,
    coco_panoptic,
    davis,
    labelstudio,
    voc,
    yolo_seg,
    youtube_vos,
)

Write = Callable[..., tuple[str, ...]]
"""(work, folder, *, progress) -> sentences on what was lost, the general one first."""

FORMATS: Mapping[str, Write] = {
    "davis": davis.write,
    "youtube-vos": youtube_vos.write,
    "coco": coco.write,
    "coco-panoptic": coco_panoptic.write,
    "voc": voc.write,
    "cityscapes": cityscapes.write,
    "yolo-seg": yolo_seg.write,
    "labelstudio": labelstudio.write,
}
