"""A whole diagnosis: on every kind of task, deterministic, leaving no trace, and every mistake in one line."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
import torch
from evaluation.diagnosis import fakes
from evaluation.diagnosis.conftest import QUICK
from helpers import TASKS, assert_unchanged, batch, network, snapshot
from PIL import Image
from rich.console import Console
from torch import nn

import testudo as td
from testudo.errors import TestudoError
from testudo.evaluation.diagnosis.diagnose import CHECKS, Examination, diagnose
from testudo.evaluation.diagnosis.picture import picture
from testudo.evaluation.diagnosis.substitute import substitute

TINY = replace(QUICK, longer=10, queries=20, draws=4, unbounded=5)
NAMES = [check.name for check in CHECKS]


class Maps(nn.Module):
    """One convolution, read as classes, metres and normals."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x):
        out = self.conv(x)
        return out[:, :4], out[:, 4:5], out[:, 5:]


@pytest.fixture(scope="module")
def several():
    """A model with a classification, a regression and several labels, and 24 examples of it."""
    return td.wrap(network(), TASKS, mean=[0.4, 0.5], std=[0.3, 0.2]), batch(24)


def test_every_task_gets_every_check_and_says_which_make_no_sense(several):
    model, data = several
    found = diagnose(model, data, td.L2(0.3), ("digit", "angle", "signs"), how=Examination(24, TINY))
    assert [(f.task, f.check) for f in found.findings] == [(t, c) for t in ("digit", "angle", "signs") for c in NAMES]
    skipped = {(f.task, f.check) for f in found.findings if f.verdict == "skipped"}
    assert skipped == {
        *((t, "transfer") for t in ("digit", "angle", "signs")),
        *((t, "autoattack gap") for t in ("angle", "signs")),
    }
    assert all(f.said and f.source for f in found.findings)
    for finding in found.findings:  # one example without a label among 24, for digits and angles
        if finding.check == "one step":
            assert finding.numbers["n"] == (23 if finding.task == "digit" else 24)


def test_dense_tasks():
    torch.manual_seed(0)
    tasks = [td.segmentation("rooms", classes=4), td.depth("depth"), td.normals("normal")]
    model, images = td.wrap(Maps(), tasks), torch.rand(12, 3, 6, 6)
    with torch.no_grad():  # labels that the model is nearly right about
        labels = {name: model.tasks[name].as_label(out) for name, out in model(images).items()}
    labels["depth"] = labels["depth"].abs() + 0.1
    found = diagnose(model, td.Batch(images, labels), td.Linf(0.05), list(labels), how=Examination(12, TINY))
    assert {f.verdict for f in found.findings if f.check in ("randomness", "neighbours")} == {"pass"}
    assert found.of("one step", "rooms").numbers["pgd"] <= found.of("above clean", "rooms").numbers["clean"]
    assert Image.open(io.BytesIO(picture(found))).size[1] > 900  # three rows


def test_the_same_again_whatever_the_global_state_and_no_trace_is_left(several):
    model, data = several
    model.train()
    before = snapshot(model)
    told = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        told.append(diagnose(model, data, td.Linf(0.05), how=Examination(24, TINY)).json())
        assert torch.equal(torch.get_rng_state(), state)
    assert told[0] == told[1]
    assert_unchanged(model, before)
    model.eval()


def test_a_random_model_gives_the_same_diagnosis_twice_too(plain):
    model = td.wrap(fakes.Noisy(plain), [fakes.DIGIT])
    told = [diagnose(model, fakes.digits("test"), td.Linf(0.1), how=Examination(16, TINY)).json() for _ in range(2)]
    assert told[0] == told[1]


def test_a_model_that_comes_in_training_mode_is_warned_of_where_that_mixes_examples():
    model = td.wrap(network(tasks=TASKS[:1]), TASKS[:1])
    how = Examination(24, TINY, checks=tuple(check for check in CHECKS if check.name == "neighbours"))
    assert diagnose(model, batch(24), td.Linf(0.05), how=how).verdict == "pass"  # the wrapper is, its batch norm is not
    found = diagnose(model.train(), batch(24), td.Linf(0.05), how=how)
    assert found.verdict == "warn"
    assert "training mode" in found.findings[0].said


