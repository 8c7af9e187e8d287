"""The labelling configuration: which control paints, which clicks, which labels exist; and checks against it.

The SDK's LabelInterface reads the XML (control names, labels, aliases, toName). It is not asked about safety
(it has no limit on size or depth and accepts a DOCTYPE), about brushes on a Video (it accepts what the editor
refuses in red) or about finished results (it does not see a frame out of range, a missing size or an RLE that
cannot be decoded); those checks are here and in ``regions``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.parsers import expat

from label_studio_sdk.label_interface.control_tags import ControlTag
from label_studio_sdk.label_interface.interface import LabelInterface

from backends.core.errors import BadLabelConfig

PROPAGATE = "Propagate"
"""The label of the point control that is a command, not an object."""

MAKE_MASKS = "Make masks"
"""The other command: turn the ticked tags of a picture into masks."""

LABEL_CLIP = "Label clip"
"""The third command: label every pixel of every frame of a clip."""

MAX_XML_BYTES = 1_000_000
MAX_XML_DEPTH = 64

_MASK_KIND, _POINT_KIND, _BOX_KIND = "brushlabels", "keypointlabels", "rectanglelabels"
_TAGS_KIND = "choices"


@dataclass(frozen=True)
class Control:
    """One control tag: what Label Studio calls ``from_name``, its result type, its target and its labels."""

    name: str
    kind: str  # the result's "type": the tag in lower case, e.g. "brushlabels"
    to_name: str
    labels: tuple[str, ...]
    predicted: tuple[tuple[str, ...], ...] = ()
    """For each label the names of a model's classes that it stands for (``predicted_values``)."""
    colours: tuple[str, ...] = ()
    """For each label its ``background`` as written, a CSS colour; empty where there is none."""


@dataclass(frozen=True)
class LabelConfig:
    """What MaskLoop needs of a labelling configuration."""

    image: str
    """Name of the Image tag: ``to_name`` of every region."""
    data_key: str
    """The key of ``task["data"]`` that holds the frames (or the one image)."""
    is_multi_image: bool
    """The Image uses ``valueList``, so regions carry ``item_index``."""
    controls: tuple[Control, ...]

    @classmethod
    def parse(cls, xml: str) -> LabelConfig:
        """Read the XML. Raises BadLabelConfig with a sentence on what is wrong and what would work."""
        _refuse_hostile(xml)
        try:
            interface = LabelInterface(xml)
            interface.validate()  # type: ignore[no-untyped-call]
        except Exception as error:  # the SDK raises a dozen unrelated classes here
            raise BadLabelConfig(f"labelling configuration cannot be read: {error}") from error
        images = [tag for tag in interface.objects or () if tag.tag == "Image"]
        if len(images) != 1:
            raise BadLabelConfig(
                f"labelling configuration has {len(images)} Image tags; MaskLoop needs exactly one, "
                'such as <Image name="img" valueList="$frames"/> (no mask can be drawn on a Video tag)'
            )
        image = images[0]
        is_multi = bool(image.attr.get("valueList"))
        return cls(
            image=image.name,
            data_key=_variable(image.value),
            is_multi_image=is_multi,
            controls=tuple(_control(tag) for tag in interface.controls or ()),
        )

    def control(self, name: object) -> Control | None:
        """The control of this name, if there is one."""
        return next((c for c in self.controls if c.name == name), None)

    @property
    def mask(self) -> Control | None:
        """The BrushLabels on the image."""
        return self._of_kind(_MASK_KIND)

    @property
    def point(self) -> Control | None:
        """The KeyPointLabels on the image."""
        return self._of_kind(_POINT_KIND)

    @property
    def box(self) -> Control | None:
        """The RectangleLabels on the image."""
        return self._of_kind(_BOX_KIND)

    @property
    def tags(self) -> Control | None:
        """The Choices on the image; their values are tags."""
        return self._of_kind(_TAGS_KIND)

    @property
    def makes_masks(self) -> bool:
        """Tags become masks here: there are Choices, and a point with the command "Make masks"."""
        return self.tags is not None and self.point is not None and MAKE_MASKS in self.point.labels

    @property
    def labels_clips(self) -> bool:
        """Whole clips are labelled here: several pages, and a point with the command "Label clip"."""
        return self.is_multi_image and self.point is not None and LABEL_CLIP in self.point.labels

    @property
    def objects(self) -> tuple[str, ...]:
        """The objects an annotator can paint: the labels of the mask control."""
        return self.mask.labels if self.mask else ()

    @property
    def class_names(self) -> dict[str, tuple[str, ...]]:
        """Label of the mask control -> its ``predicted_values``; empty where it stands for its own name."""
        if self.mask is None:
            return {}
        predicted = self.mask.predicted or ((),) * len(self.mask.labels)
        return dict(zip(self.mask.labels, predicted, strict=True))

    @property
    def label_colours(self) -> dict[str, str]:
        """Label of the mask control -> its CSS colour as written, of those that have one."""
        if self.mask is None:
            return {}
        return {name: text for name, text in zip(self.mask.labels, self.mask.colours, strict=False) if text}

    def frame_refs(self, data: Mapping[str, object]) -> tuple[str, ...]:
        """The frames' references out of ``task["data"]``. Raises BadLabelConfig when they are not there."""
        frames = data.get(self.data_key)
        if isinstance(frames, str) and not self.is_multi_image:
            return (frames,)
        if not isinstance(frames, list) or not frames or not all(isinstance(f, str) for f in frames):
            raise BadLabelConfig(
                f"task data has no list of frames under {self.data_key!r} "
                f"(keys: {', '.join(map(str, data)) or 'none'}); the labelling configuration asks for one"
            )
        return tuple(frames)

    def _of_kind(self, kind: str) -> Control | None:
        return next((c for c in self.controls if c.kind == kind and c.to_name == self.image), None)


