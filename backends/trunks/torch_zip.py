"""Read tensors out of a ``torch.save`` file without unpickling it.

Such a file is a zip: raw storages beside ``data.pkl``, a pickle that says which tensor is which slice of
which storage. That pickle is walked here as data, opcode by opcode; nothing it names is imported or called,
and whatever is not part of a plain dict of tensors is refused.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backends.core.errors import BadInput

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
}
MAX_BYTES = 2_000_000_000
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How the files of torch before 1.6 begin: a pickled magic number."""


@dataclass(frozen=True)
class _Name:
    """Something the pickle would import; here only its name."""

    name: str


_MARK = object()


def read(path: Path) -> dict[str, Tensor]:
    """The state dict in ``path``: name -> tensor. Raises BadInput for anything but a zip of plain tensors."""
    try:
        _refuse_legacy(path)
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise BadInput(f"{path}: more than {MAX_BYTES} bytes when unpacked")
            [program] = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            folder = program.removesuffix("data.pkl")
            walk = _Walk(lambda key: archive.read(f"{folder}data/{key}"))
            found = walk.run(archive.read(program))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    except (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path} is no zipped file of tensors as torch.save writes it: {error}") from error
    return found


def _refuse_legacy(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(_LEGACY)) == _LEGACY:
            raise BadInput(
                "written in the format of torch before 1.6, a bare pickle and no zip; where the file is "
                "trusted, save its tensors again with a newer torch.save or as safetensors"
            )


class _Walk:
    """A stack machine for the few opcodes that a dict of tensors needs."""

    def __init__(self, storage_bytes: Callable[[str], bytes]):
        self._bytes = storage_bytes
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, program: bytes) -> dict[str, Tensor]:
        for opcode, argument, _ in pickletools.genops(program):
            self._step(opcode.name, argument)
        [result] = self._stack
        if not isinstance(result, dict) or not all(isinstance(v, Tensor) for v in result.values()):
            raise BadInput("holds more than a plain dict of tensors")
        return result

    def _step(self, name: str, argument: Any) -> None:
        if name in ("PROTO", "FRAME", "STOP"):
            return
        if name in ("BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"):
            self._stack.append(argument)
        elif name in ("NEWTRUE", "NEWFALSE", "NONE"):
            self._stack.append({"NEWTRUE": True, "NEWFALSE": False, "NONE": None}[name])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        else:
            self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name == "MARK":
            stack.append(_MARK)
        elif name == "GLOBAL":
            stack.append(_Name(argument.rpartition(" ")[2]))
        elif name in ("EMPTY_DICT", "EMPTY_TUPLE"):
            stack.append({} if name == "EMPTY_DICT" else ())
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(self._since_mark() if name == "TUPLE" else self._last(int(name[-1])))
        elif name in ("SETITEM", "SETITEMS"):
            pairs = self._since_mark() if name == "SETITEMS" else self._last(2)
            stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))
        elif name == "BINPERSID":
            stack.append(self._storage(*stack.pop()))
        elif name == "REDUCE":
            arguments, what = stack.pop(), stack.pop()
            stack.append(_made(what, arguments))
        elif name == "BUILD":
            stack.pop()  # a state dict's own remarks (versions of modules); not needed
        else:
            raise BadInput(f"uses the opcode {name}, which no dict of tensors needs")

    def _since_mark(self) -> tuple[Any, ...]:
        at = len(self._stack) - 1 - self._stack[::-1].index(_MARK)
        found = tuple(self._stack[at + 1 :])
        del self._stack[at:]
        return found

    def _last(self, count: int) -> tuple[Any, ...]:
        found = tuple(self._stack[-count:])
        del self._stack[-count:]
        return found

    def _storage(self, kind: str, storage: _Name, key: str, _: str, count: int) -> Tensor:
        if kind != "storage" or storage.name not in _DTYPES or not key.isdecimal():
            raise BadInput(f"names a storage of kind {getattr(storage, 'name', kind)!r}")
        values = torch.frombuffer(bytearray(self._bytes(key)), dtype=_DTYPES[storage.name])
        if len(values) != count:
            raise BadInput(f"storage {key} holds {len(values)} values, not {count}")
        return values


def _made(what: Any, arguments: tuple[Any, ...]) -> Any:
    name = getattr(what, "name", what)
    if name == "OrderedDict" and arguments == ():
        return {}
    if name == "_rebuild_tensor_v2":
        storage, offset, size, stride = arguments[:4]
        return torch.as_strided(storage, size, stride, offset).clone()
    if name == "_rebuild_parameter":
        return arguments[0]
    raise BadInput(f"wants to call {name!r}; only tensors are read")
