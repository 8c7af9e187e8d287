"""What each command may be told: its arguments, one function per command."""

from __future__ import annotations

import argparse
from pathlib import Path


def up(command: argparse.ArgumentParser) -> None:
    """``maskloop up``"""
    command.add_argument(
        "--clip", type=Path, metavar="PATH", help="your own clip: a folder of frames or a video file"
    )


def nothing(command: argparse.ArgumentParser) -> None:
    """A command without arguments; the settings say it all."""


def worker(command: argparse.ArgumentParser) -> None:
    """``maskloop worker``"""
    command.add_argument(
        "--train", action="store_true", help="train new versions; without it: propagate, label, answer"
    )


def ingest(command: argparse.ArgumentParser) -> None:
    """``maskloop ingest``"""
    command.add_argument("source", type=Path, help="a folder of frames or a video file")
    command.add_argument(
        "--tasks", type=Path, metavar="FILE", help="write the tasks as JSON, to import into a project"
    )


def propagate(command: argparse.ArgumentParser) -> None:
    """``maskloop propagate``"""
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
    add_model(command)


def train(command: argparse.ArgumentParser) -> None:
    """``maskloop train``"""
    command.add_argument("algorithm", help="what to train: video_object, clicks, weak_shot or video_semantic")
    command.add_argument(
        "--data", type=Path, metavar="DIR", help="data in the DAVIS layout, or tagged photos"
    )
    command.add_argument(
        "--project",
        type=int,
        metavar="P",
        help="instead of --data, what people submitted in this Label Studio project (not for clicks)",
    )
    command.add_argument(
        "--novel",
        metavar="A,B",
        help="with --project: learn these classes from their tags although some masks are painted",
    )
    command.add_argument(
        "--fold", type=int, default=0, metavar="N", help="weak_shot: which classes are novel; default: 0"
    )
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="the run's folder; with --project one below the data folder"
    )
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


def calibrate(command: argparse.ArgumentParser) -> None:
    """``maskloop calibrate``"""
    command.add_argument("algorithm", help="whose confidence: video_object")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="data in the DAVIS layout")
    command.add_argument(
        "--sequences", metavar="A,B", help="sequences to fit on, with commas between; default: all"
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the same weights with the fitted confidence"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the fit and its figures here")
    add_model(command)


def evaluate(command: argparse.ArgumentParser) -> None:
    """``maskloop evaluate``"""
    command.add_argument("algorithm", help="what to score: video_object, weak_shot or video_semantic")
    command.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="DAVIS layout; weak_shot: tagged photos with masks; video_semantic: labelled footage",
    )
    command.add_argument(
        "--split", default="val", metavar="NAME", help="video_semantic: which footage; default: val"
    )
    command.add_argument("--sequences", metavar="A,B", help="sequences, with commas between; default: all")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the scores here")
    command.add_argument(
        "--masks-out",
        type=Path,
        metavar="DIR",
        help="write the scored masks here: SEQUENCE/FRAME.png, index colours",
    )
    command.add_argument(
        "--fold", type=int, default=0, metavar="I", help="weak_shot: whose classes are novel; default: 0"
    )
    command.add_argument(
        "--run",
        type=Path,
        metavar="RUN",
        dest="of_run",
        help="weak_shot: a run's folder; default: the shipped run",
    )
    add_model(command)


def pseudo_label(command: argparse.ArgumentParser) -> None:
    """``maskloop pseudo-label``"""
    command.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of photos")
    command.add_argument(
        "--tags",
        type=Path,
        required=True,
        metavar="FILE",
        help='JSON: what is in each photo, {"photo": ["tag", ...], ...}',
    )
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="one PNG per photo, classes.json and scores.json go here",
    )
    add_model(command)


def predict_video(command: argparse.ArgumentParser) -> None:
    """``maskloop predict-video``"""
    command.add_argument("--frames", type=Path, required=True, metavar="DIR", help="folder of frames")
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="one PNG per frame, classes.json and consistency.json go here",
    )
    command.add_argument(
        "--unrelated", action="store_true", help="stills that do not belong together: answer each by itself"
    )
    add_model(command)


def bench(command: argparse.ArgumentParser) -> None:
    """``maskloop bench``"""
    command.add_argument("algorithm", help="what to time: video_object, weak_shot or video_semantic")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    command.add_argument(
        "--weights", type=Path, metavar="FILE", help="default: the served version's weights, if there are any"
    )
    command.add_argument("--threads", default="1,2", metavar="A,B", help="numbers of threads; default: 1,2")
    command.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the growth here, as PNG (not of video_object)"
    )
    command.add_argument("--quick", action="store_true", help="fewer rounds and sizes, a short clip")