def refuse_unusable(config: LabelConfig) -> None:
    """Raise BadLabelConfig, naming the missing tag, when no mask can be propagated with this one."""
    needed = {
        "BrushLabels": config.mask,
        "KeyPointLabels": config.point,
        # without it every export of Label Studio 1.23.2 answers 500 on a multi-image project with points
        "RectangleLabels": config.box,
    }
    _refuse_missing(config, needed, "video_object.xml")
    if not config.is_multi_image:
        raise BadLabelConfig(
            f"<Image name={config.image!r}> shows one picture; for the frames of a clip it needs "
            f'valueList="${config.data_key}"'
        )
    if not config.objects:
        raise BadLabelConfig("BrushLabels has no <Label>; give at least one object a name")
    if config.point is not None and PROPAGATE not in config.point.labels:
        raise BadLabelConfig(f'KeyPointLabels {config.point.name!r} lacks <Label value="{PROPAGATE}"/>')


def refuse_untaggable(config: LabelConfig) -> None:
    """Raise BadLabelConfig, naming what is missing, when no tag can become a mask with this one."""
    needed = {
        "Choices": config.tags,
        "BrushLabels": config.mask,
        "KeyPointLabels": config.point,
        "RectangleLabels": config.box,
    }
    _refuse_missing(config, needed, "weak_shot.xml")
    if config.is_multi_image:
        raise BadLabelConfig(
            f"<Image name={config.image!r}> shows several pages; tags are read of one picture per task: "
            f'value="${config.data_key}"'
        )
    if not config.makes_masks:
        raise BadLabelConfig(f'KeyPointLabels lacks <Label value="{MAKE_MASKS}"/>')
    if config.tags is not None and not set(config.tags.labels) & set(config.objects):
        raise BadLabelConfig(
            f"no Choice of {config.tags.name!r} is a label of the BrushLabels "
            f"({', '.join(map(repr, config.objects)) or 'none'}); write each class the same in both"
        )


def refuse_unlabellable(config: LabelConfig) -> None:
    """Raise BadLabelConfig, naming what is missing, when no clip can be labelled with this one."""
    needed = {"BrushLabels": config.mask, "KeyPointLabels": config.point, "RectangleLabels": config.box}
    _refuse_missing(config, needed, "video_semantic.xml")
    if not config.labels_clips:
        raise BadLabelConfig(
            f'whole clips want <Image name={config.image!r} valueList="${config.data_key}"> and '
            f'<Label value="{LABEL_CLIP}"/> in KeyPointLabels'
        )
    if not config.objects:
        raise BadLabelConfig("BrushLabels has no <Label>; give at least one class a name")


def _refuse_missing(config: LabelConfig, needed: Mapping[str, Control | None], example: str) -> None:
    if missing := [tag for tag, control in needed.items() if control is None]:
        raise BadLabelConfig(
            f"labelling configuration lacks {' and '.join(missing)} with toName={config.image!r}; "
            f"compare labelstudio_config/{example}"
        )


def labels_clips(xml: str) -> bool:
    """Whether this is a configuration in which whole clips are labelled; False for one not readable."""
    try:
        return LabelConfig.parse(xml).labels_clips
    except BadLabelConfig:
        return False


def makes_masks(xml: str) -> bool:
    """Whether this is a configuration in which tags become masks; False for one that cannot be read."""
    try:
        return LabelConfig.parse(xml).makes_masks
    except BadLabelConfig:
        return False


def _refuse_hostile(xml: object) -> None:
    """Size, depth and entities, before a tree is built of them."""
    if not isinstance(xml, str) or not xml.strip():
        raise BadLabelConfig("labelling configuration is empty")
    if len(raw := xml.encode("utf-8", "replace")) > MAX_XML_BYTES:
        raise BadLabelConfig(
            f"labelling configuration has {len(raw)} bytes; at most {MAX_XML_BYTES} are read"
        )
    depth = 0

    def enter(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_XML_DEPTH:
            raise BadLabelConfig(f"labelling configuration is nested more than {MAX_XML_DEPTH} levels deep")

    def leave(name: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*declaration: object) -> None:
        raise BadLabelConfig("labelling configuration has a DOCTYPE; remove it, tags are all that is read")

    parser = expat.ParserCreate()
    parser.StartElementHandler = enter
    parser.EndElementHandler = leave
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        raise BadLabelConfig(f"labelling configuration is not well-formed XML: {error}") from error


def _control(tag: ControlTag) -> Control:
    """The SDK's tag as a value. Of several targets the first counts."""
    targets = tag.to_name if isinstance(tag.to_name, list) else [tag.to_name]
    labels = tuple(map(str, tag.labels or ()))
    written = tag.labels_attrs or {}
    attributes = [written[label].attr if label in written else {} for label in labels]
    predicted, colours = map(_names, attributes), (str(each.get("background") or "") for each in attributes)
    return Control(
        str(tag.name), str(tag.tag).lower(), str(targets[0]), labels, tuple(predicted), tuple(colours)
    )


def _names(attributes: Mapping[str, object]) -> tuple[str, ...]:
    """``predicted_values="car, truck"`` -> ("car", "truck")."""
    names = str(attributes.get("predicted_values") or "").split(",")
    return tuple(name.strip() for name in names if name.strip())


def _variable(value: str | None) -> str:
    """``$frames`` -> ``frames``."""
    if not value or not value.startswith("$") or len(value) == 1:
        raise BadLabelConfig(f'the Image\'s source is {value!r}; it wants a variable such as "$frames"')
    return value[1:]
