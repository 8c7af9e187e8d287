"""What part of a frame is looked at: coordinates map there and back, whatever the frame's size."""

from __future__ import annotations

import numpy as np
import pytest

from backends.clicks import views
from backends.clicks.views import View, around, extent_of, whole
from backends.core.types import BoxPrompt, PointPrompt


def point(x: float, y: float, positive: bool = True) -> PointPrompt:
    return PointPrompt("object 1", 0, x, y, positive)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (480, 854), (2160, 3840), (17, 23)])
def test_the_network_sees_a_bounded_picture_of_whole_cells(size: tuple[int, int]) -> None:
    rows, columns = whole(size).size_hw
    assert rows % views.CELL == 0 and columns % views.CELL == 0
    assert rows * columns <= 1.3 * views.AREA_PX
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    assert whole(size).look(picture).shape == (rows, columns, 3)
    assert whole(size).look_at_mask(np.ones(size, np.bool_)).all()


def test_clicks_land_on_the_pixel_they_were_made_on() -> None:
    view = View(100, 50, 300, 150)
    rows, columns = view.size_hw
    picture = np.zeros((480, 854), np.bool_)
    picture[75:85, 190:210] = True
    [click] = view.clicks([point(200, 80), point(20, 80), point(200, 400)])
    assert view.look_at_mask(picture)[int(click.y), int(click.x)]
    assert (click.x, click.y) == (columns / 2, rows * 30 / 100)
    [box] = view.boxes([BoxPrompt("object 1", 0, 100, 50, 300, 100)])
    assert (box.x0, box.y0, box.x1, box.y1) == (0, 0, columns, rows / 2)


def test_a_view_around_something_never_leaves_the_frame_and_is_never_empty() -> None:
    for extent in [(0.0, 0.0, 1.0, 1.0), (853.0, 479.0, 854.0, 480.0), (-50.0, -50.0, 2000.0, 900.0)]:
        view = around(extent, views.MARGIN, (480, 854))
        assert 0 <= view.x0 < view.x1 <= 854 and 0 <= view.y0 < view.y1 <= 480


def test_a_view_serves_until_the_object_outgrows_it() -> None:
    size = (480, 854)
    view = around((300, 200, 400, 300), views.MARGIN, size)
    assert view.suits((300, 200, 400, 300), size) and view.suits((295, 200, 410, 305), size)
    assert not view.suits((300, 200, 440, 300), size), "no surroundings left"
    assert not view.suits((340, 240, 360, 260), size), "far too small in it"
    assert whole(size).suits((10, 10, 850, 470), size), "there is no more to see than the frame"


def test_the_object_is_where_mask_positive_clicks_and_boxes_are() -> None:
    mask = np.zeros((60, 80), np.bool_)
    assert extent_of(mask, [point(3, 3, False)], []) is None
    mask[10:20, 30:40] = True
    assert extent_of(mask, [point(3, 3, False)], []) == (30, 10, 40, 20)
    box = BoxPrompt("object 1", 0, 35, 5, 50, 15)
    assert extent_of(mask, [point(70, 50)], [box]) == (30, 5, 70, 50)
