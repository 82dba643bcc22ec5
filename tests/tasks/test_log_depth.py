"""The logarithmic scale of distances."""

from __future__ import annotations

import math

import pytest
import torch

from testudo.errors import TestudoError
from testudo.tasks.log_depth import LogDepth, metres, scaled

TASK = LogDepth("t")


def test_the_scale_by_hand():
    distance = torch.tensor([1 / 512, 1.0, 127.998046875], dtype=torch.float64)
    found = scaled(distance)
    assert found.tolist() == pytest.approx([1 / 16, math.log(513) / math.log(65536), 1.0])
    torch.testing.assert_close(metres(found), distance)


def test_enlarged_things_are_nearer_and_steps_follow_each_other():
    g = torch.Generator().manual_seed(0)
    distance = torch.rand(5, 1, 3, 4, generator=g) * 20 + 0.1
    distance[0, 0, 0, 0] = torch.nan
    one, two = torch.rand(5, generator=g) + 0.5, torch.rand(5, generator=g) + 0.5
    still = torch.zeros(5, dtype=torch.bool)
    moved = TASK.moved(scaled(distance), still, one)
    torch.testing.assert_close(metres(moved), distance / one.reshape(5, 1, 1, 1), equal_nan=True, rtol=1e-4, atol=0)
    again, both = TASK.moved(moved, ~still, two), TASK.moved(scaled(distance), still, one * two)
    torch.testing.assert_close(again, both, equal_nan=True, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, -0.1, math.inf])
def test_what_is_no_distance_is_refused(value):
    with pytest.raises(TestudoError, match="must be above 0 and finite"):
        TASK.check(torch.full((1, 1, 1, 1), value))
