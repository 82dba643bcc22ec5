"""Where the runs of studies lie: each trained once, whichever studies ask for it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

from testudo.data.dataset import DataSet
from testudo.data.extended import Extended
from testudo.errors import TestudoError, one_line
from testudo.facts import lasting
from testudo.parts import dump
from testudo.recipe import Recipe
from testudo.registry import DATA, METHODS

FIRST = "the run before"  # where a recipe of a study wants weights or answers of another run; see Variant.first


def after(recipe: Recipe, first: Recipe) -> Recipe:
    """``recipe`` with the name of another run, as :func:`trained` gives it, where it says :data:`FIRST`.

    Raises:
        TestudoError: it says so nowhere.
    """
    name = trained(first).name
    made = put(recipe, FIRST, start=name, labels=name)
    if made == recipe:
        raise TestudoError(f"the recipe of {recipe.name} makes no use of the run that comes first")
    return made


def put(recipe: Recipe, word: str, start: str, labels: str) -> Recipe:
    """``recipe`` with its start and the labels of its extended data in place of ``word``, where they are that."""
    if recipe.start == word:
        recipe = replace(recipe, start=start)
    if isinstance(recipe.data, Extended) and recipe.data.labels == word:
        recipe = replace(recipe, data=replace(recipe.data, labels=labels))
    return recipe


def unlabelled(data: DataSet) -> DataSet:
    """``data`` without the labels that another run will give: of as many images, to be counted before they are."""
    return replace(data, labels="") if isinstance(data, Extended) else data


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
