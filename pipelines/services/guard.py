"""The guard: outlives a killed supervisor by a moment and ends what it left behind.

The kernel ends a direct child with its parent (on Linux), but not the child's own children, and elsewhere not
even those. The guard reads process group numbers from its standard input, ``+123`` when one starts and
``-123`` when it ended; when the input closes, which only the supervisor's end can cause, it kills the groups
still open. It imports nothing of ours: it has to be up at once.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TextIO


def main(lines: TextIO) -> None:
    """Follow the supervisor's notes until they end, then kill every group that is still open."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it goes when the supervisor goes
    groups: set[int] = set()
    for line in lines:
        sign, number_text = line[:1], line[1:].strip()
        if sign == "+":
            groups.add(int(number_text))
        elif sign == "-":
            groups.discard(int(number_text))
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:
            continue  # ended by itself


if __name__ == "__main__":
    main(sys.stdin)
