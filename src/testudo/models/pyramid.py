"""What an encoder gives: one map, or a pyramid of them."""

from __future__ import annotations

from torch import Tensor

Features = Tensor | tuple[Tensor, ...]
"""The last map (N, features, h, w), or several maps from fine to coarse, of which that is the last."""


def maps(features: Features) -> tuple[Tensor, ...]:
    """The maps of a pyramid, or the one map alone.

    >>> import torch
    >>> len(maps(torch.zeros(1, 2, 3, 4)))
    1
    """
    return features if isinstance(features, tuple) else (features,)


def apart(features: Features) -> Features:
    """The same values, as tensors that do not depend on each other.

    A coarse map is computed from the finer ones, so the gradient of a loss to a fine map of the encoder also runs
    through the coarse ones, and taken on from there to the images it would be counted twice. The gradients to these
    tensors are those of the heads alone; taken on through all of them, they add up to the gradient to the images.

    >>> import torch
    >>> fine = torch.ones(1, requires_grad=True)
    >>> features = fine, 3 * fine
    >>> for a, b in (features, apart(features)):
    ...     print(torch.autograd.grad((a + b).sum(), a, retain_graph=True)[0].item())
    4.0
    1.0
    """
    found = tuple(one.view_as(one) for one in maps(features))
    return found if isinstance(features, tuple) else found[0]
