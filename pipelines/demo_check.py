"""``make demo-check``: the annotator's work in the real editor, measured against the exact truth.

Starts ``maskloop up`` on an empty data folder and ports of its own, paints both objects on the first page,
propagates, flips pages, submits, and reads the annotation back through the API. ``build/demo-check.json``
then holds, beside ``frames``, ``j`` and the IoU per frame (:mod:`pipelines.browser.demo_report`), in seconds:

- ``click_to_masks_s``: from the Propagate click until all masks are in the annotation and the page is drawn
- ``network_s``: of that, inside the network (the ledger's row of the job)
- ``overhead_s``: the rest: draft, queue, decoding of frames, the way back, the editor

and ``presses`` (Propagate clicks it took), ``model_version``, ``screenshots``, ``requests`` and ``leaks``
(requests of the browser, and those that left Label Studio: there must be none).
"""

from __future__ import annotations

import argparse
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import LabelStudioDown, MaskLoopError, SetupFault
from backends.core.images import read_index_mask
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import read_masks
from backends.ledger import Ledger
from backends.settings import PREFIX, Settings, from_env, inherited
from pipelines.atomic import write_json
from pipelines.browser import chromium, demo_report
from pipelines.browser.annotator import Propagated, paint, propagate
from pipelines.browser.editor import Editor
from pipelines.media.sample_clip import FRAME_NAMES, N_FRAMES, OBJECTS, SIZE_HW
from pipelines.services import installation
from pipelines.services.locks import running_pid
from pipelines.services.supervisor import ChildSpec, Supervisor, python_argv

SHOWN = (0, 10, 20, 30, N_FRAMES - 1)
"""Frames to look at afterwards: one screenshot each."""

_READY = "MaskLoop is ready"
_START_LIMIT_S = 900.0
_PASSED_ON = ("LABEL_STUDIO_ENV", "DEVICE", "THREADS", "LOG_LEVEL")  # settings that a person may give


@dataclass(frozen=True)
class _Seen:
    """What was seen at the editor."""

    propagated: Propagated
    screenshots: tuple[Path, ...]
    requests: int
    leaks: tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the check; 0 when everything is as it should be, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="demo_check", description="Do the annotator's work and measure it.")
    parser.add_argument("--out", type=Path, default=Path("build"), help="folder for report and screenshots")
    out = parser.parse_args(argv).out
    try:
        faults = check(out)
    except MaskLoopError as error:
        faults = [str(error)]
    except KeyboardInterrupt:
        return 130
    for fault in faults:
        print(f"demo-check: {fault}", file=sys.stderr)
    return 1 if faults else 0


def check(out: Path) -> list[str]:
    """Work, measure, write the report; returns what is wrong. Raises MaskLoopError when it cannot be done."""
    if reason := chromium.missing():
        raise SetupFault(reason)
    pictures = out / "demo-check"
    shutil.rmtree(pictures, ignore_errors=True)
    with running(out / "demo-check-data") as settings:
        client = LabelStudioClient(settings.label_studio_url, settings.label_studio_token, timeout_s=60.0)
        [project] = client.projects()
        [task] = client.tasks(int(project["id"]))
        config = LabelConfig.parse(project["label_config"])
        truth = _truth(settings.data_dir / "sample-truth")
        seen = _annotate(settings, config, (int(project["id"]), int(task["id"])), truth[0], pictures)
        [annotation] = client.annotations(int(task["id"]))
        regions, refusals = read_masks(annotation["result"], config, N_FRAMES, SIZE_HW)
        network = _network(settings, int(task["id"]))
    scores = demo_report.score(regions, truth, OBJECTS)
    report = demo_report.as_json(scores) | _measured(seen, network)
    write_json(out / "demo-check.json", report)
    _say(demo_report.table(scores))
    _say(f"click to masks {report['click_to_masks_s']} s, of it in the network {report['network_s']} s")
    _say(f"{out / 'demo-check.json'}, screenshots in {pictures}")
    return demo_report.faults(scores, [str(refusal) for refusal in refusals], seen.leaks)


