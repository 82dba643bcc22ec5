"""Directions of vectors, and angles between them. Shapes: N examples, C components, ``...`` nothing or pixels."""

from __future__ import annotations

import torch
from torch import Tensor

_NOWHERE = 1e-6  # a vector without a component of this size has no direction to learn from
_LEAST = 1e-30  # nor to be judged by: what is smaller may be rounded away


def direction(vectors: Tensor, least: float = _NOWHERE) -> Tensor:
    """(N, C, ...) vectors at length 1; those without a component of ``least`` fade to 0, so that gradients are finite.

    >>> direction(torch.tensor([[3e20, 0.0, 4e20], [1e-9, 0.0, 0.0]]))
    tensor([[0.6000, 0.0000, 0.8000],
            [0.0010, 0.0000, 0.0000]])
    """
    scaled = vectors / vectors.detach().abs().amax(1, keepdim=True).clamp(min=least)  # squares must not overflow
    return scaled / scaled.square().sum(1, keepdim=True).clamp(min=1).sqrt()


def between(first: Tensor, second: Tensor) -> Tensor:
    """The angle between directions: (N, C, ...), (N, C, ...) of length 1 -> (N, ...) degrees; 90 where one is 0.

    Kahan's formula ``2 atan2(|a - b|, |a + b|)``: an arc cosine has no slope at 0 and 180 degrees and half the digits
    near them. Gradients are 0 at exactly these.
    """
    return 2 * torch.atan2(_length(first - second), _length(first + second)).rad2deg()


def angle(first: Tensor, second: Tensor) -> Tensor:
    """The angle between vectors of any length: (N, C, ...), (N, C, ...) -> (N, ...) degrees; 90 where one is 0.

    >>> angle(torch.tensor([[1e-20, 1e-20]]), torch.tensor([[0.0, 5.0]]))
    tensor([45.])
    """
    return between(direction(first, _LEAST), direction(second, _LEAST))


def _length(vectors: Tensor) -> Tensor:
    """(N, C, ...) -> (N, ...), with a gradient of 0 at 0; ``norm`` over a dimension that is not the last is slow."""
    squares = vectors.square().sum(1)
    return torch.where(squares == 0, 0, torch.where(squares == 0, 1, squares).sqrt())
