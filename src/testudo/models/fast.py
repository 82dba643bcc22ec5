"""The frozen copy that attacks run on: folded batch norm, channels-last, bf16, compiled."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn

from testudo.errors import TestudoError, one_line, unknown
from testudo.memory import keep_memory
from testudo.models.fold import Fold, fold
from testudo.models.model import Model
from testudo.models.pyramid import Features, maps
from testudo.tasks.task import Task

Precision = Literal["auto", "float32", "bf16"]
_HALF = (torch.float16, torch.bfloat16)


def _without_tf32(images: Tensor) -> AbstractContextManager[None]:
    """On CUDA, convolutions in float32 proper: torch rounds their input to 10 bits of mantissa by default."""
    if not images.is_cuda:
        return nullcontext()
    now = torch.backends.cudnn
    return now.flags(enabled=now.enabled, benchmark=now.benchmark, deterministic=now.deterministic, allow_tf32=False)


def fast(model: nn.Module, precision: Precision = "auto", compile: bool = False) -> Fast:
    """A frozen copy of ``model`` to attack; the model itself is left exactly as it is.

    From here on the process also keeps the memory of one batch for the next (:func:`testudo.memory.keep_memory`).

    Args:
        model: anything with the seam of a model. A :class:`MultiTaskModel` and a wrapped module are
            rewritten; another class is copied as it is and runs in float32.
        precision: ``"bf16"``, ``"float32"``, or ``"auto"``: bf16 where the device is faster in it (CPUs
            with AMX, GPUs that have it). Normalisation and last layers stay in float32. A float64 model stays so.
        compile: run through ``torch.compile``, once per batch shape and choice of tasks.

    Raises:
        TestudoError: unknown precision, a model without tasks, or one that cannot be copied.

    >>> from testudo.models.wrap import wrap
    >>> from testudo.tasks.classification import Classification
    >>> frozen = fast(wrap(nn.Flatten(), [Classification("digit", classes=4)]), precision="float32")
    >>> frozen(torch.zeros(2, 1, 2, 2))["digit"].shape, frozen.precision, frozen.folded
    (torch.Size([2, 4]), 'float32', 0)
    """
    if precision not in ("auto", "float32", "bf16"):
        raise unknown("precision", precision, ("auto", "float32", "bf16"))
    keep_memory()
    return Fast(model, precision, compile)


class Fast(Model):
    """A frozen copy of a model, for many passes forward and back to the images; made by :func:`fast`.

    It has the seam of every model (``tasks``, ``forward``), stays in eval mode whatever is asked of it, and
    none of its parameters takes a gradient. Outputs are float32 (float64 for a float64 model). A norm
    without running statistics uses those of its batch even here, as in the model: such a model's examples
    depend on their neighbours, and so does what an attack finds.

    Attributes:
        tasks: those of the model at the time of the copy.
        folded: how many batch norms went into the layers before them; 0 where torch.fx cannot trace.
        precision: what ``forward`` computes in: ``"float32"``, ``"bf16"`` or ``"float64"``; it falls from
            bf16 to float32 at the first pass where a module of the user's does not run in bf16.
    """

    def __init__(self, model: nn.Module, precision: Precision, compiled: bool) -> None:
        super().__init__()
        self.training = False
        tasks: Any = getattr(model, "tasks", None)
        if tasks is None:
            kind = type(model).__name__
            raise TestudoError(f"{kind} has no tasks; say what it predicts: wrap(module, tasks)")
        self._source = (model,)  # in a tuple, so that it is no submodule of this one
        self.tasks: dict[str, Task] = dict(tasks)
        self._exact, self._folds = _frozen(model)
        self._parts = _parts(model)
        self.folded = sum(pair.layer is not None for folds in self._folds.values() for pair in folds)
        self.precision = _resolve(precision, model)
        self._compiled = compiled
        self._quick = _halved(self._exact, self._folds) if self.precision == "bf16" else self._exact
        self._call = self._compile()

    def forward(self, images: Tensor, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Outputs of the named tasks, all by default, computed in ``precision``."""
        names = None if tasks is None else tuple(tasks)
        with torch.autocast(images.device.type, enabled=False):
            if self.precision != "bf16":
                return self._run(images, names)
            try:
                return self._run(images, names)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError:  # an operation without bf16, or a float32 tensor of the module's own
                outputs = self._exact(images, names)  # where this fails too, it was something else
        self.precision, self._quick = "float32", self._exact
        self._call = self._compile()
        return outputs

    def features(self, images: Tensor) -> Features:
        """The encoder's last map, or all that it keeps, which is what the tasks share; never compiled.

        Raises:
            TestudoError: the model does not tell its encoder from its heads.
        """
        part: Any = self._quick
        if not hasattr(part, "decode"):
            kind = type(self._source[0]).__name__
            raise TestudoError(f"gradients at the features need a MultiTaskModel, got {kind} (use gradients='exact')")
        with torch.autocast(images.device.type, enabled=False):
            return part.features(images)

    def decode(self, features: Features, tasks: Iterable[str], size: Sequence[int]) -> dict[str, Tensor]:
        """What the named tasks make of :meth:`features` of images of height and width ``size``."""
        part: Any = self._quick
        with torch.autocast(maps(features)[0].device.type, enabled=False):
            return part.decode(features, tasks, size)

    def exact(self, images: Tensor, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Outputs in float32 (float64 for a float64 model) whatever ``precision``: what scores come from."""
        with torch.autocast(images.device.type, enabled=False), _without_tf32(images):
            return self._exact(images, tasks)

    def refresh(self) -> None:
        """Take over the model's current weights and statistics, without tracing or compiling again.

        Raises:
            TestudoError: the model's tasks or parts are others than at the time of the copy.
        """
        model = self._source[0]
        if self.tasks != model.tasks or self._parts != _parts(model):
            raise TestudoError("the model's tasks or parts changed since its fast copy was made; make a new one")
        _load(self._exact, model, self._folds)
        if self._quick is not self._exact:
            with torch.no_grad():
                for (_, mine), (_, current) in zip(_named(self._quick), _named(self._exact), strict=True):
                    mine.copy_(current)

    def train(self, mode: bool = True) -> Fast:
        """Nothing: a frozen copy knows one mode."""
        return self

    def _compile(self) -> Any:
        return torch.compile(self._quick, dynamic=False) if self._compiled else self._quick

    def _run(self, images: Tensor, names: tuple[str, ...] | None) -> dict[str, Tensor]:
        if not self._compiled:
            return self._quick(images, names)
        from torch._dynamo.exc import BackendCompilerFailed  # takes a second to import

        try:
            return self._call(images, names)
        except BackendCompilerFailed as error:
            why = str(error).partition("\n")[0]
            raise TestudoError(f"torch.compile does not work here, leave it off: {why}") from error


class _Body(nn.Module):
    """A network that gets its inputs in its own precision (as they come where None) and layout."""

    def __init__(self, network: nn.Module, dtype: torch.dtype | None, layout: torch.memory_format) -> None:
        super().__init__()
        if layout == torch.channels_last:
            network.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
        self.network = network
        self.dtype = dtype
        self.layout = layout

    def forward(self, inputs: Features) -> Any:
        cast = tuple(x.to(self.dtype or x.dtype, memory_format=self.layout) for x in maps(inputs))
        return self.network(cast if isinstance(inputs, tuple) else cast[0])


def _frozen(model: nn.Module) -> tuple[nn.Module, dict[str, list[Fold]]]:
    """A frozen copy in eval mode, its bodies rewritten where its class names any, and the folds made in each."""
    mine = _copied(model).eval().requires_grad_(False)
    dtype = _dtype(mine)
    if dtype in _HALF:
        mine, dtype = mine.float(), torch.float32
    folds = {}
    for path in _bodies(model):
        rewritten = fold(mine.get_submodule(path))
        layout = torch.channels_last if rewritten.any_layout else torch.preserve_format
        mine.set_submodule(path, _Body(rewritten.network, dtype, layout).eval())
        folds[path] = rewritten.folds
    return mine, folds


def _bodies(model: nn.Module) -> tuple[str, ...]:
    """The paths of what may be rewritten and run in lower precision."""
    return getattr(model, "bodies", ())


def _copied(model: nn.Module) -> nn.Module:
    """A deep copy without gradients; computed tensors that layers keep as attributes come along detached."""
    kept = (value for part in model.modules() for value in vars(part).values() if isinstance(value, Tensor))
    memo = {id(value): value.detach().clone() for value in kept if not value.is_leaf}
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:
        raise TestudoError(f"the model cannot be copied to be attacked: {one_line(error)}") from error


def _halved(exact: nn.Module, bodies: Iterable[str]) -> nn.Module:
    """A copy whose bodies compute in bf16; norms that stayed keep float32 statistics, which costs nothing."""
    mine = copy.deepcopy(exact)
    for path in bodies:
        body: Any = mine.get_submodule(path)
        body.dtype = torch.bfloat16
        body.network.to(torch.bfloat16)
        for part in body.network.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.float()
    return mine


def _load(mine: nn.Module, model: nn.Module, folds: dict[str, list[Fold]]) -> None:
    """Copy tensors of ``model`` into its frozen copy ``mine``, folding where it was folded."""
    fresh: dict[str, Tensor] = dict(_named(model))
    with torch.no_grad():
        for body, pairs in folds.items():
            source = model.get_submodule(body)
            for pair in pairs:
                weight, bias = pair.weights(source)
                fresh |= {f"{body}.{pair.target}.weight": weight, f"{body}.{pair.target}.bias": bias}
        for path, tensor in _named(mine):
            body = next((body for body in folds if path.startswith(f"{body}.network.")), None)
            origin = path if body is None else path.replace(f"{body}.network.", f"{body}.", 1)
            if origin in fresh:  # all but the constants that torch.fx found in the code
                tensor.copy_(fresh[origin])


def _parts(model: nn.Module) -> dict[str, torch.Size]:
    return {path: tensor.shape for path, tensor in _named(model)}


def _named(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every parameter and buffer by its path, shared ones under each."""
    return chain(module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False))


def _dtype(model: nn.Module) -> torch.dtype | None:
    """The precision of the model's first floating-point parameter, None where it has none."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), None)


def _resolve(precision: Precision, model: nn.Module) -> str:
    """What the copy will compute in."""
    if _dtype(model) == torch.float64:
        return "float64"
    if precision == "float32" or not _bodies(model):
        return "float32"
    if precision == "bf16":
        return "bf16"
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return "bf16" if _faster_in_bf16(device) else "float32"


def _faster_in_bf16(device: torch.device) -> bool:
    """Whether the device multiplies matrices in bf16 faster than in float32.

    AVX-512 BF16 without AMX does not: measured, the same time as float32 within noise.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()
