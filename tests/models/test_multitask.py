"""The multi-task model: its seam, its heads, what it refuses."""

import pytest
import torch
from torch import nn

from testudo.errors import TestudoError
from testudo.models.heads import LinearHead
from testudo.models.multitask import MultiTaskModel
from testudo.models.normalise import Normalise
from testudo.models.resnet import ResNet18
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.regression import Regression

DIGIT = Classification("digit", classes=10)
PARITY = Classification("parity", classes=2)
AGE = Regression("age", outputs=1)
FINDING = MultiLabel("finding", labels=("a", "b", "c"))


def model(*tasks, seed: int = 0, channels: int = 3) -> MultiTaskModel:
    encoder = ResNet18(width=4).build(channels)
    return MultiTaskModel(encoder, tasks or (DIGIT, PARITY), [0.5] * channels, [0.25] * channels, seed).eval()


def test_every_kind_of_task_gets_its_channels() -> None:
    outputs = model(DIGIT, AGE, FINDING)(torch.rand(3, 3, 8, 8))
    assert {name: tuple(out.shape) for name, out in outputs.items()} == {
        "digit": (3, 10),
        "age": (3, 1),
        "finding": (3, 3),
    }


def test_chosen_tasks_are_the_same_outputs() -> None:
    net, images = model(), torch.rand(2, 3, 8, 8)
    every, one = net(images), net(images, ["parity"])
    assert list(one) == ["parity"]
    assert torch.equal(one["parity"], every["parity"])
    assert net(images, []) == {}


def test_normalisation_is_inside() -> None:
    net, images = model(), torch.rand(2, 3, 8, 8)
    by_hand = net.encoder((images - 0.5) / 0.25)
    torch.testing.assert_close(net.features(images), by_hand)
    assert {name for name, _ in net.named_buffers() if name.startswith("normalise")} == {
        "normalise.mean",
        "normalise.std",
    }


def test_dropping_and_adding_heads_leaves_the_others_bit_identical() -> None:
    net, images = model(), torch.rand(2, 3, 8, 8)
    before = net(images)["digit"]
    net.drop_head("parity")
    assert list(net.tasks) == ["digit"]
    assert torch.equal(net(images)["digit"], before)
    net.add_head(AGE)
    net.add_head(FINDING, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 3)))
    assert torch.equal(net(images)["digit"], before)
    assert net(images)["finding"].shape == (2, 3)


def test_a_head_starts_the_same_whatever_its_neighbours() -> None:
    alone, together, other = model(DIGIT), model(PARITY, DIGIT), model(DIGIT, seed=1)
    key = "heads.task_digit.linear.weight"
    assert torch.equal(alone.state_dict()[key], together.state_dict()[key])
    assert not torch.equal(alone.state_dict()[key], other.state_dict()[key])


def test_building_draws_no_global_numbers() -> None:
    state = torch.get_rng_state()
    model()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["items", "type", "training", "forward", "half", "weight", "digit_"])
def test_any_identifier_names_a_task(name: str) -> None:
    net = model(Classification(name, classes=2))
    assert list(net(torch.rand(1, 3, 8, 8))) == [name]


def test_heads_stay_in_float32_under_autocast_and_after_a_half_precision_encoder() -> None:
    net, images = model(DIGIT), torch.rand(2, 3, 8, 8)
    exact = net(images)["digit"]
    with torch.autocast("cpu", torch.bfloat16):
        features = net.features(images)
        mixed = net(images)["digit"]
    assert features.dtype == torch.bfloat16
    assert mixed.dtype == torch.float32
    by_hand = nn.functional.linear(features.float().mean((2, 3)), *net.heads["task_digit"].linear.parameters())
    torch.testing.assert_close(mixed, by_hand)
    assert not torch.equal(mixed, exact)
    assert LinearHead(4, 2).bfloat16()(torch.zeros(1, 4, 2, 2)).dtype == torch.float32


def test_float64_throughout() -> None:
    net = model(DIGIT).double()
    assert net(torch.rand(1, 3, 8, 8, dtype=torch.float64))["digit"].dtype == torch.float64
    assert net(torch.rand(1, 3, 8, 8))["digit"].dtype == torch.float64
    net.add_head(AGE)
    assert net(torch.rand(1, 3, 8, 8))["age"].dtype == torch.float64


def test_empty_batch() -> None:
    assert model()(torch.rand(0, 3, 8, 8))["digit"].shape == (0, 10)


def test_a_training_step_moves_encoder_and_head_and_only_the_asked_for_head() -> None:
    net = model().train()
    net(torch.rand(4, 3, 8, 8), ["digit"])["digit"].square().sum().backward()
    heads = net.heads
    assert all(p.grad is not None for p in net.encoder.parameters())
    assert all(p.grad is not None for p in heads["task_digit"].parameters())
    assert all(p.grad is None for p in heads["task_parity"].parameters())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: model()(torch.rand(1, 3, 8, 8), ["digits"]), "unknown task 'digits'; did you mean 'digit'?"),
        (lambda: model().drop_head("digt"), "unknown task 'digt'; did you mean 'digit'?"),
        (lambda: model().add_head(DIGIT), "has a task 'digit' already"),
        (lambda: model(DIGIT, DIGIT), "tasks of different names, got digit, digit"),
        (lambda: MultiTaskModel(ResNet18(width=4).build(3), [], [0] * 3, [1] * 3), "different names, got none"),
        (lambda: model()(torch.rand(2, 1, 8, 8)), r"shape \(N, 3, H, W\), got \(2, 1, 8, 8\)"),
        (lambda: model()(torch.rand(3, 8, 8)), r"shape \(N, 3, H, W\), got \(3, 8, 8\)"),
        (lambda: MultiTaskModel(ResNet18(width=4).build(1), [DIGIT], [0] * 3, [1] * 3), "encoder takes 1 channels"),
        (lambda: Normalise([0.5], [0.5, 0.5]), "one number per channel, got 1 and 2"),
        (lambda: Normalise([], []), "one number per channel, got 0 and 0"),
        (lambda: Normalise([0.5], [0.0]), "std must be above 0"),
    ],
)
def test_mistakes_are_one_line(call, words: str) -> None:
    with pytest.raises(TestudoError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_dense_task_needs_its_own_head_whose_output_is_enlarged_to_the_image() -> None:
    class Dense(Classification):
        dense = True

    net, images, head = model(DIGIT), torch.rand(1, 3, 16, 19), nn.Conv2d(32, 2, 1)
    with pytest.raises(TestudoError, match="is dense and has no default head"):
        net.add_head(Dense("depth"))
    net.add_head(Dense("depth"), head)
    coarse = head(net.features(images))
    assert coarse.shape == (1, 2, 2, 3)
    wanted = nn.functional.interpolate(coarse, size=(16, 19), mode="bilinear", align_corners=False)
    assert torch.equal(net(images)["depth"], wanted)
    assert torch.equal(net.decode(net.features(images), ["depth"], (2, 3))["depth"], coarse)
