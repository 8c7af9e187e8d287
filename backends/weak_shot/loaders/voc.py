"""Pascal VOC 2012 with SBD, and the four Pascal-5i folds.

The folder is the one that VOC's archive makes (``JPEGImages/ Annotations/ ImageSets/Segmentation/
SegmentationClass/``), or one above it. SBD stands beside it or in it, as its own archive makes it
(``cls/*.mat`` with ``train.txt`` and ``val.txt``) or as index PNGs in ``SegmentationClassAug/``. Training
photos are VOC's train and all of SBD without VOC's val (10,582); VOC's val is held out. Tags come from the
XML files, VOC's own masks go before SBD's. Fold ``i`` makes the classes 5i+1 .. 5i+5 novel.

VOC's masks have a band of 255 on contours; SBD's have none. Everingham et al. (IJCV 2010), Hariharan et al.
(ICCV 2011), Shaban et al. (BMVC 2017) for the folds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from tqdm import tqdm

from backends.core.errors import BadInput, BadMask
from backends.core.images import read_index_mask
from backends.weak_shot.classes import ClassSet
from backends.weak_shot.loaders import sbd
from backends.weak_shot.loaders.folders import check_fold
from backends.weak_shot.photos import Labels, Photo, Photos

FOLDS = (
    ("aeroplane", "bicycle", "bird", "boat", "bottle"),
    ("bus", "car", "cat", "chair", "cow"),
    ("diningtable", "dog", "horse", "motorbike", "person"),
    ("pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
NAMES = tuple(name for fold in FOLDS for name in fold)


def recognises(root: Path) -> bool:
    """Whether VOC 2012 lies here or in a folder below, as its archive unpacks."""
    return _voc_folder(root) is not None


def open_photos(root: Path, fold: int) -> Photos:
    """The photos with fold 0..3's classes as novel.

    Raises BadInput for an unknown fold, a missing list and a missing or broken XML file. Without SBD the
    1,464 photos of VOC's train list train, and a note says so; listed photos without a mask are left out.
    """
    check_fold(fold, FOLDS, "Pascal-5i")
    voc = _voc_folder(root)
    if voc is None:
        raise BadInput(f"{root}: no Pascal VOC 2012 in it; wants ImageSets/Segmentation/train.txt")
    lists = voc / "ImageSets" / "Segmentation"
    own, val = read_list(lists / "train.txt"), read_list(lists / "val.txt")
    more = sbd.find(voc, root)
    masks = {name: voc / "SegmentationClass" / f"{name}.png" for name in (*own, *val)}
    masks = {**(more.masks() if more else {}), **masks}
    wanted = [*own, *sorted(set(masks) - set(own) - set(val))]
    train, train_notes = _photos(voc, wanted, masks, "train")
    held_out, held_notes = _photos(voc, val, masks, "val")
    notes = [*train_notes, *held_notes]
    if more is None:
        notes.append(f"no SBD beside VOC 2012: {len(train)} photos to train on instead of 10,582")
    classes = ClassSet(NAMES, frozenset(FOLDS[fold]))
    return Photos(classes, train, held_out, read_mask, "Pascal VOC 2012", fold, tuple(notes))


def read_mask(photo: Photo) -> Labels:
    """VOC's numbers are the class ids. Raises BadMask."""
    if photo.mask_path is None:
        raise BadMask(f"{photo.image_path}: this photo has no mask")
    if photo.mask_path.suffix == ".mat":
        return sbd.read_mask(photo.mask_path)
    return read_index_mask(photo.mask_path)


def read_tags(path: Path) -> tuple[str, ...]:
    """The classes of the objects in one XML file, in the order of their ids.

    Raises BadInput, naming the file, when it is missing or broken or names none of the 20 classes.
    """
    try:
        found = {node.findtext("name", "").strip() for node in ElementTree.parse(path).iter("object")}
    except (OSError, ElementTree.ParseError) as error:
        raise BadInput(f"{path}: the tags of this photo cannot be read ({error})") from error
    tags = tuple(name for name in NAMES if name in found)
    if not tags:
        raise BadInput(f"{path}: names no object of the 20 classes")
    return tags


def read_list(path: Path) -> list[str]:
    """The photos' names in an image list. Raises BadInput."""
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: this list of photos cannot be read ({error})") from error


def _photos(
    voc: Path, names: Iterable[str], masks: dict[str, Path], part: str
) -> tuple[tuple[Photo, ...], list[str]]:
    names = list(names)
    bar = tqdm(names, desc=f"reading tags of {part}", unit="photo", delay=1.0)
    photos = tuple(_found(voc, bar, masks))
    gone = len(names) - len(photos)
    return photos, [f"{gone} of {len(names)} photos in {part} lack their photo or mask"] if gone else []


def _found(voc: Path, names: Iterable[str], masks: dict[str, Path]) -> Iterator[Photo]:
    for name in names:
        image, mask = voc / "JPEGImages" / f"{name}.jpg", masks[name]
        if image.is_file() and mask.is_file():
            yield Photo(name, image, mask, read_tags(voc / "Annotations" / f"{name}.xml"))


def _voc_folder(root: Path) -> Path | None:
    for folder in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (folder / "ImageSets" / "Segmentation" / "train.txt").is_file():
            return folder
    return None
