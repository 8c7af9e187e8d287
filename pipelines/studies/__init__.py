"""Studies: commands that answer one question about an algorithm with one table, and perhaps a plot.

Each study is a module with ``add_arguments(parser)`` and ``run(args) -> int``. Importing it loads neither
torch nor NumPy, so that ``maskloop --help`` stays quick: such imports stand inside its functions.
"""

from __future__ import annotations

import argparse
from importlib import import_module

# name -> (what it is for, an example, module)
STUDIES: dict[str, tuple[str, str, str]] = {
    "floors": (
        "score the network beside the first mask copied and training-free label propagation",
        "maskloop study floors --data davis/ --sequences bear,bus --json floors.json",
        "pipelines.studies.floors",
    ),
    "ablation": (
        "train the network with its parts off and on, score each and draw the bars",
        "maskloop study ablation --data davis/ --trunk mobilenet_v2.pth --out runs/ablation --seeds 0,1",
        "pipelines.studies.ablation",
    ),
    "toolkit": (
        "score the same mask files with the public davis2017-evaluation toolkit and compare",
        "maskloop study toolkit --toolkit davis2017-evaluation/ --data davis/ --masks masks/",
        "pipelines.studies.toolkit",
    ),
    "corrections": (
        "correct the worst frames of each clip, one after the other, and draw what every correction brings",
        "maskloop study corrections --data davis/ --out runs/corrections --plot curves.png",
        "pipelines.studies.corrections",
    ),
    "confidence": (
        "correlate the reported confidence with the true J and draw how reliable it is",
        "maskloop study confidence --data davis/ --sequences bear,bus --plot confidence.png",
        "pipelines.studies.confidence",
    ),
    "identity": (
        "count how often masks change over to a look-alike, in generated clips where look-alikes cross",
        "maskloop study identity --centre-off --json identity.json --plot identity.png --sheet frames.png",
        "pipelines.studies.identity",
    ),
    "int8": (
        "score the network with its trunk in eight bits beside 32 on the same sequences",
        "maskloop study int8 --data davis/ --sequences bear,bus --json int8.json",
        "pipelines.studies.int8",
    ),
    "clicks": (
        "count the clicks that a mask costs, ours beside GrabCut, and draw IoU over clicks",
        "maskloop study clicks --data davis/ --sequences bear,bus --json clicks.json --plot clicks.png",
        "pipelines.studies.clicks",
    ),
    "looking-back": (
        "train attention over time with its switches set one way and another, score each and draw the bars",
        "maskloop study looking-back --data camvid/ --start-from single.safetensors --out runs/looking-back",
        "pipelines.studies.looking_back",
    ),
    "ladder": (
        "train the weak-shot method part by part, from raw responses to all masks, and score every row",
        "maskloop study ladder --data ccp/ --trunk mobilenet_v2.pth --out runs/ladder --folds 0,1",
        "pipelines.studies.ladder",
    ),
}


def add_studies(command: argparse.ArgumentParser) -> None:
    """Give ``maskloop study`` one sub-command per study, with its help, example and arguments."""
    studies = command.add_subparsers(title="studies", metavar="NAME", dest="study", required=True)
    for name, (what, example, module) in STUDIES.items():
        study = studies.add_parser(
            name,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        import_module(module).add_arguments(study)


def run_study(args: argparse.Namespace) -> int:
    """Run the study that ``args.study`` names; returns its exit status."""
    status: int = import_module(STUDIES[args.study][2]).run(args)
    return status
