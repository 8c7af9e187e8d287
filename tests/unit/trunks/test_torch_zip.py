"""Tensors come out of torch's own files; whatever else such a file wants to do is refused, not done."""

import os
import zipfile

import pytest
import torch

from backends.core.errors import BadInput
from backends.trunks.mobilenet_v2 import MobileNetV2
from backends.trunks.torch_zip import read


def test_a_state_dict_comes_out_as_torch_reads_it(tmp_path):
    state = MobileNetV2().state_dict()
    state["half"], state["count"] = torch.randn(3, 4).half(), torch.tensor(7)
    state["view"] = torch.arange(24.0).reshape(4, 6)[1:3, ::2]
    torch.save(state, tmp_path / "state.pth")
    found = read(tmp_path / "state.pth")
    assert list(found) == list(state)
    for name, value in state.items():
        assert torch.equal(found[name], value) and found[name].dtype == value.dtype, name


def test_a_module_dict_with_remarks_comes_out_too(tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    torch.save(module.state_dict(), tmp_path / "state.pth")
    assert torch.equal(read(tmp_path / "state.pth")["0.weight"], module[0].weight)


class Calls:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (str(self.witness),)


def test_a_file_that_calls_something_is_refused_and_calls_nothing(tmp_path):
    witness = tmp_path / "called"
    torch.save({"weight": torch.ones(2), "extra": Calls(witness)}, tmp_path / "bad.pth")
    with pytest.raises(BadInput, match=r"bad\.pth.*mkdir"):
        read(tmp_path / "bad.pth")
    assert not witness.exists()


@pytest.mark.parametrize("content", [{"epoch": 3}, [torch.ones(1)], {"model": {"weight": torch.ones(1)}}])
def test_anything_but_a_dict_of_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(BadInput, match=r"other\.pth"):
        read(tmp_path / "other.pth")


def test_broken_files_are_refused_by_name(tmp_path):
    path = tmp_path / "state.pth"
    torch.save({"weight": torch.randn(64, 64)}, path)
    whole = path.read_bytes()
    for broken in (b"", b"not a zip", whole[: len(whole) // 2], whole[:200] + b"\0" * 40 + whole[240:]):
        path.write_bytes(broken)
        with pytest.raises(BadInput, match=r"state\.pth"):
            read(path)
    with pytest.raises(BadInput, match=r"absent\.pth"):
        read(tmp_path / "absent.pth")


def test_a_storage_shorter_than_its_tensor_is_refused(tmp_path):
    torch.save({"weight": torch.randn(8)}, tmp_path / "whole.pth")
    with (
        zipfile.ZipFile(tmp_path / "whole.pth") as source,
        zipfile.ZipFile(tmp_path / "cut.pth", "w") as target,
    ):
        for entry in source.namelist():
            content = source.read(entry)
            target.writestr(entry, content[:16] if entry.endswith("data/0") else content)
    with pytest.raises(BadInput, match="holds 4 values, not 8"):
        read(tmp_path / "cut.pth")
