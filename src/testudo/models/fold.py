"""Batch norm in eval mode is an affine map: fold it into the layer before it, or at least make it one."""

from __future__ import annotations

import copy
import pickle
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_PAIRS: dict[type, tuple[type, ...]] = {
    nn.Conv1d: (nn.BatchNorm1d,),
    nn.Conv2d: (nn.BatchNorm2d, nn.SyncBatchNorm),
    nn.Conv3d: (nn.BatchNorm3d,),
    nn.Linear: (nn.BatchNorm1d,),
}
_STRIDED = ("view", "view_as", "as_strided", torch.as_strided)  # these ask for contiguous memory
_KEEP_RANK = (nn.Linear, nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Dropout, nn.BatchNorm1d)


class Affine(nn.Module):
    """``weight`` x + ``bias`` per channel: (N, C, ...) -> the same; half the time of a norm in eval mode."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        shape = (1, -1, *([1] * (x.dim() - 2)))
        return torch.addcmul(self.bias.reshape(shape), x, self.weight.reshape(shape))


@dataclass(frozen=True)
class Fold:
    """The dotted paths of a norm and of the layer that takes it up, none where it becomes :class:`Affine`."""

    norm: str
    layer: str | None = None

    @property
    def target(self) -> str:
        """Where the folded weight and bias are."""
        return self.layer or self.norm

    def weights(self, source: nn.Module) -> tuple[Tensor, Tensor]:
        """The weight and bias that do what norm and layer of ``source`` do.

        y = gamma (W x + b - mean) / sqrt(var + eps) + beta; the factors are computed in float64.
        """
        norm: Any = source.get_submodule(self.norm)
        layer: Any = None if self.layer is None else source.get_submodule(self.layer)
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight.double()
        offset = 0 if layer is None or layer.bias is None else layer.bias.double()
        bias = (offset - norm.running_mean.double()) * scale
        if norm.bias is not None:
            bias = bias + norm.bias.double()
        given = norm.running_var if layer is None else layer.weight
        dtype = torch.promote_types(given.dtype, torch.float32)
        scale, bias = scale.to(dtype), bias.to(dtype)
        if layer is None:
            return scale, bias
        return layer.weight.to(dtype) * scale.reshape(-1, *([1] * (layer.weight.dim() - 1))), bias


class Folded(NamedTuple):
    """What :func:`fold` made of a module."""

    network: nn.Module
    folds: list[Fold]
    any_layout: bool  # whether it surely runs on channels-last tensors


def fold(module: nn.Module) -> Folded:
    """A rewritten ``module`` without batch norms in eval mode, and what went where.

    A norm goes into a plain layer of torch whose only consumer it is, both being used once and without
    hooks or parametrisations; another becomes :class:`Affine`; one that has hooks or no running statistics
    stays. ``module`` is in eval mode and the caller's own copy; it comes back as it is, with no folds,
    where torch.fx cannot trace it soundly.
    """
    graph = _trace(module)
    if graph is None:
        return Folded(module, [], False)
    traced = fx.GraphModule(module, graph)
    scene = _Scene(traced)
    folds = {}
    for node in list(traced.graph.nodes):
        if not scene.frozen_norm(node):
            continue
        pair = Fold(str(node.target), scene.layer_before(node))
        folds[pair.target] = pair
        if pair.layer is not None:
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    fresh = {path: _replacement(pair, traced) for path, pair in folds.items()}
    for path, part in fresh.items():
        traced.set_submodule(path, part)
    traced.recompile()
    traced.delete_all_unused_submodules()
    any_layout = all(node.target not in _STRIDED for node in traced.graph.nodes)
    return Folded(traced, list(folds.values()), any_layout)


def _replacement(pair: Fold, traced: fx.GraphModule) -> nn.Module:
    """What takes the place of ``pair.target``; the old module, and what it shares with others, stays."""
    weight, bias = pair.weights(traced)
    if pair.layer is None:
        return Affine(weight, bias).eval()
    layer: Any = copy.copy(traced.get_submodule(pair.layer))
    layer._parameters = dict(layer._parameters)  # the shallow copy shares them
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return layer


def _trace(module: nn.Module) -> fx.Graph | None:
    """The graph of ``module``, or None where it has control flow, draws numbers, or its parts carry hooks."""
    tracer = fx.Tracer()
    for name, part in module.named_modules():
        if _hooked(part) and (not name or not tracer.is_leaf_module(part, name)):
            return None
    before, numbers = _drawn(), np.random.get_state()  # noqa: NPY002 (a user's forward may draw from it)
    with torch.random.fork_rng(devices=[]):
        try:
            graph = tracer.trace(module)
        except Exception:  # whatever a user's forward does with a proxy: it then runs as it is
            graph = None
        drew = _drawn() != before
    random.setstate(before[1])
    np.random.set_state(numbers)  # noqa: NPY002
    return None if drew else graph  # a number drawn while tracing would be frozen into the graph


def _drawn() -> tuple[bytes, tuple[Any, ...], bytes]:
    """The state of every global generator: torch's, Python's, numpy's."""
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002


def _hooked(module: nn.Module) -> bool:
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    return any(hooks) or bool(module._backward_pre_hooks)


class _Scene:
    """Who calls and who reads what in a traced module."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self.modules = dict(traced.named_modules())
        nodes = list(traced.graph.nodes)
        self.calls = Counter(id(self.modules[str(n.target)]) for n in nodes if n.op == "call_module")
        self.read = {str(n.target).rpartition(".")[0] for n in nodes if n.op == "get_attr"}

    def frozen_norm(self, node: fx.Node) -> bool:
        """Whether ``node`` calls a norm in eval mode that may be replaced."""
        norm: Any = self._called(node)
        if type(norm) not in _NORMS or norm.training or norm.running_mean is None or len(node.args) != 1:
            return False
        return not _hooked(norm) and node.target not in self.read

    def layer_before(self, node: fx.Node) -> str | None:
        """The path of the layer that can take up norm ``node``, None where there is none."""
        before = node.args[0]
        if not isinstance(before, fx.Node) or len(before.users) != 1:
            return None
        layer, norm = self._called(before), self._called(node)
        if layer is None or type(norm) not in _PAIRS.get(type(layer), ()):
            return None
        if _hooked(layer) or before.target in self.read or max(self.calls[id(layer)], self.calls[id(norm)]) > 1:
            return None
        if isinstance(layer, nn.Linear) and not self._matrix(before.args[0]):
            return None  # of a sequence, the norm takes another dimension than the layer
        return str(before.target)

    def _called(self, node: fx.Node) -> nn.Module | None:
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def _matrix(self, value: Any) -> bool:
        """Whether ``value`` surely has the shape (N, features)."""
        if not isinstance(value, fx.Node) or not value.args:
            return False
        module = self._called(value)
        if isinstance(module, nn.Flatten):
            return (module.start_dim, module.end_dim) == (1, -1)
        if type(module) in _KEEP_RANK or value.target in (F.relu, torch.relu, "relu"):
            return self._matrix(value.args[0])
        return value.target in (torch.flatten, "flatten") and value.args[1:] == (1,) and not value.kwargs
