"""``maskloop study floors``: the network beside two methods that learn nothing, scored alike."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``maskloop study floors``."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data in the DAVIS layout")
    parser.add_argument("--sequences", metavar="A,B", help="sequences, with commas between; default: all")
    parser.add_argument("--trunk", type=Path, metavar="FILE", help="pretrained weights of the trunk")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="default: the served version's weights")
    parser.add_argument("--device", help="torch device: cpu, cuda or cuda:N; default: MASKLOOP_DEVICE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table here")


def run(args: argparse.Namespace) -> int:
    """Score all three and print one table."""
    raise NotImplementedError
