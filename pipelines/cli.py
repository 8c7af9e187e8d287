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

from backends.core.errors import BadInput, Cancelled, MaskLoopError, SetupFault, Unavailable
from pipelines import (
    arguments,
    commands,
    data_arguments,
    data_commands,
    loop_commands,
    model_commands,
    report_commands,
    scene_commands,
    tag_commands,
)
from pipelines.simulation import command as simulation_command
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


_COMMANDS = {
    "up": (
        "start Redis, Label Studio, the backend and the worker, until Ctrl-C",
        "maskloop up --clip holiday.mp4",
        arguments.up,
        commands.up,
    ),
    "doctor": (
        "check every connection, version and setting, and say how to mend what fails",
        "maskloop doctor",
        arguments.nothing,
        commands.doctor,
    ),
    "ingest": (
        "cut a video or a folder of frames into clips that Label Studio can show",
        "maskloop ingest holiday.mp4 --tasks tasks.json",
        arguments.ingest,
        commands.ingest,
    ),
    "propagate": (
        "carry masks on some frames to all frames, files to files, without Label Studio",
        "maskloop propagate --frames frames/ --masks masks/ --out out/",
        arguments.propagate,
        model_commands.propagate,
    ),
    "pseudo-label": (
        "turn tags into masks for a folder of photos, without Label Studio",
        "maskloop pseudo-label --images photos/ --tags tags.json --out masks/",
        arguments.pseudo_label,
        model_commands.pseudo_label,
    ),
    "predict-video": (
        "label every pixel of a folder of frames, without Label Studio",
        "maskloop predict-video --frames frames/ --out labels/",
        arguments.predict_video,
        scene_commands.predict_video,
    ),
    "train": (
        "train an algorithm; a run that was stopped goes on where it was",
        "maskloop train video_object --data davis/ --out runs/first --set steps=2000",
        arguments.train,
        model_commands.train,
    ),
    "improve": (
        "train on what people corrected in a project, compare, and serve what is better",
        "maskloop improve --project 3",
        arguments.improve,
        loop_commands.improve,
    ),
    "policy": (
        "show or change what a project's new version has to show before it is served",
        "maskloop policy --project 3 --set promote=auto",
        arguments.policy,
        loop_commands.policy,
    ),
    "simulate": (
        "send an annotator who knows the truth through the loop, round after round: does it pay?",
        "maskloop simulate video_object --data davis/ --loop a,b,c,d --test e,f --out runs/sim",
        simulation_command.add_arguments,
        simulation_command.run,
    ),
    "calibrate": (
        "fit an algorithm's confidence to the true J and store it with the weights",
        "maskloop calibrate video_object --data davis/ --weights w.safetensors --out calibrated.safetensors",
        arguments.calibrate,
        model_commands.calibrate,
    ),
    "evaluate": (
        "score an algorithm with the official metric",
        "maskloop evaluate video_object --data davis/ --sequences bear,bus --json scores.json",
        arguments.evaluate,
        model_commands.evaluate,
    ),
    "study": (
        "answer one question about an algorithm with a table: floors, ablation and others",
        "maskloop study floors --data davis/ --sequences bear,bus --json floors.json",
        add_studies,
        model_commands.study,
    ),
    "quantise": (
        "measure on training frames what a trunk in eight bits needs to know",
        "maskloop quantise video_object --data davis/ --sequences boat,car-turn --weights w.safetensors",
        arguments.quantise,
        model_commands.quantise,
    ),
    "bench": (
        "time an algorithm on this machine, and how its time and memory grow",
        "maskloop bench video_object --json bench.json",
        arguments.bench,
        model_commands.bench,
    ),
    "versions": (
        "list the versions of an algorithm and say which one is served",
        "maskloop versions video_object",
        arguments.versions,
        commands.versions,
    ),
    "promote": (
        "serve another version from the next request on",
        "maskloop promote video_object video_object-1a2b3c4d",
        arguments.promote,
        commands.promote,
    ),
    "roll-back": (
        "serve again what was served before the last promotion",
        "maskloop roll-back video_object",
        arguments.roll_back,
        commands.roll_back,
    ),
    "project": (
        "make a project in the running Label Studio: tags to masks, or whole scenes",
        "maskloop project weak_shot --images photos/ --labels dog,cat,sheep",
        arguments.project,
        tag_commands.project,
    ),
    "make-masks": (
        "turn the tags saved in a project into masks, as predictions",
        "maskloop make-masks 3 --wait",
        arguments.make_masks,
        tag_commands.make_masks,
    ),
    "export": (
        "write what people submitted in a project as a data set, in one of eight formats",
        "maskloop export --project 1 --format coco --out coco/",
        data_arguments.export,
        data_commands.export,
    ),
    "import": (
        "read labelled data in four layouts into a project, as tasks with annotations",
        "maskloop import --title Horses --from horses/ --format davis",
        data_arguments.import_data,
        data_commands.import_data,
    ),
    "report": (
        "say what a project's saved work tells of each model version: IoU, untouched, seconds per frame",
        "maskloop report --project 1",
        report_commands.add_report,
        report_commands.report,
    ),
    "jobs": (
        "list jobs, cancel one or try one again",
        "maskloop jobs cancel 3f2a91",
        arguments.jobs,
        commands.jobs,
    ),
    "worker": (
        "run one worker by hand; `maskloop up` starts one of each kind by itself",
        "maskloop worker --train",
        arguments.worker,
        commands.worker,
    ),
}


if __name__ == "__main__":
    sys.exit(main())
