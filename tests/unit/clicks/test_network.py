"""The network: shapes for any size, likeness by hand, clicks that are no clicks change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from backends.clicks.network import CHANNELS, ClickNetwork, NetworkConfig, likeness
from backends.clicks.training import mask_loss
from backends.clicks.weights_file import load_network, save_weights
from backends.core.errors import BadInput


@pytest.fixture(scope="module")
def network() -> ClickNetwork:
    torch.manual_seed(0)
    return ClickNetwork().eval()


def prompts(height: int, width: int, clicks: int = 2, batch: int = 1) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    maps = torch.rand(batch, CHANNELS, height // 4, width // 4, generator=generator)
    places = torch.rand(batch, clicks, 2, generator=generator) * 2 - 1
    signs = torch.where(torch.rand(batch, clicks, generator=generator) > 0.5, 1.0, -1.0)
    return maps, places, signs


@pytest.mark.parametrize("size", [(32, 32), (64, 112), (32, 160)])
def test_logits_come_at_half_the_size(network: ClickNetwork, size: tuple[int, int]) -> None:
    with torch.no_grad():
        features = network.encode(torch.rand(2, 3, *size))
        logits = network(features, *prompts(*size, batch=2))
    assert logits.shape == (2, 1, size[0] // 2, size[1] // 2) and bool(logits.isfinite().all())


def test_entries_that_are_no_clicks_change_nothing(network: ClickNetwork) -> None:
    maps, places, signs = prompts(64, 64)
    with torch.no_grad():
        features = network.encode(torch.rand(1, 3, 64, 64))
        bare = network(features, maps, places, signs)
        padded = network(
            features, maps, F.pad(places, (0, 0, 0, 3), value=0.3), F.pad(signs, (0, 3), value=0.0)
        )
    assert torch.allclose(bare, padded, atol=1e-5)


def test_likeness_is_the_cosine_to_the_nearest_looking_click() -> None:
    unit = F.normalize(torch.randn(1, 8, 6, 10, generator=torch.Generator().manual_seed(0)), dim=1)
    maps = torch.zeros(1, CHANNELS, 12, 20)
    maps[0, -1, 0:2, 0:2] = 1  # the mask so far: the first cell
    middle = lambda x, y: ((x + 0.5) * 2 / 10 - 1, (y + 0.5) * 2 / 6 - 1)  # noqa: E731 - cell to [-1, 1]
    places = torch.tensor([[middle(3, 2), middle(7, 4), middle(0, 5)]])
    found = likeness(unit, maps, places, torch.tensor([[1.0, 1.0, -1.0]]))[0]
    cosine = torch.einsum("ehw,en->nhw", unit[0], torch.stack([unit[0, :, 2, 3], unit[0, :, 4, 7]], 1))
    assert torch.allclose(found[0], cosine.amax(0), atol=1e-5)
    assert found[0, 2, 3] == pytest.approx(1, abs=1e-5) and found[1, 5, 0] == pytest.approx(1, abs=1e-5)
    assert torch.allclose(found[3], torch.einsum("ehw,e->hw", unit[0], unit[0, :, 0, 0]) / 2, atol=1e-5)
    nobody = likeness(unit, maps, places, torch.zeros(1, 3))[0]
    assert bool((nobody[:2] == -1).all())


def test_the_loss_falls_with_the_error() -> None:
    target = torch.zeros(1, 1, 16, 16)
    target[..., 4:12, 4:12] = 1
    right = 20 * (F.avg_pool2d(target, 2) - 0.5)
    assert (
        mask_loss(right, target)
        < 0.01
        < mask_loss(torch.zeros_like(right), target)
        < mask_loss(-right, target)
    )


def test_weights_survive_their_file(network: ClickNetwork, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(network.state_dict(), network.config, path)
    read = load_network(path)
    assert read.config == network.config and path.stat().st_size < 2.5e6
    with torch.no_grad():
        one, other = (n.encode(torch.full((1, 3, 32, 32), 0.3))[0] for n in (network, read))
    assert torch.allclose(one, other, atol=0.05)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="no weights file of clicks"):
        load_network(path)
    save_file({"a": torch.zeros(1)}, path, {"algorithm": "video_object"})
    with pytest.raises(BadInput, match="weights of video_object"):
        load_network(path)
    save_file({"a": torch.zeros(1)}, path, {"algorithm": "clicks", "network": "{}"})
    with pytest.raises(BadInput, match="lacks"):
        load_network(path)


def test_another_trunk_can_carry_it() -> None:
    network = ClickNetwork(NetworkConfig(trunk="resnet18")).eval()
    with torch.no_grad():
        logits = network(network.encode(torch.rand(1, 3, 32, 48)), *prompts(32, 48))
    assert logits.shape == (1, 1, 16, 24) and np.isfinite(logits.numpy()).all()
