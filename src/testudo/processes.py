"""Several processes at work on one run: who is who, and sums over all of them; nothing where there is one alone."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@contextmanager
def joined(device: str = "auto") -> Generator[None]:
    """Within this block the processes that ``torchrun`` started work together; nothing where there is one alone.

    They talk through NCCL where each has a GPU (which becomes its current one), through gloo elsewhere or where
    ``device`` is ``"cpu"``. Where they were joined before, they stay so.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        yield
        return
    gpu = device != "cpu" and torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    import_module("torch.distributed.nn.functional")  # imported later it would keep the group, as default arguments,
    # beyond its end: its threads would be alive when the interpreter ends, which aborts a process now and then
    dist.init_process_group("nccl" if gpu else "gloo", timeout=timedelta(hours=12))  # one may validate for long
    try:
        yield
        dist.barrier()  # gloo may abort a process that leaves while another still speaks to it
    finally:
        dist.destroy_process_group()


def together() -> bool:
    """Whether several processes are at work."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def count() -> int:
    """How many processes are at work.

    >>> count(), rank()
    (1, 0)
    """
    return dist.get_world_size() if together() else 1


def rank() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if together() else 0


class _Total(torch.autograd.Function):
    """A sum over processes; its derivative is one, too (torch's own is deprecated, and its successor has none)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """The sum."""
        summed = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """What each process's result asks of this one's part."""
        return _Total.apply(gradients[0])


def total(values: Tensor) -> Tensor:
    """The sum of ``values`` over the processes; differentiable, as often as wanted.

    >>> total(torch.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    return _Total.apply(values) if together() else values


def average(values: Tensor) -> Tensor:
    """The mean of ``values`` over the processes, to be shown or compared; without gradient."""
    return total(values.detach()) / count() if together() else values.detach()


def gathered(values: Tensor) -> Tensor:
    """The rows of all processes, in their order: (N, ...) each, N of their own -> (sum of N, ...); differentiable.

    >>> gathered(torch.zeros(2, 3)).shape
    torch.Size([2, 3])
    """
    if not together():
        return values
    sizes = values.new_zeros(count(), dtype=torch.int64)
    sizes[rank()] = len(values)
    sizes = total(sizes).tolist()
    before, after = sum(sizes[: rank()]), sum(sizes[rank() + 1 :])
    shape = values.shape[1:]
    return total(torch.cat([values.new_zeros(before, *shape), values, values.new_zeros(after, *shape)]))


def told(value: Any) -> Any:
    """What the first process says, on all of them: ``value`` there, whatever the others give.

    >>> told(3)
    3
    """
    said = [value]
    if together():
        dist.broadcast_object_list(said)
    return said[0]


def part(rows: int, which: int, of: int) -> slice:
    """Which of ``rows`` rows process ``which`` of ``of`` holds: neighbours, none without, about as many each.

    Parts begin at even rows where that leaves none empty, so that rows 2 i and 2 i + 1 stay together.

    >>> part(10, 0, 2), part(10, 1, 2), part(3, 2, 3)
    (slice(0, 6, None), slice(6, 10, None), slice(2, 3, None))
    """
    edges = [round(rows * number / of / 2 + 1e-9) * 2 for number in range(of)] + [rows]
    if any(low >= high for low, high in pairwise(edges)):
        edges = [rows * number // of for number in range(of + 1)]
    return slice(edges[which], edges[which + 1])
