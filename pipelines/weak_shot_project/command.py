"""``maskloop train weak_shot --project P``: arguments in, sentences out."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from backends.core.errors import BadInput
from pipelines.progress import bar
from pipelines.services.installation import current_settings
from pipelines.train import DOWNLOAD
from pipelines.weak_shot_project.run import ALGORITHM, Wishes
from pipelines.weak_shot_project.run import train_project as run


def train_project(args: Namespace) -> int:
    """Raises BadInput for arguments that do not go together, and whatever ``run.train_project`` raises."""
    if args.project is None:
        raise BadInput("--novel goes with --project P; a folder of photos names its novel classes itself")
    if args.algorithm != ALGORITHM:
        raise BadInput(f"--project goes with {ALGORITHM}; {args.algorithm} learns from --data DIR")
    if args.data is not None or args.stills is not None:
        raise BadInput("--project reads Label Studio; leave --data and --stills away")
    settings = current_settings()
    wishes = Wishes(
        out=args.out,
        config=args.config,
        overrides=args.overrides,
        trunk=args.trunk or Path(DOWNLOAD),
        start_from=args.start_from,
        device=args.device or settings.device,
        novel=[name for name in (args.novel or "").split(",") if name],
        fresh=args.fresh,
    )
    outcome = run(args.project, settings, wishes, progress=bar, say=_say)
    print(f"weights: {outcome.weights}")
    serve = f"maskloop promote {ALGORITHM} {outcome.version} --project {args.project}"
    print(f"version: {outcome.version}; `{serve}` serves it there")
    return 0


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
