"""Folded trunks answer what the classifiers they came from answer; other networks' files are refused."""

import hashlib

import pytest
import torch
from safetensors.torch import save_file

from backends.core.errors import BadInput
from backends.trunks import catalogue
from backends.trunks.catalogue import Entry, Published, build, load_weights
from tests.unit.trunks.classifiers import Classifier, MobileClassifier, trained


@pytest.mark.parametrize("seed", [1, 3, 5])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_saved_classifier_is_folded_into_the_same_features(name, seed, tmp_path):
    classifier = trained(Classifier(name), seed)
    torch.save(classifier.state_dict(), tmp_path / "classifier.pth")
    trunk = build(name)
    load_weights(trunk, name, tmp_path / "classifier.pth")
    rgb = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        expected, found = classifier(rgb), trunk(rgb)
    for stride, value in expected.items():
        assert value.std() > 0.1, "a dead reference proves nothing"
        scale = value.abs().max()
        assert torch.allclose(found[stride] / scale, value / scale, atol=1e-4), stride


@pytest.mark.parametrize("name", catalogue.TRUNKS)
def test_channels_and_strides_are_as_told(name):
    strides = catalogue.entry(name).strides
    with torch.device("meta"):
        trunk = build(name, strides)
        found = trunk(torch.rand(1, 3, 64, 96))
    assert {s: tuple(v.shape) for s, v in found.items()} == {
        s: (1, c, 64 // s, 96 // s) for s, c in trunk.channels.items()
    }
    assert tuple(trunk.channels) == strides


def test_a_trunks_state_holds_what_training_changes_and_no_more():
    trunk = build("resnet18")
    assert set(trunk.state_dict()) == {name for name, _ in trunk.named_parameters()}


def published(monkeypatch, name, path):
    """Let the catalogue know ``path`` as a file that was published."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = Entry(catalogue.TRUNKS[name].make, (Published(f"{name}-{digest[:8]}.pth"),))
    monkeypatch.setitem(catalogue.TRUNKS, name, known)


@pytest.mark.parametrize("seed", [7, 11])
def test_a_published_mobilenet_keeps_its_features_on_the_moved_grid(seed, tmp_path, monkeypatch):
    classifier = trained(MobileClassifier(), seed)
    torch.save(classifier.state_dict(), tmp_path / "mobile.pth")
    published(monkeypatch, "mobilenet_v2", tmp_path / "mobile.pth")
    trunk = build("mobilenet_v2")
    load_weights(trunk, "mobilenet_v2", tmp_path / "mobile.pth")
    rgb = torch.rand(1, 3, 384, 416, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        found = trunk(rgb)
        for stride, margin in ((4, 6), (8, 8), (16, 11)):  # cells that see beyond the border
            by = stride - 1
            moved = torch.zeros_like(rgb)
            moved[..., :-by, :-by] = rgb[..., by:, by:]
            expected = classifier(moved)[stride][..., margin:-margin, margin:-margin]
            mine = found[stride][..., margin:-margin, margin:-margin]
            assert expected.std() > 0.1 and mine.shape == expected.shape
            assert torch.allclose(mine / expected.abs().max(), expected / expected.abs().max(), atol=1e-4)


def test_an_unknown_mobilenet_is_taken_as_trained_on_its_own_input(tmp_path):
    classifier = trained(MobileClassifier(), 2)
    torch.save(classifier.state_dict(), tmp_path / "mobile.pth")
    trunk = build("mobilenet_v2")
    load_weights(trunk, "mobilenet_v2", tmp_path / "mobile.pth")
    state = classifier.state_dict()
    scale = state["features.0.1.weight"] / (state["features.0.1.running_var"] + 1e-5).sqrt()
    expected = state["features.0.0.weight"] * scale[:, None, None, None]
    assert torch.allclose(trunk.state_dict()["features.0.1.weight"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "other"), [("resnet18", "resnet50"), ("resnet50", "resnet18"), ("resnet18", "resnet34")]
)
def test_another_networks_file_is_refused_by_name(name, other, tmp_path):
    save_file(Classifier(other).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match=rf"other\.safetensors does not fit {name}"):
        load_weights(build(name), name, tmp_path / "other.safetensors")


def test_a_damaged_classifier_is_refused_by_tensor(tmp_path):
    state = Classifier("resnet18").state_dict()
    del state["layer2.0.downsample.1.running_mean"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(BadInput, match=r"cut\.pth does not fit resnet18.*layer2\.0\.downsample\.1"):
        load_weights(build("resnet18"), "resnet18", tmp_path / "cut.pth")


def test_unknown_trunks_are_refused_with_the_known_ones():
    with pytest.raises(BadInput, match=r"'vgg'; known: mobilenet_v2, .*resnet18, .*resnet50"):
        build("vgg")


def test_files_before_torch_1_6_are_refused_in_words(tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(BadInput, match=r"old\.pth: written in the format of torch before 1\.6"):
        load_weights(build("resnet18"), "resnet18", tmp_path / "old.pth")
    (tmp_path / "no.safetensors").write_bytes(b"nonsense")
    with pytest.raises(BadInput, match=r"no\.safetensors is no safetensors file"):
        load_weights(build("resnet18"), "resnet18", tmp_path / "no.safetensors")
