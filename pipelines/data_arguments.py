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


def import_data(command: argparse.ArgumentParser) -> None:
    """``maskloop import``"""
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument("--project", metavar="P", help="the number or title of a project that has the labels")
    where.add_argument("--title", metavar="T", help="a new project of this title, or the one there is")
    command.add_argument(
        "--from", dest="source", type=Path, required=True, metavar="DIR", help="the folder with the data"
    )
    command.add_argument("--format", required=True, metavar="NAME", help="davis, youtube-vos, coco or voc")
    command.add_argument("--only", metavar="A,B", help="these sequences, with commas between; default: all")
