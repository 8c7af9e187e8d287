"""After a version was promoted or taken back: tasks open with what is served now, where Label Studio runs."""

from __future__ import annotations

from backends.core.errors import MaskLoopError
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.opening import open_with
from backends.pointers import ALL
from backends.registry import Registry
from backends.served_versions import algorithm_of
from backends.settings import Settings

PATIENCE_S = 5.0


def open_with_served(settings: Settings, algorithm: str, project: int = ALL) -> list[str]:
    """Let a project's tasks open with predictions of the version that is served there; 0: those of every
    project of the algorithm without a version of its own.

    Returns notes for people where that could not be done. Where no token is known nothing is tried.
    """
    if not settings.label_studio_token:
        return []
    client = LabelStudioClient(
        settings.label_studio_url, settings.label_studio_token, timeout_s=PATIENCE_S, get_attempts=1
    )
    try:
        registry = Registry(settings.models_dir)
        version = registry.served(algorithm, project).version
        numbers = (
            [project] if project != ALL else _others(client, algorithm, set(registry.pointers(algorithm)))
        )
    except MaskLoopError as error:
        return [
            "tasks may open with predictions of another version, for Label Studio could not be told which to "
            f"show ({error})"
        ]
    return [note for number in numbers if (note := open_with(client, number, version))]


def _others(client: LabelStudioClient, algorithm: str, own: set[int]) -> list[int]:
    found = [told for told in client.projects() if algorithm_of(str(told.get("label_config"))) == algorithm]
    return [int(told["id"]) for told in found if int(told["id"]) not in own]
