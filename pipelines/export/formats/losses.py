"""What an export loses, counted: one sentence per kind of loss, with the first place as an example."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass
class _Loss:
    first: str
    count: int = 0
    amount: int = 0


@dataclass
class Losses:
    """Collects while a format is written. A sentence may hold ``{count}``, ``{amount}`` and ``{first}``."""

    _found: dict[str, _Loss] = field(default_factory=dict)

    def add(self, sentence: str, where: object = "", amount: int = 0) -> None:
        """One more place at which this was lost."""
        loss = self._found.setdefault(sentence, _Loss(str(where)))
        loss.count += 1
        loss.amount += amount

    def sentences(self) -> tuple[str, ...]:
        """In the order in which they first came."""
        return tuple(_said(sentence, loss) for sentence, loss in self._found.items())


def _said(sentence: str, loss: _Loss) -> str:
    """``{count} frames`` of one is ``1 frame``."""
    if loss.count == 1:
        sentence = re.sub(r"\{count\} (\w+)s\b", r"1 \1", sentence)
    return sentence.format(count=loss.count, amount=loss.amount, first=loss.first)
