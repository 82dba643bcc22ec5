"""Files that survive a kill at any instant: written beside, flushed, then renamed over the old one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from testudo.errors import TestudoError, one_line

UNFINISHED = ".unfinished"
STALE = 3600.0  # seconds: no write takes as long, so what is older was left behind by a kill


def write_atomic(path: Path, content: bytes | str | Callable[[io.BytesIO], object]) -> None:
    """Put ``content`` (or what it writes to the buffer it is given) at ``path``, whole or not at all.

    Raises:
        TestudoError: it cannot be written (a full disk, no permission); what was at ``path`` stays.
    """
    if callable(content):
        buffer = io.BytesIO()
        content(buffer)
        content = buffer.getvalue()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=UNFINISHED, dir=path.parent)
    except OSError as error:
        raise TestudoError(f"cannot write {path}: {error.strerror or one_line(error)}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise TestudoError(f"cannot write {path}: {error.strerror or one_line(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what writes that were killed left in ``folder``; never what another process is writing now."""
    for path in folder.glob(f".*{UNFINISHED}"):
        try:
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()
        except OSError:  # gone, or not ours: it harms nobody
            continue


def save(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write ``tensors`` and JSON-able ``facts`` as one safetensors file, atomically."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # one entry, since safetensors writes several in any order and equal runs shall be equal files
    told = json.dumps({"sha256": _digest(plain, facts), "facts": facts})
    write_atomic(path, to_bytes(plain, {"testudo": told}))


def _digest(tensors: dict[str, Tensor], facts: dict[str, Any]) -> str:
    """SHA-256 over facts, names, shapes and values: safetensors files have no checksum of their own."""
    sha = hashlib.sha256(json.dumps(facts).encode())
    for name, tensor in sorted(tensors.items()):
        sha.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return sha.hexdigest()


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`save` wrote.

    Raises:
        TestudoError: there is no such file, it is no safetensors file (a pickle, say), it is cut short, or its
            content is not what was written.
    """
    if not path.is_file():
        raise TestudoError(f"no checkpoint at {path}")
    try:
        with path.open("rb") as file:
            start = file.read(9)
        if _pickled(start):
            raise TestudoError(f"{path} is a pickle, which can run code when read; only safetensors files are loaded")
        with safe_open(path, "pt") as file:
            told = json.loads((file.metadata() or {})["testudo"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
        facts = told["facts"]
        whole = _digest(tensors, facts) == told["sha256"]
    except TestudoError:
        raise
    except KeyError as error:
        raise TestudoError(f"{path} was not written by testudo: it lacks the entry {error}") from error
    except (SafetensorError, ValueError, TypeError, RuntimeError, AttributeError, OSError) as error:
        raise TestudoError(f"{path} is not a whole safetensors file: {one_line(error)}") from error
    if not whole:
        raise TestudoError(f"{path} is damaged: its content does not match its checksum")
    return tensors, facts


def _pickled(start: bytes) -> bool:
    """Whether a file's first 9 bytes are a pickle's, bare or zipped as by torch.save."""
    bare = start[:1] == b"\x80" and start[1:2] <= b"\x05"
    return start[:2] == b"PK" or (bare and start[8:] != b"{")  # safetensors: 8 bytes of length, then JSON


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
