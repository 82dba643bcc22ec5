"""Where the runs of studies lie: each trained once, whichever studies ask for it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

from testudo.errors import TestudoError, one_line
from testudo.facts import lasting
from testudo.parts import dump
from testudo.recipe import Recipe
from testudo.registry import DATA, METHODS


def trained(recipe: Recipe) -> Recipe:
    """What of a study's recipe decides the training, under a name that tells it from every other.

    Two studies that ask for the same training, whatever they call it and judge it by, get the same.
    """
    bare = replace(recipe, name="run", suite={})
    content = json.dumps(lasting(dump(bare)), sort_keys=True).encode()
    kind = f"{DATA.name_of(type(recipe.data))}-{METHODS.name_of(type(recipe.method))}-s{recipe.seed}"
    return replace(bare, name=f"{kind}-{hashlib.sha256(content).hexdigest()[:12]}")


def link(name: Path, folder: Path) -> None:
    """Let ``name`` stand for a run folder.

    Raises:
        TestudoError: something else is there, or it cannot be written.
    """
    target = os.path.relpath(folder, name.parent)
    try:
        name.parent.mkdir(parents=True, exist_ok=True)
        if name.is_symlink() and os.readlink(name) != target:
            name.unlink(missing_ok=True)
        name.symlink_to(target, target_is_directory=True)
    except FileExistsError:
        if not name.is_symlink():
            raise TestudoError(
                f"{name} is in the way of a link to a run; move it, or choose another folder with --out"
            ) from None
    except OSError as error:
        raise TestudoError(f"{name} cannot be linked: {one_line(error)}") from error
