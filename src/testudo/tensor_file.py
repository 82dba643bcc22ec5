"""Tensors in one safetensors file with a checksum; never a pickle, every damage is one line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from testudo.errors import TestudoError, one_line
from testudo.files import write_atomic


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
    """Whether a file's first 9 bytes are a pickle's, bare or zipped as by torch.save.

    Safetensors begin with 8 bytes that tell the length of what follows (and may be any), then JSON.
    """
    bare = start[:1] == b"\x80" and start[1:2] <= b"\x05"
    return (bare or start[:4] == b"PK\x03\x04") and start[8:] != b"{"
