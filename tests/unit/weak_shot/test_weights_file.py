"""A bundle comes back as it went, whatever parts it has; other files are refused in words."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from backends.core.errors import BadInput
from backends.training.files import read_tensors, save_atomically
from backends.weak_shot.classes import ClassSet
from backends.weak_shot.networks import AffinityNetwork, BoundaryNetwork, Classifier, SegmentationNetwork
from backends.weak_shot.propagation import Walk
from backends.weak_shot.recipe import ResponseConfig
from backends.weak_shot.seam import SeamClassifier
from backends.weak_shot.weights_file import Bundle, load, save

CLASSES = ClassSet(("cat", "dog", "hat"), frozenset({"hat"}))


def whole():
    return Bundle(
        "mobilenet_v2",
        CLASSES,
        walk=Walk(beta=4.0),
        long_side_px=352,
        responses=ResponseConfig(scales=(1.0,)),
        classifier=Classifier("mobilenet_v2", 3).eval(),
        boundary=BoundaryNetwork("mobilenet_v2").eval(),
        affinity=AffinityNetwork("mobilenet_v2").eval(),
        segmentation=SegmentationNetwork("mobilenet_v2", 3).eval(),
    )


def test_a_whole_run_comes_back(tmp_path):
    sent = whole()
    save(sent, tmp_path / "run.safetensors", torch.float32)
    found = load(tmp_path / "run.safetensors")
    assert (found.trunk, found.classes, found.variant) == ("mobilenet_v2", CLASSES, "cam")
    assert found.walk == Walk(beta=4.0) and found.responses.scales == (1.0,)
    assert found.long_side_px == 352
    rgb = torch.rand(1, 3, 40, 56)
    with torch.no_grad():
        for name, network in sent.parts.items():
            assert torch.allclose(found.parts[name](rgb), network(rgb), atol=1e-5), name


def test_half_precision_halves_the_file(tmp_path):
    save(whole(), tmp_path / "half.safetensors")
    save(whole(), tmp_path / "full.safetensors", torch.float32)
    half, full = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "full"))
    assert half < 0.52 * full and half < 20e6
    assert load(tmp_path / "half.safetensors").boundary.edge.weight.dtype == torch.float32


def test_the_pair_alone_is_a_bundle_within_its_budget(tmp_path):
    pair = replace(whole(), classifier=None, segmentation=None)
    save(pair, tmp_path / "pair.safetensors")
    assert (tmp_path / "pair.safetensors").stat().st_size < 12e6
    found = load(tmp_path / "pair.safetensors")
    assert set(found.parts) == {"boundary", "affinity"} and found.classifier is None


def test_the_variant_says_which_classifier(tmp_path):
    bundle = Bundle("mobilenet_v2", CLASSES, "seam", classifier=SeamClassifier("mobilenet_v2", 3))
    save(bundle, tmp_path / "seam.safetensors")
    assert isinstance(load(tmp_path / "seam.safetensors").classifier, SeamClassifier)


def test_other_files_are_refused_in_words(tmp_path):
    (tmp_path / "text.safetensors").write_text("nonsense")
    with pytest.raises(BadInput, match=r"text\.safetensors is no safetensors file"):
        load(tmp_path / "text.safetensors")
    save_file({"w": torch.ones(2)}, tmp_path / "bare.safetensors")
    with pytest.raises(BadInput, match="weights of nothing named, not of weak_shot"):
        load(tmp_path / "bare.safetensors")


def test_tensors_of_another_network_are_refused(tmp_path):
    save(
        Bundle("mobilenet_v2", CLASSES, boundary=BoundaryNetwork("mobilenet_v2")), tmp_path / "a.safetensors"
    )
    tensors, metadata = read_tensors(tmp_path / "a.safetensors")
    tensors["boundary.edge.weight"] = torch.zeros(1, 7, 1, 1)
    save_atomically(tensors, tmp_path / "b.safetensors", metadata)
    with pytest.raises(BadInput, match=r"(?s)b\.safetensors is no weights file of weak_shot.*edge\.weight"):
        load(tmp_path / "b.safetensors")
    newer = metadata["weak_shot"].replace('"version": 1', '"version": 9')
    save_atomically(tensors, tmp_path / "c.safetensors", metadata | {"weak_shot": newer})
    with pytest.raises(BadInput, match=r"c\.safetensors is of version 9; this MaskLoop reads 1"):
        load(tmp_path / "c.safetensors")
