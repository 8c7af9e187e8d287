"""``maskloop train ALGORITHM --project P``: arguments in, sentences out."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from backends.core.errors import BadInput
from pipelines.progress import bar
from pipelines.services.installation import current_settings
from pipelines.train import DOWNLOAD
from pipelines.weak_shot_project.run import ALGORITHM, Outcome, Wishes
from pipelines.weak_shot_project.run import train_project as run

PROJECTS = (ALGORITHM, "video_object", "video_semantic")
"""What a project may teach."""


def train_project(args: Namespace) -> int:
    """Raises BadInput for arguments that do not go together, and whatever training a project raises."""
    if args.project is None:
        raise BadInput("--novel goes with --project P; a folder of photos names its novel classes itself")
    if args.algorithm not in PROJECTS:
        raise BadInput(f"--project goes with {', '.join(PROJECTS)}; {args.algorithm} learns from --data DIR")
    if args.novel and args.algorithm != ALGORITHM:
        raise BadInput(f"--novel goes with {ALGORITHM}: {args.algorithm} learns classes from masks alone")
    if args.data is not None or args.stills is not None:
        raise BadInput("--project reads Label Studio; leave --data and --stills away")
    outcome = _trained(args)
    print(f"weights: {outcome.weights}")
    serve = f"maskloop promote {args.algorithm} {outcome.version} --project {args.project}"
    print(f"version: {outcome.version}; `{serve}` serves it")
    return 0


def _trained(args: Namespace) -> Outcome:
    settings = current_settings()
    wishes = Wishes(
        out=args.out,
        config=args.config,
        overrides=args.overrides,
        trunk=args.trunk or (Path(DOWNLOAD) if args.algorithm == ALGORITHM else None),
        start_from=args.start_from,
        device=args.device or settings.device,
        novel=[name for name in (args.novel or "").split(",") if name],
        fresh=args.fresh,
    )
    if args.algorithm == ALGORITHM:
        return run(args.project, settings, wishes, progress=bar, say=_say)
    from pipelines.loop.train_project import train_project as train_clips

    return train_clips(args.algorithm, args.project, settings, wishes, progress=bar, say=_say)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
