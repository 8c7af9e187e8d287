"""Every n-th frame of a sequence, to bound how long a study takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from backends.core.errors import BadInput
from backends.core.types import Clip, Frames, Image
from pipelines.media.davis import DavisSequence


@dataclass(frozen=True)
class _Every:
    frames: Frames
    step: int

    def __len__(self) -> int:
        return -(-len(self.frames) // self.step)

    def __getitem__(self, index: int) -> Image:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.frames[index * self.step]


def every(sequence: DavisSequence, step: int) -> DavisSequence:
    """Frames 0, step, 2 step ...; motion between frames grows with it. Raises BadInput for a step below 1."""
    if step < 1:
        raise BadInput(f"--every {step}: wants 1 (all frames) or more")
    clip = sequence.clip
    thin = Clip(clip.clip_id, _Every(clip.frames, step), clip.size_hw, clip.names[::step])
    return replace(sequence, clip=thin, mask_paths=sequence.mask_paths[::step])
