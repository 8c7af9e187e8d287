"""The ``maskloop`` command: arguments in, one plain function called, errors as one line and an exit code.

Exit codes: 0 done · 1 a fault of ours · 2 input that cannot be used · 3 something outside is down ·
4 this installation is incomplete, or the disk refuses · 130 ended with Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from backends.core.errors import BadInput, Cancelled, MaskLoopError, SetupFault, Unavailable
from pipelines import commands
from pipelines.studies import add_studies

_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (BadInput, 2),
    (Unavailable, 3),
    (SetupFault, 4),
    (Cancelled, 130),
    (MaskLoopError, 1),
    (OSError, 4),
    (KeyboardInterrupt, 130),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. A traceback is printed with ``--debug`` only."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words  # taken wherever it stands, also behind the command
    warnings.filterwarnings(
        "ignore", module=r"PIL\..*"
    )  # what matters of it comes as an error that names the file
    args = build_parser().parse_args([word for word in words if word != "--debug"])
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `maskloop jobs | head`: nobody reads on, which is no fault
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        print(f"maskloop: {one_line(error)}", file=sys.stderr)
        return next((code for kind, code in _CODES if isinstance(error, kind)), 1)


def one_line(error: BaseException) -> str:
    """What went wrong, for a person, without line breaks."""
    if isinstance(error, KeyboardInterrupt):
        text = "stopped; what was finished is kept"
    elif isinstance(error, MaskLoopError):
        text = str(error)
    elif isinstance(error, OSError):
        text = f"{error.filename or 'the system'}: {error.strerror or error}"
    else:
        text = f"internal fault, {type(error).__name__}: {error} (add --debug for the traceback)"
    return " ".join(text.split())


def build_parser() -> argparse.ArgumentParser:
    """All commands; each has help and an example."""
    parser = argparse.ArgumentParser(
        prog="maskloop", description="Masks on every frame of a video, inside open-source Label Studio."
    )
    parser.add_argument("--version", action="version", version=f"maskloop {version('maskloop')}")
    parser.add_argument("--debug", action="store_true", help="print the traceback of an error")
    commands_of = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (what, example, add_arguments, run) in _COMMANDS.items():
        command = commands_of.add_parser(
            name,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_arguments(command)
        command.set_defaults(run=run)
    return parser


def _up(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--clip", type=Path, metavar="PATH", help="your own clip: a folder of frames or a video file"
    )


def _nothing(command: argparse.ArgumentParser) -> None:
    """A command without arguments; the settings say it all."""


def _ingest(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", type=Path, help="a folder of frames or a video file")
    command.add_argument(
        "--tasks", type=Path, metavar="FILE", help="write the tasks as JSON, to import into a project"
    )


def _propagate(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--frames", type=Path, required=True, metavar="PATH", help="folder of frames, or one video file"
    )
    command.add_argument(
        "--masks",
        type=Path,
        required=True,
        metavar="DIR",
        help="PNG masks named like their frames (index colours, 0 = background; or black and white)",
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="one PNG per frame and propagate.json go here"
    )
    _add_model(command)


def _train(command: argparse.ArgumentParser) -> None:
    command.add_argument("algorithm", help="what to train: video_object or clicks")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="data in the DAVIS layout")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run's folder")
    command.add_argument("--config", type=Path, metavar="FILE", help="JSON config; default: the shipped one")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="change one value of the config; VALUE in JSON; may be given again",
    )
    command.add_argument(
        "--trunk",
        type=Path,
        metavar="FILE",
        help="pretrained weights of the trunk; the word download fetches torchvision's",
    )
    command.add_argument(
        "--stills",
        type=Path,
        metavar="DIR",
        help="photos with label maps (images/, masks/) to learn from as well",
    )
    command.add_argument("--start-from", type=Path, metavar="FILE", help="weights to go on from")
    command.add_argument("--device", help="torch device: cpu, cuda or cuda:N; default: MASKLOOP_DEVICE")
    how = command.add_mutually_exclusive_group()
    how.add_argument(
        "--resume", dest="fresh", action="store_const", const=False, help="go on where a run was (default)"
    )
    how.add_argument(
        "--fresh", dest="fresh", action="store_const", const=True, help="forget what is in --out"
    )
    command.set_defaults(fresh=False)


def _calibrate(command: argparse.ArgumentParser) -> None:
    command.add_argument("algorithm", help="whose confidence: video_object")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="data in the DAVIS layout")
    command.add_argument(
        "--sequences", metavar="A,B", help="sequences to fit on, with commas between; default: all"
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the same weights with the fitted confidence"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the fit and its figures here")
    _add_model(command)


def _evaluate(command: argparse.ArgumentParser) -> None:
    command.add_argument("algorithm", help="what to score: video_object")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="data in the DAVIS layout")
    command.add_argument("--sequences", metavar="A,B", help="sequences, with commas between; default: all")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the scores here")
    command.add_argument(
        "--masks-out",
        type=Path,
        metavar="DIR",
        help="write the scored masks here: SEQUENCE/FRAME.png, index colours",
    )
    _add_model(command)


def _bench(command: argparse.ArgumentParser) -> None:
    command.add_argument("algorithm", help="what to time: video_object")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    command.add_argument("--weights", type=Path, metavar="FILE", help="default: the served version's weights")
    command.add_argument("--threads", default="1,2", metavar="A,B", help="numbers of threads; default: 1,2")
    command.add_argument("--quick", action="store_true", help="fewer rounds and sizes, a short clip")


def _quantise(command: argparse.ArgumentParser) -> None:
    command.add_argument("algorithm", help="what to quantise: video_object")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="data in the DAVIS layout")
    command.add_argument("--sequences", required=True, metavar="A,B", help="training sequences to measure on")
    command.add_argument("--weights", type=Path, required=True, metavar="FILE", help="the weights")
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="the ranges; default: int8.json beside the weights"
    )
    command.add_argument("--frames", type=int, default=24, metavar="N", help="how many frames; default: 24")


def _jobs(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "action", nargs="?", default="list", choices=("list", "cancel", "retry"), help="default: list"
    )
    command.add_argument("job", nargs="?", help="the job's id, or enough of its beginning")
    command.add_argument("--limit", type=int, default=20, metavar="N", help="how many to list; default: 20")


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--weights", type=Path, metavar="FILE", help="default: the served version's weights")
    command.add_argument("--device", help="torch device: cpu, cuda or cuda:N; default: MASKLOOP_DEVICE")


_COMMANDS = {
    "up": (
        "start Redis, Label Studio, the backend and the worker, until Ctrl-C",
        "maskloop up --clip holiday.mp4",
        _up,
        commands.up,
    ),
    "doctor": (
        "check every connection, version and setting, and say how to mend what fails",
        "maskloop doctor",
        _nothing,
        commands.doctor,
    ),
    "ingest": (
        "cut a video or a folder of frames into clips that Label Studio can show",
        "maskloop ingest holiday.mp4 --tasks tasks.json",
        _ingest,
        commands.ingest,
    ),
    "propagate": (
        "carry masks on some frames to all frames, files to files, without Label Studio",
        "maskloop propagate --frames frames/ --masks masks/ --out out/",
        _propagate,
        commands.propagate,
    ),
    "train": (
        "train an algorithm; a run that was stopped goes on where it was",
        "maskloop train video_object --data davis/ --out runs/first --set steps=2000",
        _train,
        commands.train,
    ),
    "calibrate": (
        "fit an algorithm's confidence to the true J and store it with the weights",
        "maskloop calibrate video_object --data davis/ --weights w.safetensors --out calibrated.safetensors",
        _calibrate,
        commands.calibrate,
    ),
    "evaluate": (
        "score an algorithm with the official metric",
        "maskloop evaluate video_object --data davis/ --sequences bear,bus --json scores.json",
        _evaluate,
        commands.evaluate,
    ),
    "study": (
        "answer one question about an algorithm with a table: floors, ablation and others",
        "maskloop study floors --data davis/ --sequences bear,bus --json floors.json",
        add_studies,
        commands.study,
    ),
    "quantise": (
        "measure on training frames what a trunk in eight bits needs to know",
        "maskloop quantise video_object --data davis/ --sequences boat,car-turn --weights w.safetensors",
        _quantise,
        commands.quantise,
    ),
    "bench": (
        "time a frame, the network and its trunk here, and how they grow with objects, size and length",
        "maskloop bench video_object --json bench.json",
        _bench,
        commands.bench,
    ),
    "jobs": (
        "list jobs, cancel one or try one again",
        "maskloop jobs cancel 3f2a91",
        _jobs,
        commands.jobs,
    ),
    "worker": (
        "run one worker by hand; `maskloop up` starts one by itself",
        "maskloop worker",
        _nothing,
        commands.worker,
    ),
}


if __name__ == "__main__":
    sys.exit(main())