def quantise(command: argparse.ArgumentParser) -> None:
    """``maskloop quantise``"""
    command.add_argument("algorithm", help="what to quantise: video_object")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="data in the DAVIS layout")
    command.add_argument("--sequences", required=True, metavar="A,B", help="training sequences to measure on")
    command.add_argument("--weights", type=Path, required=True, metavar="FILE", help="the weights")
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="the ranges; default: int8.json beside the weights"
    )
    command.add_argument("--frames", type=int, default=24, metavar="N", help="how many frames; default: 24")


def jobs(command: argparse.ArgumentParser) -> None:
    """``maskloop jobs``"""
    command.add_argument(
        "action", nargs="?", default="list", choices=("list", "cancel", "retry"), help="default: list"
    )
    command.add_argument("job", nargs="?", help="the job's id, or enough of its beginning")
    command.add_argument("--limit", type=int, default=20, metavar="N", help="how many to list; default: 20")


def versions(command: argparse.ArgumentParser) -> None:
    """``maskloop versions``"""
    command.add_argument(
        "algorithm", nargs="?", default="", help="video_object, weak_shot or video_semantic; without it all"
    )
    _add_project(command, "mark what answers for this project; default: for all without their own")


def promote(command: argparse.ArgumentParser) -> None:
    """``maskloop promote``"""
    command.add_argument("algorithm", help="video_object, weak_shot or video_semantic")
    command.add_argument("version", help="as `maskloop versions` prints it, or the word shipped")
    _add_project(command, "only there; default: for every project without a version of its own")


def roll_back(command: argparse.ArgumentParser) -> None:
    """``maskloop roll-back``"""
    command.add_argument("algorithm", help="video_object, weak_shot or video_semantic")
    _add_project(command, "only there; default: for every project without a version of its own")


def _add_project(command: argparse.ArgumentParser, help_text: str) -> None:
    command.add_argument("--project", type=int, default=0, metavar="P", help=help_text)


def add_model(command: argparse.ArgumentParser) -> None:
    """Which weights, on which device."""
    command.add_argument("--weights", type=Path, metavar="FILE", help="default: the served version's weights")
    command.add_argument("--device", help="torch device: cpu, cuda or cuda:N; default: MASKLOOP_DEVICE")


def project(command: argparse.ArgumentParser) -> None:
    """``maskloop project``"""
    command.add_argument("algorithm", help="the way of working: weak_shot or video_semantic")
    command.add_argument("--images", type=Path, metavar="DIR", help="weak_shot: a folder of photos")
    command.add_argument(
        "--frames", type=Path, metavar="PATH", help="video_semantic: a folder of frames or a video file"
    )
    command.add_argument(
        "--labels", metavar="A,B", help="the classes, with commas between; video_semantic: default CamVid's"
    )
    command.add_argument("--title", help="the project's title; default: the folder's name")
    command.add_argument(
        "--tags", type=Path, metavar="FILE", help='tags known already, as JSON: {"dog1.jpg": ["dog"]}'
    )


def make_masks(command: argparse.ArgumentParser) -> None:
    """``maskloop make-masks``"""
    command.add_argument("project", help="the project's number or title")
    command.add_argument(
        "--wait", action="store_true", help="wait for the masks, then print the review order"
    )


def improve(command: argparse.ArgumentParser) -> None:
    """``maskloop improve``"""
    command.add_argument(
        "--project", type=int, required=True, metavar="P", help="the number of the Label Studio project"
    )
    command.add_argument("--dry-run", action="store_true", help="say what would be done, train nothing")
    command.add_argument("--seed", type=int, metavar="N", help="of the training; default: the policy's")
    command.add_argument("--promote", choices=("auto", "ask"), help="this time; default: the policy's")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="this time: a field of the policy, or training.NAME for a training setting; VALUE in JSON",
    )
    command.add_argument(
        "--fresh", action="store_true", help="read the project and train, whatever is unfinished or known"
    )
    command.add_argument(
        "--queue", action="store_true", help="leave it to the training worker; come back at once"
    )


def policy(command: argparse.ArgumentParser) -> None:
    """``maskloop policy``"""
    command.add_argument(
        "--project", type=int, required=True, metavar="P", help="the number of the Label Studio project"
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="change a field, from now on; training.NAME=VALUE for a training setting; VALUE in JSON",
    )
