"""Labels in colours: the same label the same colour, grey where nothing is known, one scale for all maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from testudo.tasks.depth import Depth
from testudo.tasks.maps import Autoencoder, Curvature
from testudo.tasks.normals import Normals
from testudo.tasks.paint import UNKNOWN, painted
from testudo.tasks.segmentation import Segmentation

NAN = float("nan")


def test_classes_have_a_colour_each_whatever_the_map():
    first, second = painted(Segmentation("t", classes=3), [torch.tensor([[0, 1]]), torch.tensor([[1, 255]])])
    assert (first[0, 1] == second[0, 0]).all()
    assert (first[0, 0] != first[0, 1]).any()
    assert second[0, 1].tolist() == list(UNKNOWN)


def test_numbers_share_the_first_known_maps_scale():
    nothing, near, far = torch.full((1, 1, 2), NAN), torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[3.0, 90.0]]])
    blank, one, other = painted(Depth("t"), [nothing, near, far])
    assert (blank == UNKNOWN).all()
    assert (one[0, 1] == other[0, 0]).all()
    assert (other[0, 0] == other[0, 1]).all()  # beyond the scale: its end
    assert (one[0, 0] != one[0, 1]).any()


def test_normals_and_images_are_their_own_colours():
    (normal,) = painted(Normals("t"), [torch.tensor([0.0, 0.0, -1.0]).reshape(3, 1, 1)])
    assert normal[0, 0].tolist() == [0.5, 0.5, 0.0]
    image = torch.rand(3, 2, 2)
    np.testing.assert_allclose(painted(Autoencoder("t"), [image])[0], image.permute(1, 2, 0))
    (grey,) = painted(Autoencoder("t", channels=1), [image[:1]])
    assert (grey[..., 0] == grey[..., 2]).all()


@pytest.mark.parametrize("value", [0.0, 1e30, -1e30])
def test_a_flat_map_and_wild_numbers_are_colours(value):
    for picture in painted(Curvature("t"), [torch.full((2, 3, 4), value), torch.full((2, 3, 4), NAN)]):
        assert picture.shape == (3, 4, 3)
        assert ((picture >= 0) & (picture <= 1)).all()
