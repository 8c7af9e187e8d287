"""Runs of a study side by side, each in a process of its own; what is done is found again by its report.

A run's folder holds ``report.json`` once it is done, with the settings that it was made with.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, Protocol, TypeVar

from backends.core.errors import BadInput

REPORT = "report.json"


class Run(Protocol):
    """One training of a study, told to a process."""

    @property
    def row(self) -> str: ...

    @property
    def seed(self) -> int: ...

    @property
    def folder(self) -> Path: ...

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the result, as JSON values."""


R = TypeVar("R", bound=Run)
Report = dict[str, Any]


def finished(run: Run) -> Report | None:
    """The report of a run that is done, None of one that is not.

    Raises BadInput when the folder holds the report of other settings.
    """
    path = run.folder / REPORT
    if not path.is_file():
        return None
    report: Report = json.loads(path.read_text())
    if report["settings"] != run.settings:
        raise BadInput(
            f"{run.folder} holds a run with other settings; choose another --out or those settings"
        )
    return report


def perform_all(
    runs: Sequence[R], perform: Callable[[R], Report], parallel: int, say: Callable[[Report], str]
) -> list[Report]:
    """Every run's report, in the runs' order; ``parallel`` processes with an equal share of the cores.

    ``perform``, a function of a module, writes the report that :func:`finished` reads; ``say`` is the line
    that is printed when one is done.
    """
    reports = {(run.row, run.seed): report for run in runs if (report := finished(run)) is not None}
    waiting = [run for run in runs if (run.row, run.seed) not in reports]
    print(f"{len(reports)} of {len(runs)} runs are done; {len(waiting)} to go", flush=True)
    if waiting:
        parallel = max(1, min(parallel, len(waiting)))
        pool = ProcessPoolExecutor(
            parallel,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_prepare_process,
            initargs=(max(1, len(os.sched_getaffinity(0)) // parallel),),
            max_tasks_per_child=1,
        )
        try:
            futures: list[Future[Report]] = [pool.submit(perform, run) for run in waiting]
            for future in as_completed(futures):
                report = future.result()
                reports[report["row"], report["seed"]] = report
                print(say(report), flush=True)
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C each child saves its checkpoint and ends
    return [reports[run.row, run.seed] for run in runs]


def numbers(text: str, option: str) -> list[int]:
    """``0,1`` -> [0, 1]. Raises BadInput for anything else."""
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise BadInput(f"{option} {text!r}: wants whole numbers with commas between, such as 0,1") from None


def as_json(values: object) -> Any:
    """``values`` as they come back from disk: tuples become lists."""
    return json.loads(json.dumps(values))


def _prepare_process(threads: int) -> None:
    """What each process does first: take its share of the cores, and end when its parent has ended."""
    import torch

    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        sys.stderr.flush()
        os._exit(1)
