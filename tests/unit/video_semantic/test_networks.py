"""The networks: shapes for every encoder, the cut between frames and time, and what is refused."""

import pytest
import torch

from backends.core.errors import BadInput
from backends.video_semantic.networks import ENCODERS, NetworkConfig, build
from backends.video_semantic.top_down import TopDown
from backends.video_semantic.weights_file import load_weights, save_weights


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_answers_at_the_frames_size(name):
    with torch.device("meta"):
        network = build(NetworkConfig(name, classes=5, looks_back=True))
        rgb = torch.rand(2, 3, 70, 100)
        features = network.encode(rgb)
        assert features.shape[:2] == (2, network.channels)
        assert all(8 * cells >= side for cells, side in zip(features.shape[2:], (70, 100), strict=True))
        assert network.decode(features, (70, 100)).shape == (2, 5, 70, 100)
        logits, early = network.coarse(rgb)
        assert logits.shape[1] == early.shape[1] == 5
        assert network.temporal is not None and network.temporal.channels == network.channels


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build(NetworkConfig(classes=4, looks_back=True)).eval()


def test_a_frame_is_answered_the_same_alone_and_in_a_batch(network):
    rgb = torch.rand(3, 3, 48, 72)
    with torch.inference_mode():
        assert torch.allclose(network(rgb)[1:2], network(rgb[1:2]), atol=1e-4)


def test_what_lies_behind_the_border_changes_nothing_far_from_it(network):
    """A frame that needs padding is answered in its upper left as the larger frame is, closely."""
    rgb = torch.rand(1, 3, 40, 56)
    with torch.inference_mode():
        answer = network(rgb)
    assert answer.shape == (1, 4, 40, 56) and torch.isfinite(answer).all()


def test_the_fine_map_comes_back_from_its_channels_whole():
    torch.manual_seed(1)
    encoder = TopDown("mobilenet_v2_blocks").eval()
    with torch.inference_mode():
        features, _ = encoder(torch.rand(1, 3, 64, 64))
    fine = torch.nn.functional.pixel_shuffle(features, 2)
    assert fine.shape == (1, encoder.channels // 4, 16, 16)
    assert fine.std(dim=(2, 3)).max() > 0


def test_weights_come_back_with_their_classes(network, tmp_path):
    config = NetworkConfig(classes=4, looks_back=True)
    path = tmp_path / "weights.safetensors"
    save_weights(network.state_dict(), config, ("a", "b", "c", "d"), path)
    found = load_weights(path)
    assert found.classes == ("a", "b", "c", "d") and found.config == config
    rgb = torch.rand(1, 3, 48, 64)
    with torch.inference_mode():
        assert torch.allclose(found.network(rgb), network(rgb), atol=0.05)


def test_weights_that_do_not_fit_are_refused(network, tmp_path):
    path = tmp_path / "weights.safetensors"
    config = NetworkConfig(classes=4, looks_back=True)
    save_weights(network.state_dict(), config, ("a", "b"), path)
    with pytest.raises(BadInput, match="2 classes for a network of 4"):
        load_weights(path)
    state = {k: v for k, v in network.state_dict().items() if not k.startswith("decoder.")}
    save_weights(state, config, ("a", "b", "c", "d"), path)
    with pytest.raises(BadInput, match=r"lacks .*decoder"):
        load_weights(path)
    path.write_bytes(b"something else")
    with pytest.raises(BadInput, match="no safetensors"):
        load_weights(path)


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (NetworkConfig("vgg", classes=3), "unknown encoder 'vgg'; known: mobilenet_v2"),
        (NetworkConfig(classes=0), "0 classes"),
        (NetworkConfig(trunk="resnet19", classes=3), "unknown trunk 'resnet19'"),
        (NetworkConfig("bise18", "resnet18_stride8", classes=3), "wants"),
    ],
)
def test_what_cannot_be_built_is_refused(config, what):
    with pytest.raises(BadInput, match=what):
        build(config)
