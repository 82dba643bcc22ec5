"""Batch norm over the images of all processes."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from testudo.processes import together, total


class SharedBatchNorm2d(nn.BatchNorm2d):
    """In training, statistics over the batch of every process, as if one had it all; else batch norm as it is.

    torch's own SyncBatchNorm works on GPUs alone and has no second derivative, which regularisers of input gradients
    need. The mean comes first and the variance after it, in float32 or wider: two exchanges of C numbers.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W), N of this process's own."""
        if not self.training or not together():
            return super().forward(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        size = total(torch.full_like(x[:1, :1, :1, :1], x.numel() / x.shape[1]))
        mean = total(x.sum((0, 2, 3), keepdim=True)) / size
        centred = x - mean
        variance = total(centred.square().sum((0, 2, 3), keepdim=True)) / size
        self._remember(mean.detach().flatten(), (variance * size / (size - 1).clamp(min=1)).detach().flatten())
        normed = centred * (variance + self.eps).rsqrt()
        if self.affine:
            normed = normed * self.weight[:, None, None] + self.bias[:, None, None]
        return normed.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), rate)
        self.running_var.lerp_(variance.to(self.running_var), rate)


@contextmanager
def synchronised(model: nn.Module) -> Generator[None]:
    """Within this block the batch norms of ``model`` are :class:`SharedBatchNorm2d`, where there are several processes.

    Names, weights and statistics stay as they are.
    """
    plain = [module for module in model.modules() if type(module) is nn.BatchNorm2d] if together() else []
    for module in plain:
        module.__class__ = SharedBatchNorm2d
    try:
        yield
    finally:
        for module in plain:
            module.__class__ = nn.BatchNorm2d
