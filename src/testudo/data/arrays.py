"""Arrays in files, mapped into memory where they lie there as they are; never a pickle."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy
from safetensors import safe_open
from torch import Tensor

from testudo.errors import TestudoError, one_line, unknown

ENDINGS = (".npz", ".npy", ".safetensors")
ENTRY = struct.Struct("<26xHH")  # a zip file's local header: the lengths of name and extra field are at its end


def load_array(file: Path, name: str) -> Tensor:
    """An array: all of a ``.npy`` file, or the one called ``name`` of a ``.npz`` or ``.safetensors`` file.

    It is mapped into memory, so that only what is used is read; a compressed one is read whole.

    Raises:
        TestudoError: in one line, the file that is missing, of another kind, cut short or pickled, or lacks the array.
    """
    if file.suffix not in ENDINGS:
        raise TestudoError(f"array: {str(file)!r} must be a file of arrays (allowed: {', '.join(ENDINGS)})")
    if not file.is_file():
        raise TestudoError(f"missing file {str(file)!r}")
    try:
        if file.suffix == ".safetensors":
            return _tensor(file, name)
        array = np.load(file, mmap_mode="c", allow_pickle=False) if file.suffix == ".npy" else _zipped(file, name)
        return torch.from_numpy(array)
    except TestudoError:
        raise
    except Exception as error:  # numpy, zipfile and safetensors raise a dozen kinds for damaged files
        raise TestudoError(f"{file}: not a readable file of arrays: {one_line(error)}") from error


def _tensor(file: Path, name: str) -> Tensor:
    with safe_open(file, "pt") as opened:
        names = list(opened.keys())
        if name not in names:
            raise unknown(f"array in {file}:", name, names)
        return opened.get_tensor(name)


def _zipped(file: Path, name: str) -> np.ndarray:
    with zipfile.ZipFile(file) as archive:
        names = [entry.removesuffix(".npy") for entry in archive.namelist()]
        if name not in names:
            raise unknown(f"array in {file}:", name, names)
        entry = archive.getinfo(f"{name}.npy")
        if entry.compress_type != zipfile.ZIP_STORED:
            with np.load(file, allow_pickle=False) as arrays:
                return arrays[name]
    with file.open("rb") as raw:
        raw.seek(entry.header_offset)
        raw.seek(sum(ENTRY.unpack(raw.read(ENTRY.size))), 1)
        read = npy.read_array_header_1_0 if npy.read_magic(raw) == (1, 0) else npy.read_array_header_2_0
        shape, columns, kind = read(raw)
        if kind.hasobject:
            raise TestudoError(f"{file}: array {name!r} is pickled, which can run code when read; it is refused")
        return np.memmap(raw, kind, "c", raw.tell(), shape, "F" if columns else "C")
