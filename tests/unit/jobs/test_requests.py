"""Requests: what can never work is refused before anything is stored; equal wishes have equal names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backends.core.errors import BadInput, BadMask, BadMedia, SetupFault
from backends.core.types import BoxPrompt, MaskPrompt
from backends.ledger import Ledger
from backends.queues import ClipRequest, ImproveRequest, PropagationRequest, PseudoLabelRequest
from backends.queues.requests import anew
from backends.queues.tickets import queue_of, run_ticket
from tests.queue_house import SIZE_HW, disc

GOOD = PropagationRequest(1, 2, ("f0", "f1"), SIZE_HW, (MaskPrompt("a", 0, disc()),), "m-1")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"frame_refs": ()}, BadMedia, "task 2 has no frames"),
        ({"anchors": ()}, BadMask, "no painted mask"),
        ({"anchors": (MaskPrompt("a", 0, np.zeros(SIZE_HW, np.bool_)),)}, BadMask, "no painted mask"),
        ({"anchors": (MaskPrompt("a", 0, disc(), is_anchor=False),)}, BadInput, "only masks a person made"),
        ({"anchors": (MaskPrompt("a", 2, disc()),)}, BadMask, "only frames 0 to 1"),
        ({"anchors": (MaskPrompt("a", 0, np.ones((3, 5), np.bool_)),)}, BadMask, "5x3; the frames .* 32x24"),
        ({"anchors": (MaskPrompt("a", 1, disc()),) * 2}, BadInput, "'a' has more than one mask on frame 1"),
    ],
)
def test_refusals(changes: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        replace(GOOD, **changes)


def test_a_name_says_what_is_wanted_and_nothing_else() -> None:
    two = (MaskPrompt("a", 0, disc()), MaskPrompt("b", 1, disc(4, 4)))
    assert replace(GOOD, anchors=two).job_id() == replace(GOOD, anchors=two[::-1]).job_id()
    assert GOOD.job_id() == replace(GOOD, deliver_prediction=True).job_id()
    others = [
        replace(GOOD, project_id=9),
        replace(GOOD, task_id=9),
        replace(GOOD, model_version="m-2"),
        replace(GOOD, frame_refs=("f0", "f2")),
        replace(GOOD, anchors=(MaskPrompt("a", 1, disc()),)),
        replace(GOOD, anchors=(MaskPrompt("b", 0, disc()),)),
        replace(GOOD, anchors=(MaskPrompt("a", 0, disc(9, 9)),)),
    ]
    names = {request.job_id() for request in (GOOD, *others)}
    assert len(names) == len(others) + 1 and all(len(n) == 40 and n.isalnum() for n in names)


def test_unknown_kinds_have_no_queue() -> None:
    with pytest.raises(SetupFault, match="unknown kind of job 'dance'"):
        queue_of("dance")


def test_a_ticket_holds_ids_only(tmp_path) -> None:
    from backends.ledger import Ledger

    row = Ledger(tmp_path / "l").want_job(GOOD.wanted())
    ticket = run_ticket(row)
    assert ticket.arguments == {"job_id": row.id, "generation": 0} and ticket.ticket_id == f"{row.id}-0"


PICTURE = PseudoLabelRequest(
    *(1, 2, "a.png", SIZE_HW, ("dog", "cat"), "weak_shot-00000000"),
    boxes=(BoxPrompt("dog", 0, 1.0, 2.0, 9.0, 8.0),),
    drawn=(MaskPrompt("cat", 0, disc()),),
    is_awaited=True,
)
CLIP = ClipRequest(1, 2, ("f0",), SIZE_HW, {"car": ("bus", "car")}, "video_semantic-00000000", {"car": "red"})


@pytest.mark.parametrize("wish", [GOOD, replace(GOOD, deliver_prediction=True), PICTURE, CLIP])
def test_a_wish_can_be_had_back_from_its_job_with_another_version(
    tmp_path: Path, wish: PropagationRequest | PseudoLabelRequest | ClipRequest
) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    row = ledger.want_job(wish.wanted())
    assert anew(row, ledger.anchors(row.id), wish.model_version).wanted().job_id == row.id
    again = anew(row, ledger.anchors(row.id), "m-2").wanted()
    assert (again.model_version, again.deliver, again.payload) == ("m-2", wish.wanted().deliver, row.payload)
    assert again.job_id == replace(wish, model_version="m-2").job_id()
    ledger.close()


def test_work_on_a_whole_project_names_no_version_to_ask_anew_with(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    row = ledger.want_job(ImproveRequest(3, "video_object", "a test").wanted())
    with pytest.raises(BadInput, match="'improve', which no model version answers"):
        anew(row, (), "m-2")
    ledger.close()
