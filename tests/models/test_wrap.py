"""A user's module as a model: every form of output, and every wrong one in one line."""

from collections import OrderedDict, namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from testudo.errors import TestudoError
from testudo.models.wrap import wrap
from testudo.tasks.classification import Classification
from testudo.tasks.regression import Regression

A, B = Classification("a", classes=3), Classification("b", classes=2)
AGE = Regression("age")


class Giving(nn.Module):
    """Returns whatever ``form`` makes of two predictions."""

    def __init__(self, form: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.first, self.second, self.form = nn.Linear(12, 3), nn.Linear(12, 2), form

    def forward(self, images: Tensor) -> Any:
        flat = images.flatten(1)
        return self.form(self.first(flat), self.second(flat))


class HubOutput(OrderedDict):
    """Like a hub model's output: a mapping whose entries are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


Pair = namedtuple("Pair", ["logits", "aux_logits"])
IMAGES = torch.rand(4, 3, 2, 2)


@pytest.mark.parametrize(
    "form",
    [
        lambda a, b: (a, b),
        lambda a, b: [a, b],
        lambda a, b: {"b": b, "a": a},
        lambda a, b: {"a": a, "b": b, "loss": None},
        lambda a, b: HubOutput(a=a, b=b),
        lambda a, b: SimpleNamespace(logits=(a, b)),
        lambda a, b: SimpleNamespace(logits={"a": a, "b": b}),
        lambda a, b: HubOutput(logits=[a, b], a="not this one", hidden=None),
    ],
)
def test_two_tasks(form) -> None:
    module = Giving(form)
    model = wrap(module, [A, B])
    outputs = model(IMAGES)
    assert torch.equal(outputs["a"], module.first(IMAGES.flatten(1)))
    assert torch.equal(outputs["b"], module.second(IMAGES.flatten(1)))
    assert list(model(IMAGES, ["b"])) == ["b"]


@pytest.mark.parametrize(
    "form",
    [
        lambda a, b: a,
        lambda a, b: (a,),
        lambda a, b: {"a": a},
        lambda a, b: SimpleNamespace(logits=a),
        lambda a, b: HubOutput(loss=b, logits=a),
        lambda a, b: Pair(a, b),
        lambda a, b: a.bfloat16(),
    ],
)
def test_one_task(form) -> None:
    output = wrap(Giving(form), [A])(IMAGES)["a"]
    assert output.shape == (4, 3)
    assert output.dtype == torch.float32


def test_one_number_per_image_may_come_without_its_dimension() -> None:
    assert wrap(Giving(lambda a, b: a[:, 0]), [AGE])(IMAGES)["age"].shape == (4, 1)


def test_normalisation() -> None:
    module = Giving(lambda a, b: a)
    model = wrap(module, [A], mean=[0.1, 0.2, 0.3], std=[1.0, 2.0, 4.0])
    scaled = (IMAGES - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([1.0, 2.0, 4.0])[:, None, None]
    torch.testing.assert_close(model(IMAGES)["a"], module(scaled))


def test_the_module_is_held_as_it_is() -> None:
    module = Giving(lambda a, b: a).eval()
    module.first.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    model = wrap(module, [A])
    model(IMAGES)
    assert model.module is module
    assert not module.training
    assert [p.requires_grad for p in module.first.parameters()] == [False, True]
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("form", "tasks", "words"),
    [
        (lambda a, b: a, [A, B], r"returned 1 output\(s\) for 2 task\(s\): a, b"),
        (lambda a, b: (a, b, b), [A, B], r"returned 3 output\(s\) for 2 task\(s\): a, b"),
        (lambda a, b: (a, b), [A], r"returned 2 output\(s\) for 1 task\(s\): a"),
        (lambda a, b: (), [A], r"returned 0 output\(s\) for 1 task\(s\): a"),
        (lambda a, b: {"a": a, "c": b}, [A, B], r"lack task 'b' \(it returned: a, c\)"),
        (lambda a, b: {}, [A], r"lack task 'a' \(it returned: none\)"),
        (lambda a, b: b, [A], r"task 'a': .* return \(4, 3\), got \(4, 2\)"),
        (lambda a, b: a[:2], [A], r"task 'a': .* return \(4, 3\), got \(2, 3\)"),
        (lambda a, b: a[:, :, None, None], [A], r"return \(4, 3\), got \(4, 3, 1, 1\)"),
        (lambda a, b: a.sum(), [A], r"return \(4, 3\), got \(\)"),
        (lambda a, b: a.argmax(1), [A], r"a tensor of floats, got torch.int64"),
        (lambda a, b: None, [A], r"a tensor of floats, got NoneType"),
        (lambda a, b: "words", [A], r"a tensor of floats, got str"),
        (lambda a, b: SimpleNamespace(logits=None), [A], r"a tensor of floats, got SimpleNamespace"),
    ],
)
def test_wrong_outputs_are_one_line(form, tasks, words: str) -> None:
    with pytest.raises(TestudoError, match=words) as caught:
        wrap(Giving(form), tasks)(IMAGES)
    assert "\n" not in str(caught.value)


def test_wrong_calls_are_one_line() -> None:
    module = Giving(lambda a, b: (a, b))
    with pytest.raises(TestudoError, match="mean and std go together"):
        wrap(module, [A, B], mean=[0.5] * 3)
    with pytest.raises(TestudoError, match="different names"):
        wrap(module, [A, A])
    with pytest.raises(TestudoError, match="unknown task 'c'"):
        wrap(module, [A, B])(IMAGES, ["c"])
    with pytest.raises(TestudoError, match=r"shape \(N, 1, H, W\), got \(4, 3, 2, 2\)"):
        wrap(module, [A, B], mean=[0.5], std=[1.0])(IMAGES)
