"""A whole simulation: videos opened and cut, one loop or several, one report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from backends.core.types import Segmenter
from backends.registry import Registry, Served
from backends.settings import Settings
from pipelines.simulation.desk import ASIDE, PROJECT, Desk, Models
from pipelines.simulation.plan import Simulation
from pipelines.simulation.report import report
from pipelines.simulation.studio import Studio
from pipelines.simulation.track import Around, Clips, Track
from pipelines.simulation.videos import TrueClip, cut, open_videos, refuse_shared

Load = Callable[[Path, Settings, str], Segmenter]


def simulate(
    simulation: Simulation, out: Path, settings: Settings, begin: Served, load: Load, around: Around
) -> dict[str, Any]:
    """Go through all rounds below ``out``, or on with them; returns the report as JSON values.

    ``begin`` is the first version, ``load`` makes segmenters of weights. Raises BadInput for videos that
    cannot be used and for a folder of another simulation, before anything runs, and whatever the loop
    raises.
    """
    clips = open_clips(simulation)
    simulation.claim(out, begin.version)
    rounds = {}
    for labels, counted in simulation.tracks.items():
        home = out.resolve() / labels
        own = replace(
            settings, data_dir=home, models_dir=home / "models", media_root=simulation.data.resolve()
        )
        _serve(own, simulation.algorithm, begin)
        models = Models(simulation.algorithm, own, load)
        xml = _config(clips)
        desk = Desk(own, Studio(home / "studio", {PROJECT: xml, ASIDE: xml}), models)
        try:
            rounds[labels] = Track(simulation, clips, labels, counted, own, models, desk, around).run()
        finally:
            desk.close()
    return report(simulation, rounds)


def open_clips(simulation: Simulation) -> Clips:
    """Each loop video cut into a clip per round, each test video whole. Raises BadInput."""
    one = simulation
    loop, test = (
        open_videos(one.algorithm, one.data, one.split, wanted, one.every) for wanted in (one.loop, one.test)
    )
    refuse_shared(loop, test)
    pieces = [cut(video, one.rounds) for video in loop]
    whole = [clip for video in test for clip in cut(video, 1)]
    return Clips([list(clips) for clips in zip(*pieces, strict=True)], whole)


def _serve(settings: Settings, algorithm: str, begin: Served) -> None:
    """Serve the first version to the project, unless this loop has begun."""
    registry = Registry(settings.models_dir)
    if PROJECT not in registry.pointers(algorithm):
        registry.add(algorithm, begin.weights)
        registry.promote(algorithm, begin.version, project=PROJECT)


def _config(clips: Clips) -> str:
    from pipelines.tag_project.config_xml import video_object_xml, video_semantic_xml

    everything: list[TrueClip] = [*clips.test, *(clip for of_round in clips.by_round for clip in of_round)]
    labels = tuple(dict.fromkeys(label for clip in everything for label in clip.labels))
    if everything[0].is_followed:
        return video_object_xml(sorted(labels, key=lambda label: int(label.rpartition(" ")[2])))
    return video_semantic_xml(labels)
