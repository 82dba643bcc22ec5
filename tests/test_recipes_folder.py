"""Every file in recipes/ is a recipe that can be read, says how it is run, and survives being written out."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from testudo.data.place import DATA_ENV, DATA_HOME
from testudo.recipe import Recipe, build, dump, read, to_toml
from testudo.registry import DATA

FILES = sorted((Path(__file__).resolve().parents[1] / "recipes").glob("*.toml"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_there_are_recipes():
    assert {"digits-standard", "digits-madry", "digits-mao", "manifest-example"} <= {file.stem for file in FILES}


def test_written_out_it_is_the_same_recipe(path):
    recipe = read(path)
    again = build(Recipe, tomllib.loads(to_toml(recipe)))
    assert dump(again) == dump(recipe)
    assert again == recipe


def test_its_comments_say_how_to_run_it_and_what_it_follows(path):
    head = path.read_text().split("\n\n")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert f"testudo train {'recipes/' if 'example' not in path.stem else ''}{path.name}" in head
    assert "# Follows: " in head
    assert re.search(r"^# (Measured|Not measured): ", head, re.MULTILINE)
    assert f"testudo evaluate runs/{read(path).name}" in head
    for other in re.findall(r"[a-z0-9-]+\.toml", head):
        assert (path.parent / other).exists(), other


def test_tasks_are_those_of_the_data_and_attacks_those_of_the_tasks(path):
    recipe = read(path)
    names = set(recipe.tasks)
    data = DATA.name_of(type(recipe.data))
    if data == "nih" and not (Path(os.environ.get(DATA_ENV) or DATA_HOME) / "nih_cxr14_64").is_dir():
        pytest.skip("no nih_cxr14_64 in TESTUDO_DATA or ../shared/data, and what is standardised is in its table")
    if data != "manifest":  # whose tasks are in the user's file
        assert {task.name for task in recipe.chosen()} == names
    attacks = [*recipe.suite.values(), *([recipe.validation] if recipe.validation else [])]
    assert attacks
    for attack in attacks:
        assert set(attack.objective.tasks) <= names
    assert set(recipe.method.weights) <= names


def test_twins_make_as_many_updates_and_attacks():
    for data in ("digits", "cifar10"):
        madry, mao = (read(FILES[0].parent / f"{data}-{name}.toml") for name in ("madry", "mao"))
        passes = [r.trainer.epochs * r.method.passes(r.chosen()) for r in (madry, mao)]
        assert passes[0] == passes[1]
        assert (madry.data, madry.model, madry.method.attack) == (mao.data, mao.model, mao.method.attack)
