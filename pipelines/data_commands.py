"""What the commands that carry labelled data out of Label Studio and into it do: export, import.

Imports stand inside the functions, so that ``maskloop --help`` waits for neither Label Studio nor its SDK.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipelines.services.installation import current_settings

if TYPE_CHECKING:
    from backends.labelstudio.client import LabelStudioClient
    from backends.labelstudio.label_config import LabelConfig
    from backends.settings import Settings
    from pipelines.importing.found import FoundData

SOME_REFUSED = 2  # the exit code, as for any other input that cannot be used

_TOLD = 20  # notes said one by one


def export(args: Namespace) -> int:
    """``maskloop export``"""
    from backends.labelstudio.client import LabelStudioClient
    from pipelines.export.project import work_of
    from pipelines.export.tasks import unsubmitted
    from pipelines.export.write import RECORD, check_format, check_out
    from pipelines.export.write import export as run
    from pipelines.progress import bar
    from pipelines.tag_project.make import find_project

    check_format(args.format)
    settings = current_settings()
    client = LabelStudioClient(settings.label_studio_url, settings.label_studio_token, timeout_s=60.0)
    project_id = find_project(client, args.project)
    check_out(args.out, project_id, args.format)  # before a long reading
    work = work_of(project_id, settings, progress=bar)
    exported = run(work, args.format, args.out, progress=bar)
    _tell([*work.notes, unsubmitted(client, project_id), *exported.lost], RECORD)
    print(
        f"project {project_id} ({work.title}): {_many(exported.clips, 'task')}, "
        f"{_many(exported.frames, 'frame')} as {args.format} in {args.out}"
    )
    return 0


def import_data(args: Namespace) -> int:
    """``maskloop import``: 0 when everything was taken in, 2 when some of it could not be used."""
    from backends.labelstudio.client import LabelStudioClient
    from pipelines.importing.run import import_data as run
    from pipelines.importing.run import read
    from pipelines.progress import bar

    settings = current_settings()
    only = args.only.split(",") if args.only else ()
    found = read(args.format, args.source, settings, only, progress=bar)
    client = LabelStudioClient(settings.label_studio_url, settings.label_studio_token, timeout_s=60.0)
    project_id, config = _project_for(args, found, client, settings)
    imported = run(found, client, project_id, config, settings, progress=bar)
    _tell(imported.notes, "all")
    if imported.widest_px > settings.max_side_px:
        wide = f"frames of {imported.widest_px} pixels stay as they are, because masks lie on them"
        print(f"note: {wide}; the editor is quick up to {settings.max_side_px}", file=sys.stderr)
    known = f", {imported.known} were there" if imported.known else ""
    added = f"{_many(imported.tasks, 'task')} added with {_many(imported.masks, 'mask')}"
    print(f"project {project_id}: {added}{known}")
    print(f"{settings.label_studio_url}/projects/{project_id}/data")
    return SOME_REFUSED if imported.notes else 0


def _project_for(
    args: Namespace, found: FoundData, client: LabelStudioClient, settings: Settings
) -> tuple[int, LabelConfig]:
    """The project to import into, made where only its title is given, with the clips' folder registered."""
    from pipelines.importing.run import check_project
    from pipelines.ingest import CLIPS
    from pipelines.tag_project.clips import object_plan
    from pipelines.tag_project.make import find_project, make_project
    from pipelines.up import backend_url

    if args.title:
        made = make_project(
            client,
            settings,
            args.title,
            object_plan(found.labels),
            (),
            backend_url=backend_url(settings),
            secret=settings.shared_secret(),
        )
        number = made.project_id
    else:
        number = find_project(client, args.project)
    project = client.project(number)
    config = check_project(str(project.get("label_config") or ""), found, str(project.get("title")))
    folder = settings.media_root.resolve() / CLIPS
    folder.mkdir(parents=True, exist_ok=True)
    client.put_local_storage(number, str(folder), title=f"MaskLoop {CLIPS}")
    return number, config


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _tell(notes: Iterable[str], rest_in: str) -> None:
    """Notes on stderr; empty ones are none."""
    there = [note for note in notes if note]
    for note in there[:_TOLD]:
        print(f"note: {note}", file=sys.stderr)
    if len(there) > _TOLD:
        print(f"note: {len(there) - _TOLD} more, in {rest_in}", file=sys.stderr)
