"""Files that survive a kill at any instant: written beside, flushed, then renamed over the old one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from testudo.errors import TestudoError, one_line


def write_atomic(path: Path, content: bytes | str | Callable[[Path], object]) -> None:
    """Put ``content`` (or what it writes to the path it is given) at ``path``, whole or not at all.

    Raises:
        TestudoError: it cannot be written (a full disk, no permission); what was at ``path`` stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise TestudoError(f"cannot write {path}: {error.strerror or one_line(error)}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            if callable(content):
                content(temporary)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise TestudoError(f"cannot write {path}: {error.strerror or one_line(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def save(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write ``tensors`` and JSON-able ``facts`` as one safetensors file, atomically."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, to_bytes(plain, {"testudo": json.dumps(facts)}))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`save` wrote.

    Raises:
        TestudoError: there is no such file, it is no safetensors file (a pickle, say), or it is cut short.
    """
    if not path.is_file():
        raise TestudoError(f"no checkpoint at {path}")
    with path.open("rb") as file:
        start = file.read(2)
    if start in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05"):
        raise TestudoError(f"{path} is a pickle, which can run code when read; only safetensors files are loaded")
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {}).get("testudo", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 (it is no dict)
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise TestudoError(f"{path} is not a whole safetensors file: {one_line(error)}") from error


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
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise TestudoError(f"the checkpoint does not fit the model: {one_line(error)}") from error
