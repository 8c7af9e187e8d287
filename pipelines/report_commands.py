"""``maskloop report``: what a project's saved work says of each model version, at a terminal."""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from pathlib import Path

from pipelines.services.installation import current_settings

_TOLD = 20  # notes said one by one


def add_report(command: argparse.ArgumentParser) -> None:
    """``maskloop report``"""
    command.add_argument("--project", required=True, metavar="P", help="the project's number or title")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the report here as well")


def report(args: Namespace) -> int:
    """``maskloop report``"""
    from backends.labelstudio.client import LabelStudioClient
    from backends.loop.folder import ProjectFolder
    from pipelines.atomic import write_json
    from pipelines.loop.report import make_report, table, told
    from pipelines.progress import bar
    from pipelines.tag_project.make import find_project

    settings = current_settings()
    client = LabelStudioClient(settings.label_studio_url, settings.label_studio_token, timeout_s=60.0)
    project_id = find_project(client, args.project)
    made = make_report(project_id, settings, progress=bar)
    if made["versions"]:
        print(table(made))
    print(f"project {project_id} ({made['project']['title']}): {told(made)}")
    for note in made["notes"][:_TOLD]:
        print(f"note: {note}", file=sys.stderr)
    path = ProjectFolder(settings.data_dir, project_id).report_path
    if (more := len(made["notes"]) - _TOLD) > 0:
        print(f"note: {more} more, in {path}", file=sys.stderr)
    print(f"report in {path}; the console shows it at /console/projects/{project_id}")
    if args.json:
        write_json(args.json, made)
    return 0
