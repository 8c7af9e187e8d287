"""Instance centres: with true offsets the votes alone tell objects apart; without, a disc is left."""

import torch

from backends.video_object import centres
from backends.video_object.centres import Prior
from backends.video_object.losses import centre_loss
from backends.video_object.network import Decoded

SIZE = (128, 192)


def squares(*corners: tuple[int, int], side: int = 48) -> torch.Tensor:
    masks = torch.zeros(1, len(corners), *SIZE)
    for k, (row, column) in enumerate(corners):
        masks[0, k, row : row + side, column : column + side] = 1
    return masks


def test_true_offsets_reproduce_the_truth_for_objects_that_do_not_touch():
    masks = squares((16, 16), (64, 120))
    offset, _, on = centres.targets(masks)
    vote = centres.votes(offset[:, None]).expand(-1, 2, -1, -1, -1)
    prior = centres.prior_of(torch.nn.functional.avg_pool2d(masks, 4), 4)
    won = centres.log_prior(vote, prior).argmax(1)
    truth = torch.nn.functional.avg_pool2d(masks, 8).argmax(1)
    assert on.any() and torch.equal(won[on], truth[on])
    near = centres.log_prior(vote, prior).amax(1)
    assert (near[on] > -0.1).all(), "a true vote lands on the centre"


def test_without_offsets_the_prior_is_a_disc_around_the_last_centre():
    masks = squares((32, 64))
    prior = centres.prior_of(torch.nn.functional.avg_pool2d(masks, 4), 4)
    vote = centres.votes(torch.zeros(1, 1, 2, SIZE[0] // 8, SIZE[1] // 8))
    here = centres.positions((SIZE[0] // 8, SIZE[1] // 8), 8, masks.device)
    away = (here - torch.tensor([88.0, 56.0])[:, None, None]).norm(dim=0)
    found = centres.log_prior(vote, prior)[0, 0]
    assert torch.equal(
        found.flatten().argsort(descending=True)[:4].sort().values, away.flatten().argsort()[:4].sort().values
    )
    assert found[away > 60].max() < -5 and found[away < 8].min() > -0.5


def test_a_prior_without_weight_says_nothing():
    vote = torch.randn(1, 1, 2, 4, 4)
    silent = Prior(torch.zeros(1, 1, 2), torch.ones(1, 1), torch.zeros(1, 1))
    assert (centres.log_prior(vote, silent) == 0).all()
    assert float(centres.prior_of(torch.zeros(1, 1, 8, 8), 4).weight) == 0


def test_the_median_vote_shrugs_off_stray_cells():
    vote = torch.full((2, 6, 6), 20.0)
    vote[:, 0, 0] = 900.0
    mask = torch.zeros(6, 6)
    mask[:3, :3] = 1
    assert torch.equal(centres.median_vote(vote, mask), torch.tensor([20.0, 20.0]))
    assert centres.median_vote(vote, torch.zeros(6, 6)) is None


def test_the_loss_wants_other_instances_to_vote_for_themselves():
    masks, other = squares((16, 16)), squares((64, 120))[:, 0]
    offset, heat, _ = centres.targets(torch.cat((masks, other[:, None]), 1))
    logit = torch.logit(heat[:, :1].clamp(1e-4, 1 - 1e-4))
    valid = torch.ones(1, 1, dtype=torch.bool)
    exact = Decoded(torch.zeros(1, 1, 1, 1), logit, centres.votes(offset[:, None]))
    assert float(centre_loss(exact, masks, other, valid)) < 0.01
    drawn_in = offset.clone()
    drawn_in[..., 8:, 15:] = 0  # the other instance's cells do not know where they belong
    wrong = Decoded(exact.logits, logit, centres.votes(drawn_in[:, None]))
    assert float(centre_loss(wrong, masks, other, valid)) > float(centre_loss(exact, masks, other, valid))
    assert float(centre_loss(Decoded(exact.logits), masks, other, valid)) == 0
