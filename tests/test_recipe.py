"""Recipes: read, checked, overridden, written; a mistake of any kind is one line."""

from __future__ import annotations

import random
import tomllib

import pytest
import tiny
import torch

from testudo.attacks.base import Attack
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import L2, Linf
from testudo.balance.fixed import Fixed
from testudo.data.dataset import DataSet
from testudo.data.derived import Relabel
from testudo.data.digits import Digits
from testudo.data.manifest import Manifest
from testudo.errors import TestudoError
from testudo.models.encoder import Encoder
from testudo.overrides import override, parse_override
from testudo.parts import REGISTRIES, build, dump, to_toml
from testudo.recipe import Recipe, read
from testudo.registry import DATA, METHODS, TASKS
from testudo.tasks.task import Task
from testudo.training.methods.mao import Mao
from testudo.training.optimiser import Schedule
from testudo.training.trainer import Trainer

NEEDED = {"threats": {"eps": 0.1}, "tasks": {"name": "digit"}, "derived": {"name": "new"}}
OF_DATA = {
    "cifar10": {"root": "somewhere"},
    "cifar100": {"root": "somewhere"},
    "manifest": {"file": "somewhere"},
    "array": {"file": "somewhere.npz"},
    "fraction": {"data": {"kind": "digits"}},
    "extended": {"data": {"kind": "digits"}, "extra": {"kind": "manifest", "file": "somewhere"}},
}
TEXT = """
name = "x"
tasks = ["digit", "parity"]
[data]
kind = "digits"
size = 8
[model]
kind = "preact_resnet18"
width = 4
[method]
kind = "madry"
[method.weights]
parity = 0.5
[method.attack]
kind = "pgd"
steps = 3
[method.attack.threat]
kind = "linf"
eps = "8/255"
[trainer]
epochs = 2
[trainer.schedule]
shape = "multistep"
milestones = ["1/2", 0.75]
[suite.fgsm]
kind = "fgsm"
"""


def parts():
    for base, registry in REGISTRIES.items():
        for name in registry.names():
            yield pytest.param(base, registry, name, id=f"{registry.kind}-{name}")


@pytest.mark.parametrize(("base", "registry", "name"), list(parts()))
def test_every_registered_part_survives_dump_and_build(base, registry, name):
    needed = dict(NEEDED.get(registry.plural, {}))
    if name == "relabel":
        needed |= {"source": "digit", "groups": [[0], [1, 2]], "labels": ["a", "b"]}
    if registry is TASKS and name == "multilabel":
        needed["labels"] = ["a", "b"]
    if registry is DATA:
        needed |= OF_DATA.get(name, {})
    made = build(base, {"kind": name, **needed})
    assert build(base, dump(made)) == made
    assert build(base, tomllib.loads(to_toml(made))) == made
    assert dump(made)["kind"] == name


def rich():
    """A recipe that uses every kind of value: tuples of tuples, tables of parts, None, fractions, odd keys."""
    derived = Relabel("half", "digit", ((0, 1, 2), (3, 4)), ("low", "high"))
    attack = PGD(L2(0.5), Objective(("digit", "half"), Fixed({"digit": 1.0, "half": 0.1})), step=0.1, restarts=2)
    return Recipe(
        name="ein Name",
        data=Digits(size=9, derived=(derived,)),
        model=build(Encoder, {"kind": "resnet18", "width": 3}),
        method=Mao(weights={"digit": 1.0}, combinations=(("digit",), ("digit", "parity"))),
        trainer=Trainer(epochs=1, schedule=Schedule("multistep", milestones=(0.25, 0.5))),
        suite={"pgd 2/255, 'quoted' \"twice\" ü.": attack, "": PGD(step=None)},
        seed=2**62,
    )


def test_a_recipe_with_every_kind_of_value_survives_toml(tmp_path):
    path = tmp_path / "rich.toml"
    path.write_text(to_toml(rich()), encoding="utf-8")
    assert read(path) == rich()
    assert "validation" not in dump(rich())  # a field that is None is left out


