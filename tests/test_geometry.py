"""Angle, likeness in length and curvature measure of two gradients: closed forms, symmetries, hostile input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from testudo.errors import TestudoError
from testudo.geometry import cosine, curvature, similarity

FORMS = ("paper", "sin4")


def pairs(n=50, size=(2, 3), dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    scale = 10 ** (4 * torch.rand(2, n, *[1] * len(size), generator=g, dtype=dtype) - 2)
    return (torch.randn(2, n, *size, generator=g, dtype=dtype) * scale).unbind()


def at(angle, length=1.0):
    """A unit vector, and one of ``length`` at ``angle`` to it."""
    other = [length * math.cos(angle), length * math.sin(angle)]
    return torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([other], dtype=torch.float64)


def written_out(a, b, tiny=0.0):
    """Definition 3.4, in numpy, example by example."""
    found = []
    for x, y in zip(a.flatten(1).numpy(), b.flatten(1).numpy(), strict=True):
        c = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        under = np.sum((x + y) ** 2) + tiny * (np.sum(x**2) + np.sum(y**2))
        found.append((1 - c**2) * np.sum((x - y) ** 2) / under)
    return torch.tensor(found)


@pytest.mark.parametrize("tiny", [0.0, 1e-4, 0.3])
def test_the_paper_form_is_definition_3_4(tiny):
    a, b = pairs()
    torch.testing.assert_close(curvature(a, b, "paper", tiny), written_out(a, b, tiny))


def test_cosine_and_similarity_are_definitions_3_2_and_3_3():
    a, b = pairs()
    torch.testing.assert_close(cosine(a, b), torch.cosine_similarity(a.flatten(1), b.flatten(1)))
    lengths = a.flatten(1).norm(dim=1), b.flatten(1).norm(dim=1)
    torch.testing.assert_close(similarity(a, b), 2 * lengths[0] * lengths[1] / (lengths[0] ** 2 + lengths[1] ** 2))


def test_it_is_a_function_of_cosine_and_similarity_alone():
    a, b = pairs()
    c, m = cosine(a, b), similarity(a, b)
    torch.testing.assert_close(curvature(a, b), (1 - c**2) * (1 - m * c) / (1 + m * c))
    torch.testing.assert_close(curvature(a, b, "sin4"), (1 - c) ** 2)


@pytest.mark.parametrize("angle", [0.0, 1e-4, 0.5, math.pi / 2, 3.0, math.pi])
def test_the_bounded_form_is_the_paper_s_for_equal_lengths(angle):
    want = torch.tensor([4 * math.sin(angle / 2) ** 4], dtype=torch.float64)
    torch.testing.assert_close(curvature(*at(angle), "sin4"), want)
    if angle < math.pi:
        torch.testing.assert_close(curvature(*at(angle)), want)


def test_opposed_gradients():
    """0 / 0 for the raw measure where they are equal, 0 where they are not: what the bounded form is for."""
    for length in (1.0, 0.5):
        a, b = at(0.0)[0], -length * at(0.0)[0]
        for tiny in (0.0, 1e-4):
            assert curvature(a, b, "paper", tiny).item() == 0
        assert curvature(a, b, "sin4").item() == 4
    near = torch.stack([curvature(*at(math.pi - gap), "paper", 1e-4)[0] for gap in (0.3, 0.1, 1e-2, 1e-3, 1e-4)])
    assert near[0] > 3.8
    assert near[-1] < 1e-3
    assert (near[2:].diff() < 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_the_measure_is_symmetric_and_blind_to_common_scale_and_rotation(form):
    a, b = pairs()
    plain = curvature(a, b, form, 1e-4)
    torch.testing.assert_close(curvature(b, a, form, 1e-4), plain)
    for power in (-25, 25):
        scaled = curvature((a * 10.0**power).float(), (b * 10.0**power).float(), form, 1e-4)
        torch.testing.assert_close(scaled.double(), plain, rtol=1e-4, atol=1e-5)
    turn, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(curvature(a.flatten(1) @ turn, b.flatten(1) @ turn, form, 1e-4), plain)


@pytest.mark.parametrize("form", FORMS)
def test_derivatives_are_those_of_finite_differences(form):
    a, b = (x[:6].clone().requires_grad_() for x in pairs(6))

    def measured(x, y):
        return curvature(x, y, form, 1e-4)

    assert torch.autograd.gradcheck(measured, (a, b))
    assert torch.autograd.gradgradcheck(measured, (a, b))


def test_a_zero_gradient_has_no_measure_and_no_nan():
    zero, some = torch.zeros(1, 3, requires_grad=True), torch.ones(1, 3, requires_grad=True)
    for one, other in ((zero, some), (some, zero), (zero, zero), (some * 1e-35, some)):
        for found in (cosine(one, other), similarity(one, other), *(curvature(one, other, f, 1e-4) for f in FORMS)):
            assert found.item() == 0
            slopes = torch.autograd.grad(found.sum(), [zero, some], allow_unused=True, retain_graph=True)
            assert all(slope is None or slope.isfinite().all() for slope in slopes)


values = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 1e-38, 1e-30, 3e-29, 1e30, -1e38]), st.floats(-1e3, 1e3, width=32))
rows = st.lists(values, min_size=3, max_size=3)


@given(a=rows, b=rows, factor=st.sampled_from([None, 1.0, -1.0, -1 - 2**-20, 1e-20]))
@settings(max_examples=300, deadline=None)
def test_hostile_gradients(a, b, factor):
    first = torch.tensor([a], requires_grad=True)
    second = torch.tensor([b]) if factor is None else first.detach() * factor
    for form in FORMS:
        found = curvature(first, second, form, 1e-4)
        assert 0 <= found.item() <= 4.001
        assert torch.autograd.grad(found.sum(), first)[0].isfinite().all()
    assert -1.0001 <= cosine(first, second).item() <= 1.0001
    assert 0 <= similarity(first, second).item() <= 1.0001


def test_half_precision_is_widened_and_no_examples_are_none():
    a, b = (x.bfloat16() for x in pairs())
    torch.testing.assert_close(curvature(a, b), curvature(a.float(), b.float()))
    assert curvature(torch.zeros(0, 3), torch.zeros(0, 3)).shape == (0,)


def test_another_form_is_refused():
    with pytest.raises(TestudoError, match="unknown form of the curvature 'sin2'; did you mean 'sin4'"):
        curvature(*pairs(), "sin2")
