"""What takes long to make, made once and kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from testudo.errors import TestudoError
from testudo.files import sweep
from testudo.tensor_file import load, save

CACHE_ENV, CACHE_HOME = "TESTUDO_CACHE", "~/.cache/testudo"


def cached(key: tuple, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What ``make()`` gives, from disk where it was made before.

    It lies in the folder that ``TESTUDO_CACHE`` names, or in ``~/.cache/testudo``, in a file named after the SHA-256
    of ``key``. A cache never stands in the way: a damaged file is made anew, a folder that cannot be written is done
    without. The folder may be deleted at any time.

    Args:
        key: strings, numbers, None and tuples of them: all that the tensors are a function of, with a version of the
            code that makes them.
        make: makes the tensors, which must not share memory.

    >>> import torch
    >>> key = ("an example", 1)
    >>> cached(key, lambda: {"a": torch.tensor([1.0])})["a"], cached(key, lambda: {})["a"]
    (tensor([1.]), tensor([1.]))
    """
    told = json.dumps(key)
    try:
        folder = Path(os.environ.get(CACHE_ENV) or CACHE_HOME).expanduser()
    except RuntimeError:  # nobody has a home here
        return make()
    path = folder / f"{hashlib.sha256(told.encode()).hexdigest()}.safetensors"
    try:
        tensors, facts = load(path)
        if facts == {"key": told}:
            return tensors
    except (TestudoError, OSError):  # not there, damaged, or not to be read
        pass
    tensors = make()
    try:
        save(path, tensors, {"key": told})
        sweep(folder)
    except (TestudoError, OSError):
        pass
    return tensors
