"""What the commands that carry labelled data out of Label Studio and into it may be told."""

from __future__ import annotations

import argparse
from pathlib import Path

_EXPORTS = "davis, youtube-vos, coco, coco-panoptic, voc, cityscapes, yolo-seg or labelstudio"


def export(command: argparse.ArgumentParser) -> None:
    """``maskloop export``"""
    command.add_argument("--project", required=True, metavar="P", help="the project's number or title")
    command.add_argument("--format", required=True, metavar="NAME", help=_EXPORTS)
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="a new or empty folder, or an older export of the same project in the same format",
    )
