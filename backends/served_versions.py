"""Which version answers: for a project, for a labelling configuration, and in all."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from backends.catalogue import ALGORITHMS
from backends.core.errors import SetupFault
from backends.labelstudio.label_config import labels_clips, makes_masks
from backends.pointers import ALL
from backends.registry import Registry

VIDEO, TAGS, SCENES = "video_object", "weak_shot", "video_semantic"
"""The algorithms of the ways of working: objects on a clip's pages, pictures with tags, whole clips."""

KINDS = {VIDEO: "Objects in video", TAGS: "Tags to masks", SCENES: "Whole scenes"}
"""The ways of working as people read them."""


@dataclass(frozen=True)
class ServedVersions:
    """The registry's pointers as the server's answers need them. Asked anew each time: they change."""

    registry: Registry

    def of(self, algorithm: str, project: int = ALL) -> str:
        """The version that answers for a project; raises SetupFault when there is none."""
        return self.registry.served(algorithm, project).version

    def for_config(self, schema: str, project: int = ALL) -> str:
        """The version that answers for a labelling configuration; raises SetupFault without a video model.

        The others may be made before there are weights for them: what people do there is what they are
        learned from.
        """
        algorithm = algorithm_of(schema)
        if algorithm == VIDEO:
            return self.of(VIDEO, project)
        try:
            return self.of(algorithm, project)
        except SetupFault:
            return f"{algorithm}-none"

    def still(self, version: str, project: int = ALL) -> str:
        """What a job that asked for ``version`` is answered by now: that very version while it may be, else
        the one that is served to the project. Raises SetupFault when there is none.
        """
        algorithm = version.rpartition("-")[0]
        if algorithm not in ALGORITHMS or version in self.registry.answering(algorithm):
            return version
        return self.of(algorithm, project)

    def own(self) -> dict[int, list[str]]:
        """Project -> the versions that answer for it alone, ascending by project."""
        found: dict[int, list[str]] = {}
        for algorithm in ALGORITHMS:
            for project, version in self.registry.pointers(algorithm).items():
                if project != ALL:
                    found.setdefault(project, []).append(version)
        return dict(sorted(found.items()))

    def listed(self) -> dict[str, Any]:
        """What /versions answers; raises SetupFault when the video model has no weights."""
        served = self.of(VIDEO)
        versions = [served]
        for algorithm in ALGORITHMS:
            with suppress(SetupFault):
                versions.append(self.of(algorithm))
        own = self.own()
        versions += [version for named in own.values() for version in named]
        return {"versions": list(dict.fromkeys(versions)), "served": served, "projects": own}

    def shown(self) -> dict[str, Any]:
        """What the console's line says; raises SetupFault when the video model has no weights."""
        own = [{"project": project, "versions": named} for project, named in self.own().items()]
        return {"version": self.of(VIDEO), "own": own}


def algorithm_of(schema: str) -> str:
    """The algorithm that a labelling configuration is worked on with."""
    return TAGS if makes_masks(schema) else SCENES if labels_clips(schema) else VIDEO
