"""An export as one ZIP file below the data folder, for the console to hand out."""

from __future__ import annotations

import shutil
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from backends.core.errors import SetupFault
from backends.export_shelf import KEPT, home, listed, new_name
from backends.settings import Settings
from pipelines.export.project import work_of
from pipelines.export.write import RECORD, check_format, export
from pipelines.progress import Track, quiet

_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp"})  # packed already
_STALE_S = 6 * 3600.0  # what a killed run left behind


def pack_project(
    project_id: int, format_name: str, settings: Settings, *, progress: Track = quiet
) -> tuple[Path, str]:
    """The file, and a sentence on what is in it; of older ones of the project the newest stay.

    Raises BadInput for a project without work, Unavailable while Label Studio is away, SetupFault for a full
    disk. Nothing half is left.
    """
    check_format(format_name)
    shelf = home(settings.data_dir)
    part = shelf / f".part-{token_hex(4)}"
    try:
        shelf.mkdir(parents=True, exist_ok=True)
        _sweep(shelf)
        work = work_of(project_id, settings, progress=progress)
        target = shelf / new_name(project_id, format_name)
        exported = export(work, format_name, part / target.stem, progress=progress)
        _pack(exported.folder, part / target.name, progress)
        (part / target.name).replace(target)
    except OSError as error:
        raise SetupFault(
            f"{shelf}: cannot be written ({error.strerror or error}); nothing is left of this export. Free "
            "some space or mend the folder's rights"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    for old, _ in listed(settings.data_dir, project_id)[KEPT:]:
        old.unlink(missing_ok=True)
    remarks = len(work.notes) + len(exported.lost)
    return target, (
        f"{format_name}: tasks {exported.clips}, frames {exported.frames}, remarks {remarks} (in {RECORD})"
    )


def _pack(folder: Path, target: Path, progress: Track) -> None:
    """Every file of ``folder`` under the folder's own name; pictures are not pressed twice."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(target, "w") as packed:
        for path in progress(files, total=len(files), label="packing"):
            how = zipfile.ZIP_STORED if path.suffix in _PICTURES else zipfile.ZIP_DEFLATED
            packed.write(path, f"{folder.name}/{path.relative_to(folder).as_posix()}", how)


def _sweep(shelf: Path) -> None:
    for left in shelf.glob(".part-*"):
        with suppress(OSError):
            if left.stat().st_mtime < time.time() - _STALE_S:
                shutil.rmtree(left, ignore_errors=True)
