"""Every file in recipes/ is a recipe that can be read, says how it is run, and survives being written out."""

from __future__ import annotations

import re
import shlex
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest

from testudo.overrides import parse_override
from testudo.parts import build, dump, to_toml
from testudo.recipe import Recipe, read
from testudo.registry import DATA

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "recipes"
FILES = sorted(FOLDER.rglob("*.toml"))
SMALL = [file for file in FILES if file.parent == FOLDER]
sets = SimpleNamespace(**run_path(str(ROOT / "tests" / "data" / "set_writers.py")))


@pytest.fixture(params=FILES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def path(request):
    return request.param


@pytest.fixture(scope="module")
def xrays(tmp_path_factory):
    """Tiny sets of X-rays, by kind: what is standardised, the age, is told by their tables alone."""
    root = tmp_path_factory.mktemp("xrays")
    return {"nih": sets.writers.nih(root / "nih"), "chexpert": sets.chexpert(root / "chexpert")}


def head(path):
    return path.read_text().split("\n\n")[0]


@cache
def names():
    """What the run of each file is called."""
    return {file: read(file).name for file in FILES}


def root_of(kind, xrays):
    return {"data.root": str(xrays[kind])} if kind in xrays else {}


def test_there_are_recipes():
    assert {"digits-standard", "digits-madry", "digits-mao", "manifest-example"} <= {file.stem for file in SMALL}
    assert {"cifar10-gat", "cityscapes-mao", "nyuv2-minmax"} <= {file.stem for file in FILES} - {f.stem for f in SMALL}


def test_written_out_it_is_the_same_recipe(path):
    recipe = read(path)
    again = build(Recipe, tomllib.loads(to_toml(recipe)))
    assert dump(again) == dump(recipe)
    assert again == recipe


def test_its_comments_say_how_to_run_it_and_what_it_follows(path):
    text, place = head(path), path.relative_to(ROOT).as_posix()
    assert all(line.startswith("#") for line in text.splitlines())
    assert f"testudo train {place if 'example' not in path.stem else path.name}" in text
    assert "# Follows: " in text
    assert len(re.findall(r"^# (?:Measured|Not measured): ", text, re.MULTILINE)) == 1
    name = read(path).name
    assert f"testudo evaluate runs/{name}" in text or any(read(file).start == f"runs/{name}" for file in FILES)
    for other in re.findall(r"[\w./-]+\.toml", text):
        assert (path.parent / other).exists() or (ROOT / other).exists(), other


def test_a_run_is_named_after_its_file_and_no_two_share_a_folder(path):
    name = names()[path]
    assert "example" in path.stem or name == ("" if path in SMALL else "paper-") + path.stem
    assert list(names().values()).count(name) == 1


def test_tasks_are_those_of_the_data_and_attacks_those_of_the_tasks(path, xrays):
    kind = DATA.name_of(type(read(path).data))
    recipe = read(path, root_of(kind, xrays))
    tasks = set(recipe.tasks)
    if kind != "manifest":  # whose tasks are in the user's file
        assert {task.name for task in recipe.chosen()} == tasks
        recipe.learnt()
    attacks = [*recipe.suite.values(), *([recipe.validation] if recipe.validation else [])]
    assert attacks or "--suite " in head(path) or "evaluate" not in head(path)
    for attack in attacks:
        assert set(attack.objective.tasks) <= tasks
    assert set(recipe.method.weights) <= tasks


def test_the_changes_that_its_comments_propose_can_be_made(path, xrays):
    kind = DATA.name_of(type(read(path).data))
    for line in re.findall(r"`(--set [^`]+)`|^#   (.*--set .*)$", head(path), re.MULTILINE):
        words = shlex.split("".join(line).removesuffix("\\"))
        given = [parse_override(text) for flag, text in pairwise(words) if flag == "--set"]
        if "testudo data " in "".join(line):
            continue  # changes another data set
        other = re.search(r"testudo train (\S+)", "".join(line))
        recipe = read(ROOT / other[1] if other else path, {**dict(given), **root_of(kind, xrays)})
        recipe.learnt()


def test_twins_make_as_many_updates_and_attacks():
    for data in ("digits", "cifar10"):
        madry, mao = (read(FOLDER / f"{data}-{name}.toml") for name in ("madry", "mao"))
        passes = [r.trainer.epochs * r.method.passes(r.chosen()) for r in (madry, mao)]
        assert passes[0] == passes[1]
        assert (madry.data, madry.model, madry.method.attack) == (mao.data, mao.model, mao.method.attack)


@pytest.mark.parametrize("data", ["digits", "cifar10-small"])
def test_what_is_trained_against_attacks_differs_in_method_alone_and_sees_as_many_images(data):
    twin = read(FOLDER / f"{data}-madry.toml")
    for recipe in (read(file) for file in FOLDER.glob(f"{data}-*.toml")):
        assert (recipe.data, recipe.model, recipe.trainer.optimiser) == (twin.data, twin.model, twin.trainer.optimiser)
        if recipe.validation is not None:
            method, trainer = recipe.method, recipe.trainer
            assert trainer.batch_size * method.images == twin.trainer.batch_size
            assert trainer.epochs * method.images * method.steps_of(recipe.chosen()) == twin.trainer.epochs


def test_the_table_lists_every_recipe_and_says_whether_it_was_measured():
    text = (FOLDER / "README.md").read_text()
    rows = dict(re.findall(r"^\| \[[^\]]+\]\(([^)]+)\) \|.*\| (yes|no) \|$", text, re.MULTILINE))
    measured = {f.relative_to(FOLDER).as_posix(): "yes" if "\n# Measured: " in head(f) else "no" for f in FILES}
    assert rows == measured