def test_what_it_is_printed_as(plain):
    model, shares = td.wrap(plain, [fakes.DIGIT]), []
    found = diagnose(
        model, fakes.digits("test"), td.Linf(0.1), how=Examination(16, TINY), watch=lambda *w: shares.append(w)
    )
    console = Console(file=io.StringIO(), width=120)
    console.print(found.rich())
    shown = console.file.getvalue()
    assert all(name in shown and f"| {name} |" in found.markdown() for name in NAMES)
    told = json.loads(found.json())
    assert told["verdict"] == found.verdict
    assert len(told["views"][0]["surface"]) == len(told["views"][0]["surface"][0])
    assert told["views"][0]["radii"][0] == [0, told["findings"][-1]["numbers"]["clean"]]
    assert Image.open(io.BytesIO(picture(found))).format == "PNG"
    assert [share for share, _ in shares] == sorted(share for share, _ in shares)
    assert shares[-1][0] == 1


def test_a_model_that_is_never_right_has_nothing_to_lose():
    class Wrong(nn.Module):
        def forward(self, x):
            return torch.eye(10)[torch.zeros(len(x), dtype=torch.long)] + 0 * x.sum((1, 2, 3))[:, None]

    data = td.Batch(torch.rand(12, 1, 8, 8), {"digit": torch.ones(12, dtype=torch.long)})
    found = diagnose(td.wrap(Wrong(), [fakes.DIGIT]), data, td.Linf(0.1), how=Examination(12, TINY))
    assert {found.of(name).verdict for name in ("gradients", "surface")} == {"skipped"}
    assert picture(found)


def test_a_substitute_learns_what_a_model_says(plain):
    model = td.wrap(plain, [fakes.DIGIT])
    data = fakes.digits("val").batch(range(150))
    twin = substitute(model, fakes.digits("train").batch(range(600)).images, ["digit"])
    said, learnt = (each(data.images)["digit"].argmax(1) for each in (model, twin))
    assert (said == learnt).float().mean() > 0.8
    again = substitute(model, fakes.digits("train").batch(range(600)).images, ["digit"])
    assert torch.equal(twin(data.images)["digit"], again(data.images)["digit"])


def twin(module, name, classes):
    """A twin, as an argument."""
    return {"twin": td.wrap(module, [td.classification(name, classes=classes)])}


MISTAKES = {
    "unknown task 'digits'; did you mean 'digit'?": {"tasks": "digits"},
    "eps must be above 0, got 0": {"threat": td.Linf(0.0)},
    "one eps per attack": {"threat": td.Linf(torch.tensor([0.1, 0.2]))},
    "the twin does none of the tasks digit (it does: sign)": twin(nn.Flatten(), "sign", 40),
    "the twin's task 'digit' is another": twin(nn.Flatten(), "digit", 40),
    "the twin cannot take these images": twin(nn.Linear(3, 3), "digit", 3),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes(several, capsys, message):
    model, data = several
    with pytest.raises(TestudoError) as error:
        diagnose(model, data, **{"how": Examination(8, TINY), **MISTAKES[message]})
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert capsys.readouterr().err == ""


def test_mistakes_about_data(several):
    model, data = several
    with pytest.raises(TestudoError, match="the batch has no labels for it"):
        diagnose(model, td.Batch(data.images, {"angle": data.targets["angle"]}))
    nothing = torch.full_like(data.targets["digit"], -1)
    with pytest.raises(TestudoError, match="none of the 24 examples has a label for task 'digit'"):
        diagnose(model, td.Batch(data.images, {"digit": nothing}))
    with pytest.raises(TestudoError, match="examples and batch_size must be at least 1, got 0 and 128"):
        Examination(examples=0)
    with pytest.raises(TestudoError, match="a substitute is for tasks that are not dense, got none"):
        substitute(model, data.images, [])
    with pytest.raises(TestudoError, match="a substitute needs images to learn from"):
        substitute(model, data.images[:0], ["digit"])
