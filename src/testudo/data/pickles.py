"""CIFAR's python batches: pickles, read without letting them run anything."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from testudo.data.dataset import Examples
from testudo.data.images import Stored
from testudo.errors import TestudoError, one_line

BATCH = 10_000  # images in each file of the published set, so that an id is a place in its order
PIXELS = 3 * 32 * 32


def _latin1(text: str, encoding: str) -> bytes:
    """What Python 3 writes for bytes into a protocol-2 pickle; no other codec is wanted."""
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"it asks for the codec {encoding!r}")
    return text.encode("latin1")


_rebuild: Any = np.empty(0).__reduce__()[0]  # numpy's own, wherever this version keeps it
ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _rebuild,
    ("numpy._core.multiarray", "_reconstruct"): _rebuild,
    ("_codecs", "encode"): _latin1,
}


class _ArraysOnly(pickle.Unpickler):
    """Rebuilds numbers, bytes, lists, dicts and numpy arrays; everything else is refused, not called."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return ALLOWED[module_name, global_name]
        except KeyError:
            name = f"{module_name}.{global_name}"
            raise pickle.UnpicklingError(f"it asks for {name}, and only arrays are allowed") from None


def unpickled(file: Path) -> Any:
    """The content of a pickle of plain values; raises TestudoError where it is missing, cut or holds more."""
    if not file.is_file():
        raise TestudoError(f"missing file {str(file)!r}")
    try:
        with file.open("rb") as opened:
            return _ArraysOnly(opened, encoding="bytes").load()
    except Exception as error:  # a hostile pickle can make the machine raise almost anything
        raise TestudoError(f"{file}: not a readable batch file: {one_line(error)}") from error


def read_batches(files: Sequence[Path], keys: Mapping[str, bytes]) -> Examples:
    """The images of some batch files, ids by their place in the published order.

    Args:
        files: batch files in their order.
        keys: for each target name the key of its labels.

    Raises:
        TestudoError: naming the file that is missing, cut short, not plain, or of another layout.
    """
    parts = [_batch(file, keys) for file in files]
    targets = {name: torch.cat([labels[name] for _, labels in parts]) for name in keys}
    ids = torch.cat([torch.arange(len(pixels)) + BATCH * i for i, (pixels, _) in enumerate(parts)])
    return Examples(Stored(torch.cat([pixels for pixels, _ in parts])), targets, ids)


def _batch(file: Path, keys: Mapping[str, bytes]) -> tuple[Tensor, dict[str, Tensor]]:
    """Pixels (n, 3, 32, 32) uint8 and labels (n,) by target name."""
    found = unpickled(file)
    missing = [key.decode() for key in (b"data", *keys.values()) if not isinstance(found, dict) or key not in found]
    if missing:
        raise TestudoError(f"{file}: no {missing[0]!r} in it; is this a file of another data set?")
    data = found[b"data"]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PIXELS:
        raise TestudoError(f"{file}: 'data' must be bytes of shape (n, {PIXELS}), got {getattr(data, 'shape', data)!r}")
    labels = {}
    for name, key in keys.items():
        values = found[key]
        whole = isinstance(values, list) and all(isinstance(v, int) for v in values)
        if not whole or len(values) != len(data):
            raise TestudoError(f"{file}: {key.decode()!r} must be a list of {len(data)} integers")
        labels[name] = torch.tensor(values, dtype=torch.int64)
    return torch.from_numpy(data.copy()).reshape(-1, 3, 32, 32), labels
