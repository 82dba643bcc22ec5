"""Published weights: the authors' DRN-D and torchvision's ResNet-50, into the networks that have their names."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from testudo.errors import TestudoError, one_line
from testudo.models.multitask import MultiTaskModel, chosen, key_of

_LAST = ("fc", "seg")  # the published last layers, of ImageNet and of Cityscapes
_LEFT = ("up",)  # the fixed enlargement of the Cityscapes models
_COUNTS = "num_batches_tracked"  # of a norm, which old files lack and nothing here reads


def load_public(model: MultiTaskModel, path: str | Path, task: str | None = None) -> None:
    """Take over the weights of a published file, in place: the shared encoder's, and those of decoders that it knows.

    The files are those of https://github.com/fyu/drn, for ``drn_d_22`` and ``drn_d_105``, trained on ImageNet
    (``drn_d_22-4bd2f8ea.pth``, ``drn_d_105-12b40979.pth``: ``layer0.0.weight``, ..., ``fc.bias``) or for segmentation
    (``base.0.0.weight``, ..., ``seg.bias``), and torchvision's for ``resnet50_aspp``. Separate decoders each start from
    the published layers 6 to 8. A decoder that the file knows nothing of (atrous pooling, masks) stays as it is. The
    weights expect the images normalised as the authors did, for ImageNet by mean 0.485, 0.456, 0.406 and std 0.229,
    0.224, 0.225. The file is read with ``weights_only``: no code in it is run.

    Args:
        model: made by an encoder whose parts have the published names.
        path: a ``.pth`` file.
        task: the task that gets the published last layer; without it, every last layer stays as it is.

    Raises:
        TestudoError: no such file, or no weights in it; a weight is missing, left over, or of another shape; no such
            task. The model is then unchanged.
    """
    published = _read(Path(path))
    last = {name: published.pop(name) for name in list(published) if name.partition(".")[0] in _LAST}
    found: dict[str, Tensor] = {}
    used: set[str] = set()
    for part in model.bodies:
        names = [name for name, _ in _tensors(model.get_submodule(part))]
        missing = [name for name in names if name not in published]
        if missing and part == "encoder":
            raise TestudoError(f"{path} has no weights {missing[0]!r}, which the model's encoder needs")
        if not missing:
            found |= {f"{part}.{name}": published[name] for name in names}
            used |= set(names)
    unused = [name for name in published if name not in used]
    if unused:
        raise TestudoError(f"{path} has weights {unused[0]!r}, for which the model has no place")
    if task is not None:
        found |= _last_layer(model, task, last, path)
    _fill(model, found, path)


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by their published names."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of torch about old files
            read = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TestudoError(f"no weights at {path}") from None
    except pickle.UnpicklingError as error:
        raise TestudoError(f"{path} is no file of weights: it holds more than tensors by name") from error
    except Exception as error:  # a damaged file raises almost anything
        raise TestudoError(f"{path} cannot be read as weights: {one_line(error)[:160]}") from error
    if not isinstance(read, dict) or not read or not all(isinstance(value, Tensor) for value in read.values()):
        raise TestudoError(f"{path} is no file of weights: it does not hold tensors by name")
    named = {re.sub(r"^base\.(?=\d)", "layer", name): tensor for name, tensor in read.items()}
    return {n: t for n, t in named.items() if n.partition(".")[0] not in _LEFT and not n.endswith(_COUNTS)}


def _last_layer(model: MultiTaskModel, task: str, published: dict[str, Tensor], path: str | Path) -> dict[str, Tensor]:
    """The published last layer, under the names of that of ``task``."""
    chosen(model.tasks, [task])
    head, found = f"heads.{key_of(task)}", {}
    for mine, current in _tensors(model.get_submodule(head)):
        kind = mine.rpartition(".")[2]
        tensor = next((tensor for name, tensor in published.items() if name.endswith(f".{kind}")), None)
        if tensor is None:
            raise TestudoError(f"{path} has no last layer (fc or seg) for task {task!r}")
        linear = current.dim() == 2 and tensor.shape[2:] == (1, 1)  # which is what a 1x1 convolution does after pooling
        found[f"{head}.{mine}"] = tensor.flatten(1) if linear else tensor
    return found


def _fill(model: MultiTaskModel, found: dict[str, Tensor], path: str | Path) -> None:
    """Copy the tensors to where they belong, all or none."""
    current = dict(_tensors(model))
    for name, tensor in found.items():
        if tensor.shape != current[name].shape:
            shapes = f"{tuple(tensor.shape)}, the model's are {tuple(current[name].shape)}"
            raise TestudoError(f"{path}: the weights for {name!r} are of the shape {shapes}")
    with torch.no_grad():
        for name, tensor in found.items():
            current[name].copy_(tensor)


def _tensors(part: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by name, without what old files lack."""
    both = chain(part.named_parameters(), part.named_buffers())
    return ((name, tensor) for name, tensor in both if not name.endswith(_COUNTS))
