"""What each command does: parsed arguments to one plain function, its result to the screen.

Imports stand inside the functions, so that ``maskloop --help`` waits for neither torch nor Redis.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from datetime import datetime
from typing import TYPE_CHECKING

from backends.core.errors import BadInput
from pipelines.services.installation import current_settings

if TYPE_CHECKING:
    from backends.ledger import JobRow, Ledger


def up(args: Namespace) -> int:
    """``maskloop up``"""
    from pipelines.up import main

    return main(clip=args.clip)


def doctor(args: Namespace) -> int:
    """``maskloop doctor``"""
    from pipelines.doctor import run

    return int(run(current_settings()))


def worker(args: Namespace) -> int:
    """``maskloop worker``"""
    if args.train:
        from pipelines.train_worker import main as train

        return int(train([]))
    from pipelines.worker import main

    return int(main([]))


def ingest(args: Namespace) -> int:
    """``maskloop ingest``"""
    from pipelines.atomic import write_json
    from pipelines.ingest import ingest as run
    from pipelines.progress import bar

    clips = run(args.source, current_settings(), progress=bar)
    for note in clips[0].notes:
        print(f"note: {args.source}: {note}", file=sys.stderr)
    for clip in clips:
        height, width = clip.size_hw
        print(f"{clip.clip_id}: {clip.n_frames} frames of {width}x{height} in {clip.folder}")
    if args.tasks:
        write_json(args.tasks, [{"data": clip.task_data} for clip in clips])
        print(f"{len(clips)} tasks in {args.tasks}: import this file into the project in Label Studio")
    return 0


def jobs(args: Namespace) -> int:
    """``maskloop jobs``"""
    from backends.ledger import Ledger
    from backends.queues import cancel, connect, retry
    from backends.registry import Registry
    from backends.served_versions import ServedVersions

    settings = current_settings()
    if not settings.ledger_path.is_file():
        where = f"{settings.ledger_path} is not there yet (MASKLOOP_DATA_DIR says where to look)"
        if args.action != "list":
            raise BadInput(f"no job to {args.action}: {where}")
        print(f"no jobs: {where}")
        return 0
    ledger = Ledger(settings.ledger_path)
    try:
        if args.action == "list":
            _print_jobs(ledger.jobs(limit=max(1, args.limit)))
            return 0
        job, redis = _job_id(ledger, args.job), connect(settings)
        answered_by = ServedVersions(Registry(settings.models_dir)).still
        is_cancel = args.action == "cancel"
        row = cancel(ledger, redis, job) if is_cancel else retry(ledger, redis, job, answered_by)
        _print_jobs([row])
        return 0
    finally:
        ledger.close()


def versions(args: Namespace) -> int:
    """``maskloop versions``"""
    from backends.registry import Registry
    from pipelines.versions import table

    print(table(Registry(current_settings().models_dir), args.algorithm, args.project))
    return 0


def promote(args: Namespace) -> int:
    """``maskloop promote``"""
    from backends.registry import Registry
    from pipelines.versions import answer_waiting
    from pipelines.versions import promote as run

    settings = current_settings()
    print(run(Registry(settings.models_dir), args.algorithm, args.version, args.project))
    answer_waiting(settings, args.algorithm, args.project)
    return _opened(args)


def roll_back(args: Namespace) -> int:
    """``maskloop roll-back``"""
    from backends.registry import Registry
    from pipelines.versions import roll_back as run

    print(run(Registry(current_settings().models_dir), args.algorithm, args.project))
    return _opened(args)


def _opened(args: Namespace) -> int:
    from pipelines.openings import open_with_served

    for note in open_with_served(current_settings(), args.algorithm, args.project):
        print(f"note: {note}", file=sys.stderr)
    return 0


def _job_id(ledger: Ledger, start: str | None) -> str:
    if not start:
        raise BadInput("which job? Give its id, or the beginning of it, as `maskloop jobs` prints it")
    found = [row.id for row in ledger.jobs(limit=100_000) if row.id.startswith(start)]
    if len(found) != 1:
        raise BadInput(
            f"{len(found) or 'no'} jobs begin with {start!r}; give an id as `maskloop jobs` prints it"
        )
    return found[0]


def _print_jobs(rows: list[JobRow]) -> None:
    if not rows:
        print("no jobs")
        return
    print(f"{'job':<12}  {'state':<10}  {'done':>9}  {'task':>6}  {'wanted':<16}  what")
    for row in rows:
        wanted = datetime.fromtimestamp(row.wanted_at).strftime("%Y-%m-%d %H:%M")
        done = f"{row.done}/{row.total}"
        words = row.error or row.delivery_error
        if row.task_id == 0:
            words = f"project {row.project_id}, {row.kind}: {words or row.stage}".rstrip(": ")
        task = row.task_id or ""
        line = f"{row.id[:12]:<12}  {row.state:<10}  {done:>9}  {task:>6}  {wanted:<16}  "
        line += " ".join(words.split())
        print(line.rstrip())
