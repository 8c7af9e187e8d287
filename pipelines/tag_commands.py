"""What the commands around tags do: make a project, make its masks.

Imports stand inside the functions, so that ``maskloop --help`` waits for neither Redis nor Label Studio.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.core.errors import BadInput
from pipelines.services.installation import current_settings

if TYPE_CHECKING:
    from backends.ledger import JobRow, Ledger
    from backends.settings import Settings
    from backends.tag_batches import TagBatches
    from pipelines.tag_project.make import Plan

    _Prepared = tuple[Plan, Sequence[Mapping[str, Any]], Sequence[str]]

_ALGORITHM, _SCENES = "weak_shot", "video_semantic"
_POLL_S = 0.2


def project(args: Namespace) -> int:
    """``maskloop project``"""
    from backends.labelstudio.client import LabelStudioClient
    from pipelines.progress import bar
    from pipelines.tag_project.make import make_project
    from pipelines.up import backend_url

    if args.algorithm not in (_ALGORITHM, _SCENES):
        raise BadInput(
            f"no project is made for {args.algorithm!r}; this command knows {_ALGORITHM} and {_SCENES}"
        )
    source, other = (args.images, args.frames) if args.algorithm == _ALGORITHM else (args.frames, args.images)
    if source is None or other is not None:
        raise BadInput("weak_shot wants --images DIR, video_semantic wants --frames DIR or a video, not both")
    settings = current_settings()
    client = LabelStudioClient(settings.label_studio_url, settings.label_studio_token, timeout_s=60.0)
    prepare = _photos if args.algorithm == _ALGORITHM else _clips
    plan, tasks, notes = prepare(args, settings, client.whoami)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    made = make_project(
        client,
        settings,
        args.title or (source.resolve().name if source.is_dir() else source.stem),
        plan,
        tasks,
        backend_url=backend_url(settings),
        secret=settings.shared_secret(),
        progress=bar,
    )
    what = "photos" if args.algorithm == _ALGORITHM else "clips"
    print(f"project {made.project_id} ({made.title}): {made.added} {what} added, {made.total} in all")
    print(made.url)
    return 0


def _photos(args: Namespace, settings: Settings, greet: Callable[[], object]) -> _Prepared:
    from pipelines.progress import bar
    from pipelines.tag_project.config_xml import check_classes
    from pipelines.tag_project.make import tag_plan
    from pipelines.tag_project.photos import check_tags, ingest_photos

    classes = check_classes((args.labels or "").split(","))
    tags = check_tags(_json(args.tags), classes) if args.tags else {}
    greet()  # a Label Studio that is away is told before photos are copied
    photos = ingest_photos(args.images, settings, tags=tags, progress=bar)
    return tag_plan(classes), photos.tasks, photos.notes


def _clips(args: Namespace, settings: Settings, greet: Callable[[], object]) -> _Prepared:
    from pipelines.ingest import ingest
    from pipelines.progress import bar
    from pipelines.tag_project.clips import clip_plan, within_budget

    if args.tags:
        raise BadInput("--tags is for photos; clips of whole scenes have none")
    plan = clip_plan(args.labels.split(",") if args.labels else ())
    greet()
    clips = ingest(args.frames, within_budget(settings, plan), progress=bar)
    return plan, [clip.task_data for clip in clips], clips[0].notes


def make_masks(args: Namespace) -> int:
    """``maskloop make-masks``"""
    from backends.labelstudio.client import LabelStudioClient
    from backends.ledger import Ledger
    from backends.tag_batches import Summary
    from pipelines.progress import bar
    from pipelines.tag_project.make import find_project

    settings = current_settings()
    client = LabelStudioClient(settings.label_studio_url, settings.label_studio_token, timeout_s=60.0)
    number = find_project(client, args.project)
    ledger = Ledger(settings.ledger_path)
    try:
        summary = Summary()
        total = int(client.project(number).get("task_number") or 0)
        batches = _batches(settings, ledger)
        for wanted in bar(batches.project(client, number), total=total, label="reading tags"):
            summary.add(wanted)
            if wanted.refusal:
                print(f"note: task {wanted.task_id}: {wanted.refusal}", file=sys.stderr)
        print(summary)
        if args.wait:
            _wait(ledger, summary.jobs)
            _print_review(ledger, number, settings.ledger_path)
        return 0
    finally:
        ledger.close()


def _batches(settings: Settings, ledger: Ledger) -> TagBatches:
    """The same collaborators as the server's, put together for one command."""
    from functools import partial

    from backends import queues
    from backends.labelstudio.media import FrameLocator
    from backends.notices import Notices
    from backends.registry import Registry
    from backends.served_versions import ServedVersions
    from backends.tag_batches import TagBatches
    from backends.tag_wishes import TagWishes

    url, token = settings.label_studio_url, settings.label_studio_token
    cache = settings.data_dir / "cache" / "frames"
    files = FrameLocator(settings.media_root, url, token, cache, max_pixels=settings.max_image_pixels)
    notices = Notices(settings.ledger_path)
    served = partial(ServedVersions(Registry(settings.models_dir)).of, _ALGORITHM)
    wishes = TagWishes(ledger, notices, files, served, settings.max_image_pixels)
    enqueue = partial(queues.enqueue_pseudo_label, ledger, queues.connect(settings))
    return TagBatches(wishes, notices, enqueue)


def _wait(ledger: Ledger, jobs: Sequence[JobRow]) -> None:
    """Until every job is over and handed to Label Studio; Ctrl-C leaves the worker at it."""
    from pipelines.progress import bar

    rows = list(bar(_ended(ledger, jobs), total=len(jobs), label="making masks"))
    for row in rows:
        if row.state != "done" or row.delivery != "delivered":
            why = row.error or row.delivery_error or row.delivery
            print(f"note: task {row.task_id} is {row.state}: {why}", file=sys.stderr)


def _ended(ledger: Ledger, jobs: Iterable[JobRow]) -> Iterator[JobRow]:
    waiting = [row.id for row in jobs]
    while waiting:
        still = []
        for job_id in waiting:
            row = ledger.job(job_id)
            if row.is_over and not (row.state == "done" and row.delivery == "pending"):
                yield row
            else:
                still.append(job_id)
        waiting = still
        if waiting:
            time.sleep(_POLL_S)


def _print_review(ledger: Ledger, project_id: int, path: Path) -> None:
    from backends.notices import KEPT, Notices
    from backends.review import review_order
    from backends.shown_names import picture_name

    order = review_order(ledger.made_masks(project_id), Notices(path).events(KEPT))
    print(f"{'task':>6}  {'trust':>5}  {'mean':>5}  least sure of, picture")
    for item in order:
        name = f"{item.worst}, {picture_name(item.reference)}"
        print(f"{item.task_id:>6}  {item.worst_trust:>5.2f}  {item.score:>5.2f}  {name}")


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BadInput(f"{path}: not JSON ({error})") from error
