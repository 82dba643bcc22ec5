"""Per-example arithmetic and draws that depend on the example alone.

Shapes: N examples, ``...`` any further dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def per_example(values: Tensor, like: Tensor) -> Tensor:
    """View ``values`` (N,) so that it broadcasts over ``like`` (N, ...)."""
    return values.reshape(-1, *([1] * (like.dim() - 1)))


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each example of ``a`` with that of ``b``: (N, ...), (N, ...) -> (N,).

    >>> dot(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([11.])
    """
    return (a * b).flatten(1).sum(1)


def norms(x: Tensor, p: float) -> Tensor:
    """The p-norm of each example: (N, ...) -> (N,), 0 for an example without elements.

    >>> norms(torch.tensor([[3.0, -4.0]]), 2), norms(torch.tensor([[3.0, -4.0]]), math.inf)
    (tensor([5.]), tensor([4.]))
    """
    flat = x.flatten(1)
    if flat.shape[1] == 0 or flat.shape[0] == 0:
        return flat.new_zeros(flat.shape[0])
    if p == math.inf:
        return flat.abs().amax(1)  # an eighth of the time of vector_norm's own
    return torch.linalg.vector_norm(flat, p, dim=1)


def unit(x: Tensor, p: float) -> Tensor:
    """Each example of ``x`` (N, ...) over its p-norm; zero stays zero.

    It is scaled by its largest magnitude first, so that values of any size survive their powers and sums.

    >>> unit(torch.tensor([[3e-30, 4e-30], [0.0, 0.0]]), 2)
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    for power in (math.inf, p):
        size = norms(x, power)
        x = x / per_example(torch.where(size > 0, size, 1), x)
    return x


def _mix(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele et al. 2014), elementwise on int64 (products wrap)."""
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * _MIX_1  # the masks make the arithmetic shifts logical
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * _MIX_2
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


def rekey(ids: Tensor, *stream: int) -> Tensor:
    """Other ids, (N,) int64, one for each id and ``stream``: the same example, drawn for another purpose.

    >>> rekey(torch.tensor([1, 2]), 0).tolist() == rekey(torch.tensor([1, 2]), 1).tolist()
    False
    """
    key = _mix(ids.to(torch.int64) + _GOLDEN)
    for number in stream:
        key = _mix(key * 31 + _mix(torch.full_like(key, int(number)) + _GOLDEN))
    return key


def uniform(ids: Tensor, shape: tuple[int, ...], *stream: int) -> Tensor:
    """Uniform draws in (0, 1), each a function of its example's id, ``stream`` and position alone.

    A counter-based generator: it neither reads nor changes any global random state, and an example draws
    the same numbers in any batch, in any order and on any device.

    Args:
        ids: (N,) integers, one per example.
        shape: the shape of one example's draws.
        stream: integers that tell this use from others (a seed, a restart, a purpose).

    Returns:
        (N, *shape) float32.

    >>> a = uniform(torch.tensor([7, 8]), (2,), 0)
    >>> bool((a[1] == uniform(torch.tensor([8]), (2,), 0)[0]).all())
    True
    """
    key = rekey(ids, *stream)
    counter = torch.arange(math.prod(shape), device=ids.device, dtype=torch.int64) * _GOLDEN
    bits = _mix(key[:, None] + counter[None, :]) & 0x7FFFFF  # 23 bits: float32 holds bits + 0.5 exactly
    return ((bits.to(torch.float32) + 0.5) / 2**23).reshape(len(ids), *shape)


def normal(ids: Tensor, shape: tuple[int, ...], *stream: int) -> Tensor:
    """Standard normal draws, (N, *shape) float32, reproducible as in :func:`uniform` (Box-Muller).

    >>> normal(torch.arange(3), (4,), 0).shape
    torch.Size([3, 4])
    """
    u = uniform(ids, (2, *shape), *stream)
    return (-2 * u[:, 0].log()).sqrt() * torch.cos(2 * math.pi * u[:, 1])


def working_precision(prediction: Tensor) -> Tensor:
    """``prediction`` in float32 where it came in half precision, else as it is."""
    if prediction.dtype in (torch.float16, torch.bfloat16):
        return prediction.float()
    return prediction
