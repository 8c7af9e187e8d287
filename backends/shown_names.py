"""What people call a clip or a picture, told from the references of its frames, and what they call a job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import parse_qs, urlsplit

from backends.ledger import JobRow
from backends.queues import EXPORT, IMPROVE, REPORT
from backends.queues.requests import PSEUDO_LABEL, PSEUDO_LABEL_NOW

PROJECT_JOBS = {IMPROVE: "Train and judge a new version", REPORT: "Make the report", EXPORT: "Export"}
"""Kinds of jobs about a whole project, as people read them."""


def clip_name(references: object) -> str:
    """The folder of the first frame: what people call the clip; empty when it cannot be told."""
    first = references[0] if isinstance(references, Sequence) and len(references) > 0 else ""
    parts = [part for part in str(first).replace("?d=", "/").split("/") if part]
    return parts[-2] if len(parts) >= 2 else ""


def picture_name(reference: str) -> str:
    """``/data/local-files/?d=photos/a/dog.jpg`` -> ``dog.jpg``."""
    parts = urlsplit(reference)
    return PurePosixPath(parse_qs(parts.query).get("d", [parts.path])[0]).name


def is_of_pictures(row: JobRow) -> bool:
    """Whether the job is about one picture, not about the frames of a clip."""
    return row.kind in (PSEUDO_LABEL, PSEUDO_LABEL_NOW)


def job_name(row: JobRow) -> str:
    """The name of the job's clip or picture, or what is done for a project; empty: it cannot be told."""
    if row.kind in PROJECT_JOBS:
        return PROJECT_JOBS[row.kind]
    references = row.payload.get("frame_refs")
    return picture_name(str(references[0])) if references and is_of_pictures(row) else clip_name(references)