@contextmanager
def running(data_dir: Path, *words: str, **settings: str) -> Iterator[Settings]:
    """``maskloop up`` on an empty folder, until the block ends; gives the settings of its services.

    ``words`` are typed behind ``up``, ``settings`` are set for it (``ENGINE="torch"``). Raises SetupFault
    when it does not start, or when another check works on the same folder.
    """
    if pid := running_pid(data_dir):
        raise SetupFault(f"another check works on {data_dir} (process {pid}); wait for it")
    shutil.rmtree(data_dir, ignore_errors=True)
    log = data_dir.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    env = _environment(data_dir) | {f"{PREFIX}{name}": value for name, value in settings.items()}
    argv = python_argv("pipelines.cli", "up", *words)
    spec = ChildSpec("maskloop", argv, env, Path(__file__).parents[1], log, grace_s=60.0)
    with Supervisor(_say) as supervisor:
        supervisor.start(spec)
        supervisor.wait_until(
            lambda: _READY in log.read_text(errors="replace"),
            "maskloop up",
            limit_s=_START_LIMIT_S,
            hint="an empty folder: the first start builds a database, about a minute",
        )
        yield installation.effective(from_env(env), frozenset({"data_dir"}))


def _annotate(
    settings: Settings,
    config: LabelConfig,
    ids: tuple[int, int],
    truth: NDArray[np.uint8],
    pictures: Path,
) -> _Seen:
    """The work on project and task ``ids``; ``truth`` is the first frame's index map."""
    login = installation.ensure_login(settings.data_dir)
    with chromium.open_page() as page:
        watch = chromium.OriginWatch(page, [settings.label_studio_url])
        editor = Editor(page, settings.label_studio_url, config, SIZE_HW)
        with _evidence(editor, pictures / "failed.png"):
            editor.log_in(login.email, login.password)
            editor.open(*ids)
            editor.switch_on_auto()
            _say("Painting …")
            for number, name in enumerate(OBJECTS, start=1):
                paint(editor, config, name, truth == number)
            screenshots = [editor.screenshot(pictures / "painted.png")]
            _say("Propagating …")
            propagated = propagate(editor, config, truth == 1, N_FRAMES)
            for index in SHOWN:
                editor.flip_to(index)
                screenshots.append(editor.screenshot(pictures / f"page-{index + 1:02d}.png"))
            editor.submit()
            screenshots.append(editor.screenshot(pictures / "submitted.png"))
        return _Seen(propagated, tuple(screenshots), watch.seen, tuple(watch.leaks))


@contextmanager
def _evidence(editor: Editor, picture: Path) -> Iterator[None]:
    """When the work fails, a picture of the page is kept and named."""
    try:
        yield
    except MaskLoopError as error:
        with suppress(Exception):  # a dead browser must not hide the reason
            editor.screenshot(picture)
        raise LabelStudioDown(f"{error} (see {picture} and the logs in the data folder)") from error


def _truth(folder: Path) -> list[NDArray[np.uint8]]:
    return [read_index_mask(folder / f"{Path(name).stem}.png") for name in FRAME_NAMES]


def _network(settings: Settings, task_id: int) -> tuple[float, str]:
    """Seconds inside the network for this task's propagation, and the version that ran."""
    ledger = Ledger(settings.ledger_path)
    try:
        jobs = ledger.jobs(task_id=task_id)
        return sum(job.network_s for job in jobs), jobs[0].model_version
    finally:
        ledger.close()


def _measured(seen: _Seen, network: tuple[float, str]) -> dict[str, Any]:
    network_s, version = network
    waited_s = seen.propagated.click_to_masks_s
    return {
        "click_to_masks_s": round(waited_s, 2),
        "network_s": round(network_s, 2),
        "overhead_s": round(waited_s - network_s, 2),
        "presses": seen.propagated.presses,
        "model_version": version,
        "requests": seen.requests,
        "leaks": list(seen.leaks),
        "screenshots": [str(path) for path in seen.screenshots],
    }


def _environment(data_dir: Path) -> dict[str, str]:
    """For ``maskloop up``: two free ports, and of a person's own settings only those of the machine."""
    ours = {f"{PREFIX}{name}" for name in _PASSED_ON}
    env = {name: text for name, text in inherited().items() if not name.startswith(PREFIX) or name in ours}
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], other.getsockname()[1]
    return env | {
        f"{PREFIX}DATA_DIR": str(data_dir.resolve()),
        f"{PREFIX}PORT": str(ports[0]),
        f"{PREFIX}LABEL_STUDIO_PORT": str(ports[1]),
    }


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
