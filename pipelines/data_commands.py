"""What the commands that carry labelled data out of Label Studio and into it do: export, import.

Imports stand inside the functions, so that ``maskloop --help`` waits for neither Label Studio nor its SDK.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable

from pipelines.services.installation import current_settings

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
        f"project {project_id} ({work.title}): {exported.clips} tasks, {exported.frames} frames as "
        f"{args.format} in {args.out}"
    )
    return 0


def _tell(notes: Iterable[str], rest_in: str) -> None:
    """Notes on stderr; empty ones are none."""
    there = [note for note in notes if note]
    for note in there[:_TOLD]:
        print(f"note: {note}", file=sys.stderr)
    if len(there) > _TOLD:
        print(f"note: {len(there) - _TOLD} more, in {rest_in}", file=sys.stderr)
