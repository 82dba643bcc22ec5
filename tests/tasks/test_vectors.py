"""Directions and angles: exact to rounding, with the gradients of angles."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from testudo.tasks.vectors import angle, between, direction


@pytest.mark.parametrize("degrees", [0, 1e-3, 0.1, 1, 60, 90, 179, 179.9, 179.999, 180])
@pytest.mark.parametrize("length", [1e-20, 1.0, 1e20])
def test_angles_are_exact_to_rounding_everywhere(degrees, length):
    turn = math.radians(degrees)
    a = torch.tensor([[length, 0, 0]])
    b = torch.tensor([[math.cos(turn), math.sin(turn), 0]], dtype=torch.float64).float()
    assert angle(a, b).item() == pytest.approx(degrees, rel=1e-6, abs=1e-4 if degrees > 90 else 1e-6)


@pytest.mark.parametrize("components", [2, 3, 7])
def test_angles_are_arc_cosines_in_any_number_of_dimensions(components):
    g = torch.Generator().manual_seed(components)
    a, b = (torch.randn(50, components, 2, 3, generator=g, dtype=torch.float64) for _ in range(2))
    theirs = F.cosine_similarity(a, b, dim=1).acos().rad2deg()
    torch.testing.assert_close(angle(a, b), theirs)
    torch.testing.assert_close(angle(a.float(), b.float()), theirs.float(), rtol=1e-5, atol=1e-4)


def test_a_vector_of_no_length_is_90_degrees_off():
    a, b = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert angle(a, b).tolist() == [90.0, 90.0]


def test_the_angle_to_an_unknown_vector_is_unknown():
    assert angle(torch.tensor([[1.0, 0.0]]), torch.tensor([[torch.nan, 1.0]])).isnan().all()


def test_they_have_the_gradients_of_angles():
    g = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 3, 2, 2, generator=g, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(lambda x: angle(x, b.detach()), a)
    assert torch.autograd.gradcheck(direction, a)
    small = (a.detach() * 1e-8).requires_grad_()  # where directions fade
    assert torch.autograd.gradcheck(direction, small, eps=1e-13, rtol=1e-3)


@pytest.mark.parametrize("second", [[0.0, 1.0], [0.0, -1.0], [0.0, 0.0]])
def test_gradients_are_0_where_an_angle_has_none(second):
    first = torch.tensor([[0.0, 1.0]]).requires_grad_()
    (gradient,) = torch.autograd.grad(between(first, torch.tensor([second])).sum(), first)
    assert gradient.isfinite().all()
    nothing = torch.zeros(1, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(between(nothing, torch.zeros(1, 2)).sum(), nothing)
    assert (gradient == 0).all()