def test_text_and_overrides(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(TEXT)
    made = read(path, {"trainer.epochs": 7, "trainer.optimiser.lr": 1, "suite.more": {"kind": "mim"}})
    assert made.method.attack.threat.eps == 8 / 255
    assert made.trainer.schedule.milestones == (0.5, 0.75)
    assert (made.trainer.epochs, made.trainer.optimiser.lr) == (7, 1.0)
    assert isinstance(made.trainer.optimiser.lr, float)
    assert list(made.suite) == ["fgsm", "more"]
    assert read(path, {"method.attack.threat.eps": "2/255"}).method.attack.threat.eps == 2 / 255


WRONG = [
    ({"trainer.epoch": 2}, "trainer.epoch: unknown field; did you mean 'epochs'?"),
    ({"trainer.epochs": "2"}, "trainer.epochs: must be a whole number, got '2'"),
    ({"trainer.epochs": True}, "trainer.epochs: must be a whole number, got True"),
    ({"trainer.epochs": 1.5}, "trainer.epochs: must be a whole number, got 1.5"),
    ({"trainer.epochs": 0}, "trainer: epochs must be at least 1, got 0"),
    ({"trainer.workers": -1}, "trainer: workers must be at least 0"),
    ({"trainer.precision": "fp16"}, "trainer.precision: must be 'auto', 'float32' or 'bf16'"),
    ({"trainer.optimiser": 5}, "trainer.optimiser: must be a table, got 5"),
    ({"trainer.optimiser.lr": True}, "trainer.optimiser.lr: must be a number, got True"),
    ({"trainer.optimiser.lr": "1/0"}, "trainer.optimiser.lr: must be a number, got '1/0'"),
    ({"trainer.optimiser.lr": -1}, "trainer.optimiser: an optimiser needs lr > 0"),
    ({"trainer.optimiser.lr": float("nan")}, "trainer.optimiser: an optimiser needs lr > 0"),
    ({"trainer.optimiser": {"nesterov": True, "momentum": 0}}, "trainer.optimiser: nesterov needs a momentum above 0"),
    ({"trainer.schedule.factor": -0.1}, "trainer.schedule: milestones must be shares"),
    ({"method.attack.threat.eps": -0.1}, "method.madry.attack.pgd.threat.linf: eps must be at least 0"),
    ({"method.attack.threat.kind": "l3"}, "method.madry.attack.pgd.threat.kind: unknown threat 'l3'; did you mean"),
    ({"method.kind": "mdary"}, "method.kind: unknown method 'mdary'; did you mean 'madry'?"),
    ({"method.kind": 3}, f"method.kind: names the method; got 3 (allowed: {', '.join(METHODS.names())})"),
    ({"method": {}}, "method.kind: names the method; got None"),
    ({"method.weights": {"parity": "x"}}, "method.madry.weights: must be a number, got 'x'"),
    ({"method.attack.steps": 0}, "method.madry.attack.pgd: steps and restarts must be at least 1"),
    ({"suite": 5}, "suite: must be a table of tables, got 5"),
    ({"suite": {"clean": {"kind": "fgsm"}}}, "no attack of the suite may be called 'clean'"),
    ({"data.derived": 5}, "data.digits.derived: must be a list of tables, got 5"),
    ({"data.derived": [{"name": "x"}]}, "data.digits.derived[0].kind: names the derived label; got None"),
    ({"data.derived": [{"kind": "relabel", "name": "x"}]}, "data.digits.derived[0].relabel.source: is missing"),
    (
        {"data.derived": [{"kind": "canny", "name": "x", "low": 1}]},
        "data.digits.derived[0].canny: derived task 'x': sigma",
    ),
    ({"data.size": 2}, "data.digits: digits: size must be at least 8 pixels"),
    ({"tasks": "digit"}, "tasks: must be a list, got 'digit'"),
    ({"tasks": ["digit", 3]}, "tasks[1]: must be a string, got 3"),
    ({"name": ""}, "name must be a plain folder name"),
    ({"name": "a/b"}, "name must be a plain folder name"),
    ({"name": "a\x00b"}, "name must be a plain folder name"),
    ({"seed": -1}, "seed must be at least 0"),
    ({"seed": 2**63}, "seed must be at least 0"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_mistake_is_told_with_its_file_path_and_remedy(tmp_path, changes, message):
    path = tmp_path / "x.toml"
    path.write_text(TEXT)
    with pytest.raises(TestudoError) as caught:
        read(path, changes)
    assert str(caught.value).startswith(f"{path}: {message}"), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name = ", "not valid TOML"),
        (b"a = " + b"[" * 5000, "not valid TOML"),
        (b"\xff\xfe", "cannot be read"),
        (b"", "name: is missing"),
        (b"[[name]]\n[data]", "model: is missing"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path, content, message):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(TestudoError, match=r"^[^\n]*$") as caught:
        read(path)
    assert message in str(caught.value)


def test_a_missing_recipe_and_a_task_that_the_data_lacks(tmp_path):
    with pytest.raises(TestudoError, match="no recipe at"):
        read(tmp_path / "none.toml")
    made = Recipe("x", Digits(size=8), rich().model, rich().method, ("digit", "parities"))
    with pytest.raises(TestudoError, match="did you mean 'parity'"):
        made.chosen()


@pytest.mark.parametrize("text", ["", "=5", "a", " =1"])
def test_an_override_needs_a_path_and_a_value(text):
    with pytest.raises(TestudoError, match="path=value"):
        parse_override(text)


@pytest.mark.parametrize("dotted", ["a..b", ".a", "a."])
def test_an_override_needs_whole_names(dotted):
    with pytest.raises(TestudoError, match="names with a dot between"):
        override({}, dotted, 1)


def test_overrides_are_toml_values_or_words():
    assert parse_override('a="x"') == ("a", "x")
    assert parse_override("a=[1, 2]") == ("a", [1, 2])
    assert parse_override("a=1=2") == ("a", "1=2")
    with pytest.raises(TestudoError, match=r"cannot set a\.b: a is no table"):
        override({"a": 1}, "a.b", 2)


VALUES = (0, -1, 10**30, 1.5, float("nan"), float("inf"), "", "x", "8/255", "1/0", True, [], [1], [[1]], ["a"], {})


def _places(values, path=()):
    for key, value in values.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from _places(value, (*path, key))


def _mutated(draw, values):
    """A copy of nested tables with one to three values replaced, removed or renamed."""
    values = tomllib.loads(to_toml(build(Recipe, values))) if draw.random() < 0.5 else tomllib.loads(TEXT)
    for _ in range(draw.randint(1, 3)):
        *parents, last = draw.choice(list(_places(values)))
        inner = values
        for name in parents:
            inner = inner[name] if isinstance(inner, dict) and name in inner else {}
        if not isinstance(inner, dict):
            continue
        kept, act = inner.pop(last, None), draw.random()
        if act < 0.7:
            inner[last] = draw.choice(VALUES)
        elif act < 0.85:
            inner[f"{last}x"] = kept
    return values


def test_mutated_values_are_a_recipe_or_one_line():
    draw, refused, told = random.Random(1), 0, []
    for _ in range(300):
        values = _mutated(draw, tomllib.loads(TEXT))
        try:
            made = build(Recipe, values, "file")
            assert build(Recipe, tomllib.loads(to_toml(made))) == made or "nan" in to_toml(made)
        except TestudoError as error:
            refused += 1
            told.append(str(error))
    assert 100 < refused < 300
    assert not any("\n" in line for line in told)


def test_mutated_text_is_a_recipe_or_one_line(tmp_path):
    draw, path, outcomes = random.Random(2), tmp_path / "x.toml", set()
    told = []
    for _ in range(300):
        text = bytearray(TEXT.encode())
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(text))
            text[place : place + draw.randint(0, 3)] = bytes(draw.randrange(256) for _ in range(draw.randint(0, 3)))
        path.write_bytes(text)
        try:
            outcomes.add(type(read(path)))
        except TestudoError as error:
            outcomes.add(TestudoError)
            told.append(str(error))
    assert outcomes == {Recipe, TestudoError}
    assert not any("\n" in line for line in told)


def test_parts_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(TestudoError, match="unknown data set 'pgd'"):
        build(DataSet, {"kind": "pgd"})
    with pytest.raises(TestudoError, match="must be a table"):
        build(Attack, [1])
    with pytest.raises(TestudoError, match="name: is missing"):
        build(Task, {"kind": "classification"})
    file = tiny.images(tmp_path / "images", 12)
    assert build(DataSet, {"kind": "manifest", "file": file}) == Manifest(file)
    assert build(Attack, {"kind": "pgd", "threat": {"kind": "linf", "eps": 0}}).threat == Linf(0.0)


@pytest.mark.parametrize("threat", [Linf(torch.tensor([0.1, 0.2])), Linf(0.1, mask=torch.ones(2, 2, dtype=torch.bool))])
def test_tensors_are_for_python_alone(threat):
    with pytest.raises(TestudoError, match="is for Python alone"):
        dump(PGD(threat))
    assert dump(Linf(torch.tensor(0.25))) == {"kind": "linf", "eps": 0.25}
