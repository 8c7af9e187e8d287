"""``make loop-check``: the whole circle of the loop in real services, in a few minutes on two cores.

Starts ``maskloop up`` (Label Studio, Redis, backend, worker, trainer) on an empty data folder and goes
through :mod:`pipelines.circle.steps`. Weak weights are served first, since the shipped ones would leave
nothing to correct in such small videos. Clips are propagated, corrected and submitted through the API; a
training through the queue makes a better version that the gate accepts, and the next prediction carries it;
a training that was spoilt on purpose is refused; going back restores the old version.
``build/loop-check.json`` holds what was measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from backends.core.errors import MaskLoopError
from pipelines.atomic import write_json
from pipelines.circle import videos
from pipelines.circle.steps import Circle
from pipelines.demo_check import running


def main(argv: Sequence[str] | None = None) -> int:
    """Run the check; 0 when every step led where it should, 1 otherwise."""
    parser = argparse.ArgumentParser(
        prog="loop_check", description="Go through the loop once, at small size."
    )
    parser.add_argument("--out", type=Path, default=Path("build"), help="folder for the report and the logs")
    out = parser.parse_args(argv).out
    try:
        check(out)
    except MaskLoopError as error:
        print(f"loop-check: {error} (logs in {out / 'loop-check-data' / 'logs'})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def check(out: Path) -> None:
    """Raises MaskLoopError, naming the step that did not lead where it should."""
    begun = time.monotonic()
    first = videos.write(out / "loop-check-clip", 0)
    # graphs of networks that are asked about six frames each cost more time than they save
    with running(out / "loop-check-data", "--clip", str(first), ENGINE="torch") as settings:
        circle = Circle(settings, _say)
        try:
            circle.go()
        finally:
            write_json(out / "loop-check.json", circle.figures)
    _say(f"The circle is whole ({time.monotonic() - begun:.0f} s); figures in {out / 'loop-check.json'}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
