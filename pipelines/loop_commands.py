"""Commands of the loop: improve a project's model, see or change its policy."""

from __future__ import annotations

import json
import secrets
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from backends.core.errors import BadInput
from backends.loop.folder import ProjectFolder
from backends.loop.policy import Policy
from pipelines.services.installation import current_settings


def improve(args: Namespace) -> int:
    """``maskloop improve``: 0 whatever the decision was; errors have their own codes."""
    if args.queue:
        return _queue(args)
    from pipelines.loop.cycle import Wishes, in_a_sentence
    from pipelines.loop.cycle import improve as run
    from pipelines.loop.queued import opened, take_marked
    from pipelines.loop.report import refresh

    settings = current_settings()
    policy = _policy(ProjectFolder(settings.data_dir, args.project), args)
    if args.dry_run:
        from pipelines.loop.look import look
        from pipelines.progress import bar

        for line in look(args.project, settings, policy, say=_say, progress=bar):
            print(line)
        return 0
    wishes = Wishes(why="`maskloop improve`", fresh=args.fresh, policy=policy)
    with Bars() as bars:
        take = partial(take_marked, f"by-hand-{secrets.token_hex(8)}")
        outcome = run(args.project, settings, wishes, report=bars, say=_say, take=take)
    if outcome.is_new:
        _print_scores(outcome.cycle.run)
        for reason in outcome.cycle.reasons:
            print(f"{'against' if reason in outcome.cycle.against else '  holds'}: {reason}")
    print(in_a_sentence(outcome))
    for note in opened(outcome, settings):
        _say(f"note: {note}")
    if outcome.is_new and (trouble := refresh(args.project, settings)):
        _say(f"note: {trouble}")
    return 0


def _queue(args: Namespace) -> int:
    """Leave it to the training worker, with the policy as it stands there."""
    from backends.labelstudio.client import LabelStudioClient
    from backends.ledger import Ledger
    from backends.queues import ImproveRequest, connect, enqueue_improvement
    from backends.served_versions import algorithm_of

    if args.overrides or args.fresh or args.dry_run or args.promote is not None or args.seed is not None:
        raise BadInput(
            "--queue leaves all else to the project's policy: change that with "
            f"`maskloop policy --project {args.project} --set KEY=VALUE`, or leave --queue out"
        )
    settings = current_settings()
    client = LabelStudioClient(settings.label_studio_url, settings.label_studio_token)
    config = str(client.project(args.project).get("label_config") or "")
    request = ImproveRequest(args.project, algorithm_of(config), "`maskloop improve --queue`")
    ledger = Ledger(settings.ledger_path)
    try:
        row = enqueue_improvement(ledger, connect(settings), request)
    finally:
        ledger.close()
    told = "queued" if row.id == request.number else f"under way already ({row.state})"
    print(f"project {args.project}: {told}, job {row.id[:12]}; `maskloop jobs` and the console tell how far")
    return 0


def policy(args: Namespace) -> int:
    """``maskloop policy``: print what holds, after changing it where asked."""
    folder = ProjectFolder(current_settings().data_dir, args.project)
    now = folder.policy()
    if args.overrides:
        now = now.changed(args.overrides)
        folder.save_policy(now)
    for name, value in now.to_json().items():
        text = value if isinstance(value, str) else json.dumps(value)
        print(f"{name:<18}  {text}".rstrip())
    return 0


class Bars:
    """A progress bar per stage on standard error; used as the report of a cycle."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] = tqdm(disable=True)

    def __call__(self, done: int, total: int, stage: str) -> None:
        if self._bar.disable or self._bar.desc != stage:
            self._bar.close()
            self._bar = tqdm(desc=stage, file=sys.stderr)
        self._bar.total, self._bar.n = total or None, done
        self._bar.refresh()

    def __enter__(self) -> Bars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def _policy(folder: ProjectFolder, args: Namespace) -> Policy:
    """The project's, with what was said on this command line over it."""
    changes = list(args.overrides)
    changes += [] if args.seed is None else [f"seed={args.seed}"]
    changes += [] if args.promote is None else [f"promote={args.promote}"]
    return folder.policy().changed(changes)


def _print_scores(run: Path) -> None:
    from pipelines.loop.record import SCORES, scores_of
    from pipelines.loop.scores import table

    if (run / SCORES).is_file():
        print(table(*scores_of(run)))
        print()


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
