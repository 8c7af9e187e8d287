"""``maskloop study toolkit``: our metric against the public one, on the same mask files.

The toolkit (davis2017-evaluation) is imported from a folder that the user names, and reads the files itself;
it wants DAVIS-2017's layout, so the true masks are laid out that way in a temporary folder first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.core.errors import BadInput

if TYPE_CHECKING:
    from backends.core.types import Clip, FrameMasks, Prompt

AGREES_WITHIN = 0.1  # points of 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``maskloop study toolkit``."""
    parser.add_argument(
        "--toolkit", type=Path, required=True, metavar="DIR", help="a checkout of davis2017-evaluation"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data in the DAVIS layout")
    parser.add_argument(
        "--masks", type=Path, required=True, metavar="DIR", help="written by maskloop evaluate --masks-out"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write both scores of every object here")


def run(args: argparse.Namespace) -> int:
    """Print both scores of every object; 1 when they differ by more than 0.1 point anywhere."""
    from pipelines.atomic import write_json

    report = compare(args.toolkit, args.data, args.masks)
    print(table(report))
    if args.json:
        write_json(args.json, report)
    return 0 if report["agrees"] else 1


class MasksOnDisk:
    """A Segmenter that reads what another one wrote: ``folder/CLIP/FRAME.png``, index colours."""

    version = "masks on disk"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """Raises BadInput when a frame's file is missing."""
        from backends.core.images import read_index_mask
        from backends.core.types import FrameMasks

        numbers = sorted({int(prompt.object_id) for prompt in prompts})
        for frame, name in enumerate(clip.names):
            index = read_index_mask(self.folder / clip.clip_id / f"{name}.png")
            yield FrameMasks(frame, {str(number): index == number for number in numbers}, {})


def compare(toolkit: Path, data: Path, masks: Path) -> dict[str, Any]:
    """J and F in points of every object by both, and their largest difference.

    Raises BadInput for a folder without the toolkit or without masks, and for masks the toolkit refuses.
    """
    from pipelines.evaluate import evaluate_video_object

    if not masks.is_dir() or not (names := sorted(path.name for path in masks.iterdir() if path.is_dir())):
        raise BadInput(f"--masks {masks}: no folder of masks in it; see maskloop evaluate --masks-out")
    ours = evaluate_video_object(MasksOnDisk(masks), data, names)["per_sequence"]
    with tempfile.TemporaryDirectory(prefix="maskloop-davis-") as scratch:
        lay_out(data, names, Path(scratch))
        theirs = _their_scores(toolkit, Path(scratch), masks, names)
    objects = {
        f"{name}_{number}": {"ours": {k: score[k] for k in ("j", "f")}, "toolkit": theirs[f"{name}_{number}"]}
        for name in names
        for number, score in ours[name]["objects"].items()
    }
    largest = max(abs(o["ours"][k] - o["toolkit"][k]) for o in objects.values() for k in ("j", "f"))
    return {"objects": objects, "largest_difference": largest, "agrees": largest <= AGREES_WITHIN}


def lay_out(data: Path, names: Sequence[str], root: Path) -> None:
    """DAVIS-2017's layout below ``root``: index masks, a list of sequences, and empty files for the frames.

    The toolkit counts frames without opening them; to it 255 means "void", so {0, 255} masks become {0, 1}.
    """
    from pipelines.media import davis
    from pipelines.media.palette import write_index_png

    for name in names:
        sequence = davis.open_sequence(data, name)
        one_object = sequence.objects == (1,)
        frames = root / "JPEGImages" / "480p" / name
        frames.mkdir(parents=True)
        for stem, path in zip(sequence.clip.names, sequence.mask_paths, strict=True):
            (frames / f"{stem}.jpg").touch()
            truth = davis.read_truth(path, sequence.clip.size_hw, one_object=one_object)
            write_index_png(root / "Annotations" / "480p" / name / f"{stem}.png", truth)
    lists = root / "ImageSets" / "2017"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("".join(f"{name}\n" for name in names))


def table(report: dict[str, Any]) -> str:
    """One line per object, then the verdict."""
    width = max(len(name) for name in [*report["objects"], "object"])
    lines = [f"{'object':<{width}}  {'J':>7}  {'J there':>7}  {'F':>7}  {'F there':>7}"]
    for name, scores in report["objects"].items():
        cells = [scores[who][key] for key in ("j", "f") for who in ("ours", "toolkit")]
        lines.append(f"{name:<{width}}  " + "  ".join(f"{value:7.3f}" for value in cells))
    verdict = "they agree" if report["agrees"] else "they DISAGREE"
    lines.append(f"largest difference {report['largest_difference']:.4f} points: {verdict}")
    return "\n".join(lines)


def _their_scores(
    toolkit: Path, root: Path, masks: Path, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    with _importable(toolkit) as evaluation:
        try:
            judge = evaluation.DAVISEvaluation(str(root), "semi-supervised", "val", sequences=list(names))
            found = judge.evaluate(str(masks))
        except SystemExit as error:  # its way of refusing masks; it has said why on stdout
            raise BadInput(f"the toolkit refuses the masks in {masks}") from error
    j, f = (found[key]["M_per_object"] for key in ("J", "F"))
    return {name: {"j": 100 * float(j[name]), "f": 100 * float(f[name])} for name in j}


@contextmanager
def _importable(toolkit: Path) -> Iterator[Any]:
    if not (toolkit / "davis2017" / "evaluation.py").is_file():
        raise BadInput(
            f"--toolkit {toolkit}: holds no davis2017/evaluation.py; wants a checkout of davis2017-evaluation"
        )
    sys.path.insert(0, str(toolkit))
    try:
        yield import_module("davis2017.evaluation")
    finally:
        sys.path.remove(str(toolkit))
