"""Other weights to start from than drawn ones: those of another run, or published ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from testudo import tensor_file
from testudo.errors import TestudoError, nearest
from testudo.models.multitask import OWN, MultiTaskModel, key_of
from testudo.models.public import load_public

BEST = "best.safetensors"  # what a run folder calls the weights that scored best
_MODEL, _NORMALISE = "model.", "normalise."

Tensors = Mapping[str, Tensor]


def load_start(model: MultiTaskModel, source: str | Path) -> list[str]:
    """Give ``model`` the weights of ``source`` where they fit, in place; what does not fit stays as it is.

    Of another run are taken the encoder, with its norms' statistics and whatever else the tasks share, which must be
    the very same; and the decoder and the last layer of every task of the same name and shapes. So a model goes on
    from one that was trained on other tasks or by another method (*Adversarial Robustness: From Self-Supervised
    Pre-Training to Fine-Tuning*, Chen et al. 2020, https://arxiv.org/abs/2003.12862). The images are normalised as
    this model's data wants it, not as that run's. For published files see :func:`~testudo.models.public.load_public`;
    every last layer then stays as it is.

    Args:
        model: to be trained.
        source: a run folder (its best weights), a ``.safetensors`` file of one, or a published ``.pth`` file.

    Returns:
        A line for each part, saying whether it was taken, and if not, why.

    Raises:
        TestudoError: nothing there, a damaged file, or shared weights that do not fit, by the first that does not.
            The model is then unchanged.
    """
    path = Path(source)
    if path.is_dir():
        if not (path / BEST).is_file():
            raise TestudoError(f"{path} holds no trained weights to start from: it has no {BEST}")
        path = path / BEST
    if not path.is_file():
        raise TestudoError(f"no run folder and no file of weights at {path}")
    lines = _from_run(model, path) if path.suffix == Path(BEST).suffix else _from_public(model, path)
    return [f"{lines[0]} (sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]})", *lines[1:]]


def _from_run(model: MultiTaskModel, path: Path) -> list[str]:
    tensors, _ = tensor_file.load(path)
    there = {name.removeprefix(_MODEL): value for name, value in tensors.items() if name.startswith(_MODEL)}
    here = model.state_dict()
    if not there:
        raise TestudoError(f"{path} holds no weights of a model")
    if wrong := _misfit(_shared(there), _shared(here)):
        raise TestudoError(f"{path}: the shared weights do not fit the model: {wrong}")
    taken, lines = _shared(here), [f"encoder: taken from {path}"]
    for task in model.tasks:
        decoder, head = (_under(f"{part}.{key_of(task)}.") for part in ("decoders", "heads"))
        wrong = _misfit(decoder(there), decoder(here))
        taken |= {} if wrong else decoder(here)
        lost = wrong or _misfit(head(there), head(here))  # a last layer is nothing without its decoder
        taken |= {} if lost else head(here)
        lines.append(_told(task, bool(decoder(here)) and not wrong, lost))
    lines += [f"{name}: left behind, the model has no such task" for name in _tasks(there) if name not in model.tasks]
    with torch.no_grad():
        for name, value in taken.items():
            value.copy_(there[name])
    return lines + _normalised(there, here)


def _from_public(model: MultiTaskModel, path: Path) -> list[str]:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_public(model, path)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    lines = [f"encoder: taken from {path}"]
    for task in model.tasks:
        decoder = _under(f"decoders.{key_of(task)}.")(before)
        lines.append(_told(task, bool(moved & set(decoder)), "published weights have none"))
    return lines


def _told(task: str, decoder: bool, lost: str | None) -> str:
    """One line on a task: whether its ``decoder`` was taken, and why its last layer was not."""
    if lost is None:
        return f"{task}: taken"
    return f"{task}: decoder taken, last layer starts anew: {lost}" if decoder else f"{task}: starts anew: {lost}"


def _under(prefix: str) -> Callable[[Tensors], dict[str, Tensor]]:
    """Picks the tensors whose names begin with ``prefix``."""
    return lambda tensors: {name: value for name, value in tensors.items() if name.startswith(prefix)}


def _shared(tensors: Tensors) -> dict[str, Tensor]:
    """What belongs to no task, without the normalisation of images."""
    return {name: value for name, value in tensors.items() if not name.startswith((_NORMALISE, *OWN))}


def _tasks(tensors: Tensors) -> list[str]:
    """The names of the tasks that have a last layer."""
    start = f"heads.{key_of('')}"
    return list(dict.fromkeys(n.removeprefix(start).split(".")[0] for n in tensors if n.startswith(start)))


def _misfit(there: Tensors, here: Tensors) -> str | None:
    """The first tensor that is not on both sides in one shape, in words; None where all are."""
    for name in [*here, *there]:
        if name not in there or name not in here:
            who, others = ("the model", there) if name in here else ("the file", here)
            guess = nearest(name, set(others) - (set(here) & set(there)))
            return f"only {who} has {name!r}" + (f", nearest to it is {guess!r}" if guess else "")
        if there[name].shape != here[name].shape:
            return f"{name!r} is {tuple(there[name].shape)} there, {tuple(here[name].shape)} here"
    return None


def _normalised(there: Tensors, here: Tensors) -> list[str]:
    """A line where that run's data was normalised otherwise."""
    theirs, own = (_under(_NORMALISE)(tensors) for tensors in (there, here))
    same = _misfit(theirs, own) is None and all(
        torch.allclose(theirs[name].double(), value.double().cpu(), atol=1e-3) for name, value in own.items()
    )
    return [] if same else ["normalisation: that of this run's data, which is not that of the weights"]
