"""A model and its optimiser as one flat dict of tensors, and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from testudo.errors import TestudoError


def pack(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Model and optimiser state as one flat dict of tensors."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        for key, value in state.items():
            if value is not None:
                tensors[f"optimiser.{index}.{key}"] = torch.as_tensor(value)
    return tensors


def unpack(tensors: dict[str, Tensor], model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Put back what :func:`pack` took."""
    load_weights(model, tensors)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def load_weights(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Give ``model`` the tensors called ``model.*``; raises TestudoError where they do not fit it."""
    weights = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    wanted = model.state_dict()
    for name in [*wanted, *weights]:
        if name not in weights or name not in wanted:
            who = "the model has" if name in wanted else "the checkpoint has"
            raise TestudoError(f"the checkpoint does not fit the model: only {who} {name!r}")
        there, here = weights[name], wanted[name]
        if there.shape != here.shape or there.dtype != here.dtype:
            found = f"{there.dtype} {tuple(there.shape)} there, {here.dtype} {tuple(here.shape)} here"
            raise TestudoError(f"the checkpoint does not fit the model: {name!r} is {found}")
    model.load_state_dict(weights)
