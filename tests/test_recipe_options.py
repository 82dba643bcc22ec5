"""Options of a recipe change fields of the data's tasks; a wrong one is one line."""

from __future__ import annotations

import tomllib

import pytest

from testudo.data.digits import Digits
from testudo.errors import TestudoError
from testudo.models.resnet import PreActResNet18
from testudo.parts import build, to_toml
from testudo.recipe import Recipe, read
from testudo.training.methods.mao import Mao

TEXT = """
name = "x"
data = { kind = "digits", size = 8 }
model = { kind = "preact_resnet18", width = 4 }
method = { kind = "standard" }
tasks = ["digit", "parity"]
"""
OPTIONS = '\n[options.digit]\nloss_kind = "binary"\n'


def test_options_change_fields_of_the_datas_tasks(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(TEXT + OPTIONS)
    made = read(path)
    digit, parity = made.chosen()
    assert (digit.loss_kind, digit.classes, digit.name) == ("binary", 10, "digit")
    assert parity == {task.name: task for task in made.data.tasks()}["parity"]
    assert build(Recipe, tomllib.loads(to_toml(made))) == made


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"digits": {}}, "unknown task .* 'digits'; did you mean 'digit'"),
        ({"digit": {"loss_knd": "binary"}}, r"options.digit.classification.loss_knd: unknown field; did you mean"),
        ({"digit": {"classes": "x"}}, r"options.digit.classification.classes: must be a whole number, got 'x'"),
        ({"digit": {"kind": "regression"}}, "options.digit: a task's kind is the data's to say"),
        ({"digit": {"name": "other"}}, "options.digit: a task's name is the data's to say"),
    ],
)
def test_a_wrong_option_is_one_line(options, message):
    made = Recipe("x", Digits(), PreActResNet18(width=2), Mao(), options=options)
    with pytest.raises(TestudoError, match=message) as caught:
        made.chosen()
    assert "\n" not in str(caught.value)
