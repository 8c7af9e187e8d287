"""Samples and clips: the same index the same sample, labels stay on their pixels, motion is as told."""

import cv2
import numpy as np
import pytest

from backends.core.errors import BadInput
from backends.video_semantic import clips, sampling
from backends.video_semantic.clips import Camera, ClipConfig
from backends.video_semantic.loaders import open_scenes
from backends.video_semantic.run_folder import count
from backends.video_semantic.sampling import SampleConfig, Stock
from tests.unit.video_semantic import footage

CROP = SampleConfig(crop_hw=(48, 64), jitter=0.0)


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    scenes = open_scenes(footage.camvid(tmp_path_factory.mktemp("camvid")), "train")
    return Stock(scenes, count(scenes))


def test_pixels_per_class_are_counted(stock):
    _, labels = footage.picture(8)
    wanted = np.bincount(labels.ravel(), minlength=12)[:11]
    assert stock.counts[0].tolist() == wanted.tolist() and wanted[footage.CAR] == 14 * 24


def test_the_same_index_is_the_same_sample(stock):
    one, again, other = (sampling.draw(stock, SampleConfig((48, 64)), 0, i) for i in (3, 3, 4))
    assert np.array_equal(one.image, again.image) and np.array_equal(one.labels, again.labels)
    assert not np.array_equal(one.image, other.image)
    assert one.image.shape == (48, 64, 3) and one.image.dtype == np.float32
    assert one.image.min() >= 0 and one.image.max() <= 1


def test_labels_stay_on_their_pixels(stock):
    """The car is red wherever a sample shows it, mirrored, turned and scaled as it may be."""
    for index in range(20):
        sample = sampling.draw(stock, CROP, 1, index)
        car = sample.labels == footage.CAR
        inside = cv2.erode(car.astype(np.uint8), np.ones((3, 3))) > 0
        redness = sample.image[..., 0] - sample.image[..., 2]
        assert (redness[inside] > 0.3).mean() > 0.97 if inside.any() else True
        sky = cv2.erode((sample.labels == footage.SKY).astype(np.uint8), np.ones((3, 3))) > 0
        assert (redness[sky] < 0).all()


def test_rare_classes_are_looked_at(stock):
    often = SampleConfig(crop_hw=(16, 16), scale=(2.0, 2.0), rare=1.0, jitter=0.0)
    seldom = SampleConfig(crop_hw=(16, 16), scale=(2.0, 2.0), rare=0.0, jitter=0.0)
    share = [
        np.mean([(sampling.draw(stock, config, 0, i).labels == footage.CAR).any() for i in range(60)])
        for config in (often, seldom)
    ]
    assert share[0] > share[1] + 0.1


@pytest.mark.parametrize("wrong", [{"crop_hw": (50, 64)}, {"scale": (2.0, 0.5)}, {"scale": (0.0, 1.0)}])
def test_settings_that_make_no_sample_are_refused(wrong):
    with pytest.raises(BadInput, match="sample"):
        SampleConfig(**wrong)


def carried(clip):
    """The frame before the newest, carried onto it; NaN from outside."""
    x, y = clip.before[..., 0], clip.before[..., 1]
    return cv2.remap(clip.frames[-2], x, y, cv2.INTER_LINEAR, borderValue=(np.nan,) * 3)


def test_a_made_clip_moves_as_it_says(stock):
    config = ClipConfig(flicker=0.0, still=0.0, neighbour=0.0, pan=0.03)
    gains = []
    for index in range(6):
        clip = clips.draw(stock, CROP, config, 5, 0, index)
        assert clip.frames.shape == (5, 48, 64, 3) and clip.before.shape == (48, 64, 2)
        aligned = np.nanmean(np.abs(carried(clip) - clip.frames[-1]))
        gains.append(np.abs(clip.frames[-2] - clip.frames[-1]).mean() / aligned)
    assert np.median(gains) > 1.4


def test_the_newest_frame_of_a_clip_is_the_labelled_one(stock):
    clip = clips.draw(stock, CROP, ClipConfig(flicker=0.0), 4, 0, 2)
    car = cv2.erode((clip.labels == footage.CAR).astype(np.uint8), np.ones((3, 3))) > 0
    redness = clip.frames[-1][..., 0] - clip.frames[-1][..., 2]
    assert not car.any() or (redness[car] > 0.3).mean() > 0.97
    again = clips.draw(stock, CROP, ClipConfig(flicker=0.0), 4, 0, 2)
    assert np.array_equal(clip.frames, again.frames)


def test_motion_grows_with_age_and_may_stand_still(stock):
    rng = np.random.default_rng(0)
    camera = Camera.draw((48, 64), ClipConfig(still=0.0), rng)
    image, eye = footage.picture(20)[0], np.eye(3)
    newest = camera.seen(image, eye, 0)
    apart = [np.abs(camera.seen(image, eye, back).astype(int) - newest).mean() for back in (1, 3, 6)]
    assert 0 < apart[0] < apart[1] < apart[2]
    standing = Camera.draw((48, 64), ClipConfig(still=1.0), rng)
    assert np.array_equal(standing.seen(image, eye, 5), standing.seen(image, eye, 0))


def test_real_frames_are_used_where_there_are_any(tmp_path):
    footage.camvid(tmp_path)
    scenes = open_scenes(tmp_path, "val")
    stock = Stock(scenes, count(scenes))
    plain = SampleConfig(crop_hw=(64, 96), scale=(1.0, 1.0), jitter=0.0, rare=0.0)
    widths = []
    for index in range(8):
        clip = clips.draw(stock, plain, ClipConfig(flicker=0.0), 3, 0, index)
        red = [frame[..., 0] - frame[..., 2] > 0.3 for frame in clip.frames]
        widths.append(abs(np.median(np.nonzero(red[2])[1]) - np.median(np.nonzero(red[1])[1])))
    assert max(widths) == pytest.approx(3, abs=0.6)  # the car's own three pixels a frame
