"""What the attention over time costs, counted: multiplications and additions per frame, and memory.

The past's keys and values are kept, so a frame pays for its own only.
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.video_semantic.attention import SCORES, SIDE
from backends.video_semantic.temporal import TemporalConfig

_FLOAT = 4


@dataclass(frozen=True)
class Cost:
    """MACs per frame of features (``channels``, ``rows``, ``columns``) under ``config``."""

    config: TemporalConfig
    channels: int
    rows: int
    columns: int

    @property
    def cells(self) -> int:
        """h w."""
        return self.rows * self.columns

    @property
    def width(self) -> int:
        """d."""
        return self.config.width_for(self.channels)

    @property
    def selection(self) -> int:
        """NSM: dot products with every neighbour."""
        return self.cells * (2 * self.config.radius + 1) ** 2 * self.width

    @property
    def projections(self) -> float:
        """Reduce all cells, keys and values of all, queries of the selected; expand these."""
        rho, cells, width = self.config.rho, self.cells, self.width
        return cells * self.channels * width * (1 + rho) + (2 + rho) * cells * width**2

    @property
    def correction(self) -> float:
        """The way back that the paper lacks: own values of the selected cells, and to the features."""
        return self.config.rho * self.cells * self.width * (self.channels + self.width)

    @property
    def attention(self) -> float:
        """Scores and weighted sums: ``2 rho h w n_k d``."""
        return 2 * self.config.rho * self.cells * self.config.radii.n_keys * self.width

    @property
    def full_attention(self) -> int:
        """The same if every cell saw every cell of T frames: ``2 (h w)^2 T d``."""
        return 2 * self.cells**2 * self.config.frames * self.width

    @property
    def worked(self) -> float:
        """What the tiles multiply for it: unions instead of windows, the part outside a window at -inf."""
        unions = sum((SIDE + 2 * radius) ** 2 for radius in self.config.radii.by_age)
        return 2 * self.config.rho * self.cells * unions * self.width

    @property
    def feed_forward(self) -> float:
        """Joining the heads and the feed-forward part."""
        return self.config.rho * self.cells * self.width**2 * (1 + 2 * self.config.ffn)

    @property
    def total(self) -> float:
        """Everything, the attention by the formula."""
        return self.selection + self.projections + self.attention + self.feed_forward + self.correction

    @property
    def kept_mb(self) -> float:
        """Keys and values of T past frames in float32, MB."""
        return 2 * self.config.frames * self.cells * self.width * _FLOAT / 1e6

    @property
    def chunk_mb(self) -> float:
        """What one chunk of tiles holds, about: scores and bias, and a union's keys and values, MB."""
        unions = sum((SIDE + 2 * radius) ** 2 for radius in self.config.radii.by_age)
        heads = self.config.heads_for(self.channels)
        scores = max(SCORES, heads * SIDE**2 * unions)
        return (2 * scores + 2 * max(1.0, scores / (heads * unions)) * unions * self.width) * _FLOAT / 1e6

    @property
    def gathered_mb(self) -> float:
        """What gathering every query's keys and values would hold instead, MB."""
        return 2 * self.config.rho * self.cells * self.config.radii.n_keys * self.width * _FLOAT / 1e6

    @property
    def full_scores_mb(self) -> float:
        """What the scores of full attention would hold if they were written out, MB."""
        heads = self.config.heads_for(self.channels)
        return heads * self.cells**2 * self.config.frames * _FLOAT / 1e6
