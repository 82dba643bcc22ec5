"""How two gradients lie to each other: their angle, their lengths, and the measure that GAT keeps small.

Shapes: N examples, each with two gradients of any further shape ``...``. Everything is per example, does not change
where both gradients are scaled by one factor, and can be differentiated twice.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from testudo.errors import unknown
from testudo.tensors import dot, norms, per_example, working_precision

Form = Literal["paper", "sin4"]
NONE = 1e-30  # a gradient of no larger number counts as zero: its direction is rounding, and 1 / length overflows


def check_form(form: str) -> None:
    """Raise TestudoError where there is no such form of :func:`curvature`."""
    if form not in get_args(Form):
        raise unknown("form of the curvature", form, get_args(Form))


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """The cosine of the angle between two gradients: (N, ...), (N, ...) -> (N,); 0 where one of them is zero.

    Below 0 the tasks are in conflict: a small step that raises one lowers the other (GAT, definition 3.2).

    >>> cosine(torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """
    return dot(_unit(first), _unit(second))


def similarity(first: Tensor, second: Tensor) -> Tensor:
    """How alike in length: ``2 |a| |b| / (|a|^2 + |b|^2)``, (N,) in [0, 1]; 0 where one of them is zero.

    Source: GAT, definition 3.3.

    >>> similarity(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
    tensor([0.6000])
    """
    _, _, some = _pair(first, second)
    a, b = _length(first), _length(second)
    longer, shorter = torch.maximum(a, b), torch.minimum(a, b)
    ratio = shorter / torch.where(some, longer, 1)
    return torch.where(some, 2 * ratio / (1 + ratio.square()), 0)


def curvature(first: Tensor, second: Tensor, form: Form = "paper", tiny: float = 0.0) -> Tensor:
    """The multi-task curvature bounding measure: (N, ...), (N, ...) -> (N,) in [0, 4]; 0 where a gradient is zero.

    ``"paper"`` (GAT, definition 3.4), with c the cosine of the angle phi and m the likeness in length:
    ``(1 - c^2) |a - b|^2 / (|a + b|^2 + tiny (|a|^2 + |b|^2)) = (1 - c^2) (1 - m c) / (1 + m c + tiny)``.
    For equal lengths and tiny = 0 this is ``(1 - c)^2 = 4 sin(phi / 2)^4``. It is 0 / 0 for gradients that are
    equal and opposed (here 0; any ``tiny`` makes it continuous), and opposed gradients of unequal length
    have measure 0, so that lowering it may drive two tasks apart.

    ``"sin4"`` is ``4 sin(phi / 2)^4`` whatever the lengths: the paper's measure, factor 1, where they are equal. It
    grows with the angle all the way, to 4.

    Args:
        first: one gradient.
        second: the other.
        form: see above.
        tiny: at least 0; the paper has none. It is relative, where one could add a constant: the measure then
            does not depend on the scale of the losses.

    Raises:
        TestudoError: no such form.

    >>> a, b = torch.tensor([[1.0, 0.0]] * 3), torch.tensor([[1.0, 0.0], [0.0, 1.0], [-2.0, 0.0]])
    >>> curvature(a, b), curvature(a, b, "sin4")
    (tensor([0., 1., 0.]), tensor([0., 1., 4.]))
    """
    check_form(form)
    a, b, some = _pair(first, second)
    u, v = _unit(first), _unit(second)
    apart = dot(u - v, u - v)  # 2 - 2 c; as differences, which lose no digits where the angle is small
    if form == "sin4":
        return torch.where(some, apart.square() / 4, 0)
    together = dot(u + v, u + v)
    under = dot(a + b, a + b) + tiny * (dot(a, a) + dot(b, b))
    ratio = dot(a - b, a - b) / torch.where(under > 0, under, 1)
    return torch.where(some, apart * together / 4 * ratio, 0)


def _pair(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both over the largest magnitude in either, so that squares do not overflow; (N,) whether neither is zero."""
    first, second = working_precision(first), working_precision(second)
    sizes = norms(first.detach(), torch.inf), norms(second.detach(), torch.inf)
    scale = per_example(_filled(torch.maximum(*sizes)), first)
    return first / scale, second / scale, (sizes[0] > NONE) & (sizes[1] > NONE)


def _unit(x: Tensor) -> Tensor:
    """Each example over its length, zero where it is zero.

    As :func:`testudo.tensors.unit`, but its derivative is never NaN, and knows nothing of the scaling.
    """
    x = working_precision(x)
    size = norms(x.detach(), torch.inf)
    x = torch.where(per_example(size > NONE, x), x, 0) / per_example(_filled(size), x)
    return x / per_example(_filled(dot(x, x)).sqrt(), x)


def _length(x: Tensor) -> Tensor:
    """(N,) the length of each example."""
    x = working_precision(x)
    size = norms(x.detach(), torch.inf)
    x = x / per_example(_filled(size), x)
    return torch.where(size > NONE, size * _filled(dot(x, x)).sqrt(), 0)


def _filled(sizes: Tensor) -> Tensor:
    """``sizes`` with 1 for none."""
    return torch.where(sizes > NONE, sizes, 1)
