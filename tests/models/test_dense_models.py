"""Networks for dense tasks, whatever their decoders: any size, tasks apart, frozen copies, seeds, gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from testudo.errors import TestudoError
from testudo.models.aspp import ResNet50ASPP
from testudo.models.drn import DRND22, DRND105
from testudo.models.encoder import Encoder, seeded
from testudo.models.fast import fast
from testudo.models.multitask import MultiTaskModel
from testudo.models.pyramid import maps
from testudo.models.resnet import PreActResNet18, ResNet18, ResNet50v2
from testudo.models.unet import UNet
from testudo.parts import build
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.tasks.normals import Normals
from testudo.tasks.segmentation import Segmentation

TASKS = (Segmentation("room", classes=5), Depth("depth"), Normals("normal"), Classification("kind", classes=4))
CHANNELS = {"room": 5, "depth": 1, "normal": 3}
ENCODERS: tuple[Encoder, ...] = (
    DRND22(width=2),
    DRND22(width=2, decoder="shared"),
    DRND105(width=2),
    ResNet50ASPP(width=2),
    ResNet50ASPP(width=2, sharing="hard"),
    ResNet18(width=4, decoder="unet"),
    ResNet18(width=4, stem="large", decoder="transposed"),
    PreActResNet18(width=4, stem="large", decoder="unet"),
    ResNet50v2(width=4, decoder="transposed"),
    UNet(width=4),
)
OWNING = [e for e in ENCODERS if not isinstance(e, UNet) and getattr(e, "decoder", "") != "shared"]
SIZES = [(97, 131), (40, 56), (64, 64), (1, 1), (5, 33)]


def model(encoder: Encoder, tasks=TASKS, seed: int = 0, lived: bool = True) -> MultiTaskModel:
    """In eval mode, where lived in with running statistics and affine parts that are not the identity."""
    net = MultiTaskModel(encoder.build(3, seed), tasks, [0.5] * 3, [0.25] * 3, seed)
    if lived:
        with seeded(1):
            for part in net.modules():
                if isinstance(part, nn.BatchNorm2d):
                    nn.init.uniform_(part.weight, 0.8, 1.2)
                    nn.init.uniform_(part.bias, -0.2, 0.2)
            net.train()(torch.rand(6, 3, 40, 56))
    return net.eval()


def images(n=2, height=40, width=57) -> Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
def test_a_prediction_for_every_pixel_at_any_size(encoder):
    net = model(encoder)
    for height, width in SIZES:
        outputs = net(images(2, height, width))
        shapes = {name: tuple(out.shape) for name, out in outputs.items()}
        wanted = {name: (2, channels, height, width) for name, channels in CHANNELS.items()}
        assert shapes == wanted | {"kind": (2, 4)}
        assert all(out.isfinite().all() for out in outputs.values())


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
def test_a_task_asked_alone_gives_the_same_bits_and_runs_no_other(encoder):
    net, x = model(encoder), images()
    every, ran = net(x), []
    for name, part in [*net.heads.items(), *net.decoders.items()]:
        for inner in part.modules():
            inner.register_forward_hook(lambda *_, name=name: ran.append(name))
    for task in net.tasks:
        ran.clear()
        assert torch.equal(net(x, [task])[task], every[task])
        assert set(ran) - {"steps"} == {f"task_{task}"}


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
def test_dropping_and_adding_tasks_leaves_the_others_bit_identical(encoder):
    net, x = model(encoder), images()
    before, size = net(x), len(net.state_dict())
    net.drop_head("depth")
    assert not [name for name in net.state_dict() if "task_depth" in name]
    for name, output in net(x).items():
        assert torch.equal(output, before[name])
    net.add_head(Depth("depth"))
    assert len(net.state_dict()) == size
    assert torch.equal(net(x)["normal"], before["normal"])


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
def test_seed_and_name_decide_where_a_task_starts(encoder):
    state = torch.get_rng_state()
    both, again, alone, other = (
        model(encoder, tasks, seed, lived=False).state_dict()
        for tasks, seed in ((TASKS, 0), (TASKS, 0), (TASKS[1:2], 0), (TASKS, 1))
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(both[name], value) for name, value in again.items())
    assert all(torch.equal(both[name], value) for name, value in alone.items())
    for name, value in both.items():
        if name.endswith("weight") and value.dim() == 4:
            assert not torch.equal(value, other[name]), name
    if encoder in OWNING:
        owned = [name for name in both if name.startswith("decoders.task_depth") and both[name].dim() == 4]
        assert owned
        assert not any(torch.equal(both[name], both[name.replace("depth", "normal")]) for name in owned)


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
def test_every_parameter_learns(encoder):
    net = model(encoder).train()
    outputs = net(images(3))
    sum(out.square().mean() for out in outputs.values()).backward()
    for name, p in net.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.grad.abs().sum() > 0, name


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
def test_an_example_does_not_know_its_neighbours(encoder):
    net, x = model(encoder).double(), images(3).double()
    whole, one = net(x), net(x[1:2])
    for name in whole:
        torch.testing.assert_close(whole[name][1:2], one[name], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_frozen_copy_is_the_model_without_norms_in_its_decoders_too(encoder, precision):
    net, x = model(encoder), images()
    frozen, exact = fast(net, precision), net(x)
    assert not [part for part in frozen.modules() if isinstance(part, nn.BatchNorm2d)]
    assert frozen.folded > 0
    for _ in range(2):
        found = frozen(x)
        assert frozen.precision == precision
        for name, output in found.items():
            assert output.dtype == torch.float32
            gap = (output - exact[name]).abs().max() / exact[name].abs().max()
            assert gap < (1e-5 if precision == "float32" else 0.1), name
            assert precision == "float32" or gap > 0
        for p in net.parameters():  # and it follows the model
            p.data *= 1.01
        frozen.refresh()
        exact = net(x)


def test_decoders_are_folded_and_run_in_half_precision_but_their_last_layers_are_not():
    net = model(ENCODERS[0])
    frozen = fast(net, "bf16")
    assert frozen.folded == 18 + 3 * 7  # each of three tasks has two blocks, a shortcut and two plain layers
    halved = {name: p.dtype for name, p in frozen._quick.named_parameters()}
    assert {dtype for name, dtype in halved.items() if name.startswith(("encoder", "decoders"))} == {torch.bfloat16}
    assert {dtype for name, dtype in halved.items() if name.startswith("heads")} == {torch.float32}


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
def test_features_then_decoding_is_the_model(encoder):
    net, x = model(encoder), images()
    for one in (net, fast(net, "float32")):
        features = one.features(x)
        levels = maps(features)
        assert levels[-1].shape[1] == net.encoder.features
        heights = [level.shape[-2] for level in levels]
        assert heights == sorted(heights, reverse=True)
        read = levels[-1:] if getattr(encoder, "decoder", "") == "transposed" else levels
        assert all((level >= 0).all() for level in read)  # activated
        outputs, whole = one.decode(features, ["depth", "kind"], x.shape[-2:]), one(x, ["depth", "kind"])
        assert all(torch.equal(outputs[name], whole[name]) for name in whole)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ({"kind": "drn_d_22"}, DRND22()),
        ({"kind": "drn_d_105", "decoder": "shared"}, DRND105(decoder="shared")),
        ({"kind": "resnet50_aspp", "sharing": "hard"}, ResNet50ASPP(sharing="hard")),
        ({"kind": "resnet18", "stem": "large", "decoder": "transposed"}, ResNet18(stem="large", decoder="transposed")),
        ({"kind": "resnet50v2", "decoder": "unet"}, ResNet50v2(decoder="unet")),
    ],
)
def test_a_recipe_names_them(text, made):
    assert build(Encoder, text) == made


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DRND22(decoder="seperate"), "unknown decoder 'seperate'; did you mean 'separate'"),
        (lambda: DRND22(width=0), "width must be at least 1, got 0"),
        (lambda: ResNet50ASPP(sharing="soft"), "unknown sharing 'soft'"),
        (lambda: ResNet50ASPP(width=0), "width must be at least 1, got 0"),
        (lambda: ResNet18(decoder="u-net").build(3), "unknown decoder 'u-net'; did you mean 'unet'"),
        (lambda: model(ResNet18(width=2)), "'room' is dense and has no default head on this encoder"),
    ],
)
def test_mistakes_are_one_line(make, words):
    with pytest.raises(TestudoError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)
