"""Responses lie on the photo's grid, seeds say only what is sure, colours lead scores."""

import numpy as np
import pytest
import torch
from torch import nn

from backends.core.errors import BadInput
from backends.weak_shot.grid import with_background
from backends.weak_shot.networks import Classifier, normalised
from backends.weak_shot.refinement import Refinement, refined
from backends.weak_shot.responses import responses, seeds


class Colours(nn.Module):
    """Stands where a classifier does: class c is the amount of colour channel c, on every eighth pixel."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def cam(self, rgb):
        return torch.nn.functional.avg_pool2d(rgb, 8, ceil_mode=True) * self.gain[:, None, None]

    def read(self, maps):
        return normalised(maps)


def picture(height=48, width=80):
    image = np.zeros((height, width, 3), np.uint8)
    image[8:24, 8:32, 0] = 255
    image[24:40, 48:72, 2] = 128
    return image


def test_each_tagged_class_answers_up_to_one_where_it_is():
    found = responses(Colours(), picture(), [1, 3], scales=(1.0, 2.0))
    assert found.shape == (2, 6, 10) and found.dtype == np.float32
    assert found.max((1, 2)).tolist() == pytest.approx([1, 1])
    assert found[0, 2, 2] > 0.9 and found[0, 4, 7] < 0.05
    assert found[1, 4, 7] > 0.9 and found[1, 2, 2] < 0.05


def test_the_order_of_tags_is_the_order_of_maps():
    one, other = responses(Colours(), picture(), [1, 3]), responses(Colours(), picture(), [3, 1])
    assert np.array_equal(one, other[::-1])


def test_the_mirror_image_answers_in_its_own_place():
    image = picture()
    straight = responses(Colours(), image, [1, 3], scales=(1.0,), flip=False)
    assert np.allclose(responses(Colours(), image, [1, 3], scales=(1.0,)), straight, atol=1e-6)
    turned = responses(Colours(), image[:, ::-1], [1, 3], scales=(1.0,))
    assert np.allclose(turned[..., ::-1], straight, atol=1e-6)


def test_a_class_seen_nowhere_stays_zero():
    assert responses(Colours(), picture(), [2]).max() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (9, 5)])
def test_the_smallest_images_have_a_grid_too(size):
    image = np.full((*size, 3), 90, np.uint8)
    found = responses(Classifier("mobilenet_v2", 4).eval(), image, [2, 4])
    assert found.shape == (2, -(-size[0] // 8), -(-size[1] // 8)) and np.isfinite(found).all()
    assert seeds(found, image, [2, 4], refinement=Refinement()).shape == size


def test_without_a_tag_there_is_nothing_to_answer():
    with pytest.raises(BadInput, match="no tag"):
        responses(Colours(), picture(), [])


def test_seeds_are_sure_or_silent():
    found = np.zeros((1, 1, 4), np.float32)
    found[0, 0] = [1.0, 0.1, 0.02, 0.0]
    image = np.zeros((8, 32, 3), np.uint8)
    labels = seeds(found, image, [7])
    assert labels.shape == (8, 32) and labels.dtype == np.uint8
    # at 0.1: (1 - 0.1)^4 = 0.66 wins as background, (1 - 0.1)^32 = 0.03 loses against 0.1: unsure
    assert labels[4, [2, 12, 31]].tolist() == [7, 255, 0]
    assert set(np.unique(labels)) == {0, 7, 255}


def test_the_background_is_what_no_class_answers():
    scores = with_background(np.array([[[0.5, 0.0]], [[0.25, 0.0]]], np.float32), 2)
    assert scores[:, 0].T.tolist() == [[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]]


def test_refined_scores_follow_the_colours_and_stay_in_range():
    rgb = torch.zeros(3, 32, 32)
    rgb[:, :, 20:] = 0.8
    rgb = rgb + 0.02 * torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1))
    scores = torch.zeros(2, 32, 32)
    scores[1, :, 14:], scores[0, :, :14] = 1, 1  # six columns too far to the left
    found = refined(scores, rgb, Refinement(keep=0.0, rounds=20))
    assert torch.allclose(found.sum(0), torch.ones(32, 32), atol=1e-4)
    assert found.min() >= 0 and found.max() <= 1 + 1e-5
    assert (found.argmax(0)[:, 20:] == 1).all(), "the bright part stays whole"
    across = found[1, :, 19].mean() - found[1, :, 20].mean()
    within = found[1, :, 13].mean() - found[1, :, 14].mean()
    assert abs(across) > 0.3 > abs(within), "the step has moved to where the colours change"


def test_pixels_keep_a_part_of_what_they_began_with():
    rgb = torch.rand(3, 8, 8)
    scores = torch.rand(1, 8, 8)
    assert torch.allclose(refined(scores, rgb, Refinement(keep=1.0)), scores)
    assert torch.equal(refined(scores, rgb, Refinement(rounds=0)), scores)
