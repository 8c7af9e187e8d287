"""Everything that a project is read from: Label Studio, the files of its frames, and the ledger's memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from backends.anchors import FrameFiles
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.media import FrameLocator
from backends.ledger import Ledger, TaskCell
from backends.settings import Settings

MachineMasks = Callable[[int], Mapping[str, Collection[str]]]
"""Task -> region id -> digests of masks that were shown there (``Ledger.machine_digests``)."""
ShownCells = Callable[[int], Sequence[TaskCell]]
"""Task -> what its jobs still hold, older jobs first (``Ledger.task_cells``)."""

_PICTURE_S = 20.0


def no_machine(task_id: int) -> Mapping[str, Collection[str]]:
    """Nothing is remembered."""
    return {}


def no_cells(task_id: int) -> Sequence[TaskCell]:
    """No job left anything."""
    return ()


@dataclass(frozen=True)
class Sources:
    """Where to read from."""

    client: LabelStudioClient
    files: FrameFiles
    machine: MachineMasks
    proposals: ShownCells
    max_pixels: int


@contextmanager
def opened(settings: Settings) -> Iterator[Sources]:
    """The sources that the settings name; an installation without a ledger remembers nothing."""
    client = LabelStudioClient(settings.label_studio_url, settings.label_studio_token)
    files = FrameLocator(
        settings.media_root,
        settings.label_studio_url,
        settings.label_studio_token,
        settings.data_dir / "cache",
        max_pixels=settings.max_image_pixels,
        timeout_s=_PICTURE_S,
    )
    ledger = Ledger(settings.ledger_path) if settings.ledger_path.is_file() else None
    try:
        yield Sources(
            client,
            files,
            ledger.machine_digests if ledger else no_machine,
            ledger.task_cells if ledger else no_cells,
            settings.max_image_pixels,
        )
    finally:
        if ledger:
            ledger.close()
