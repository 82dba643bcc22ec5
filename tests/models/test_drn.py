"""DRN-D against its published plan: names, shapes, sizes, dilations, what is shared; ResNet-50 dilated likewise."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from testudo.models.aspp import DeepLab, ResNet50ASPP
from testudo.models.drn import DRND22, DRND105
from testudo.models.multitask import MultiTaskModel
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.tasks.segmentation import Segmentation

IMAGENET = Classification("object", classes=1000)
CITY = [Segmentation("street", classes=19), Depth("depth"), Segmentation("part", classes=10)]
BLOCKS_22, BLOCKS_105 = (2, 2, 2, 2), (3, 4, 23, 3)  # in the four residual layers, 3 to 6


def norm(name, channels):
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def drn(blocks, bottleneck, classes=1000):
    """The state of the published DRN-D: name -> shape, by the paper's figure and the authors' layer names."""
    state = {}
    for layer, (inputs, outputs, size) in enumerate([(3, 16, 7), (16, 16, 3), (16, 32, 3)]):
        state |= {f"layer{layer}.0.weight": (outputs, inputs, size, size), **norm(f"layer{layer}.1", outputs)}
    inputs = 32
    for layer, (width, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True), start=3):
        outputs = 4 * width if bottleneck else width
        for index in range(count):
            at = f"layer{layer}.{index}"
            sizes = [(width, inputs, 1), (width, width, 3), (outputs, width, 1)]
            if not bottleneck:
                sizes = [(width, inputs, 3), (width, width, 3)]
            for number, (out, into, size) in enumerate(sizes, start=1):
                state |= {f"{at}.conv{number}.weight": (out, into, size, size), **norm(f"{at}.bn{number}", out)}
            if index == 0:
                state |= {f"{at}.downsample.0.weight": (outputs, inputs, 1, 1), **norm(f"{at}.downsample.1", outputs)}
            inputs = outputs
    for layer in (7, 8):
        state |= {f"layer{layer}.0.weight": (512, inputs, 3, 3), **norm(f"layer{layer}.1", 512)}
        inputs = 512
    return state | {"fc.weight": (classes, 512, 1, 1), "fc.bias": (classes,)}


def shapes(module):
    return {n: tuple(t.shape) for n, t in module.state_dict().items() if not n.endswith("num_batches_tracked")}


def count(sizes):
    """Learnt numbers among name -> shape."""
    return sum(torch.Size(shape).numel() for name, shape in sizes.items() if "running" not in name)


@pytest.mark.parametrize(
    ("cls", "plan", "millions"),
    [(DRND22, drn(BLOCKS_22, False), 16.4), (DRND105, drn(BLOCKS_105, True), 54.8)],
)
def test_names_shapes_and_parameters_are_the_published_ones(cls, plan, millions):
    """16,393,752 and 54,801,304 with the 1000 classes of ImageNet."""
    assert round(count(plan) / 1e6, 1) == millions
    with torch.device("meta"):
        whole = MultiTaskModel(cls(decoder="shared").build(3), [IMAGENET], [0.5] * 3, [0.25] * 3)
        separate = MultiTaskModel(cls().build(3), CITY, [0.5] * 3, [0.25] * 3)
    body = {name: shape for name, shape in plan.items() if not name.startswith("fc")}
    assert shapes(whole.encoder) == body
    assert sum(p.numel() for p in whole.parameters()) == count(plan)
    cut = {name for name in body if int(name[len("layer")]) >= 6}
    assert shapes(separate.encoder) == {name: shape for name, shape in body.items() if name not in cut}
    for decoder in separate.decoders.values():
        assert shapes(decoder) == {name: shape for name, shape in body.items() if name in cut}
    assert len(separate.decoders) == 3


def test_the_cut_is_the_papers():
    """93 shared layers of DRN-D-105; 18 of DRN-D-22 with its shortcuts, 6 layers in a decoder without them."""

    def layers(network, shortcuts):
        convolutions = [name for name, part in network.named_modules() if isinstance(part, nn.Conv2d)]
        return len([name for name in convolutions if shortcuts or "downsample" not in name])

    with torch.device("meta"):
        deep, flat = (cls(width=1).build(3) for cls in (DRND105, DRND22))
        assert layers(deep, False) == 93
        assert layers(flat, True) == 18
        assert layers(flat.decoders().make(), False) == 6


@pytest.mark.parametrize("encoder", [DRND22(width=1), DRND105(width=1, decoder="shared")], ids=repr)
@pytest.mark.parametrize(("height", "width"), [(96, 128), (97, 131), (33, 1)])
def test_the_last_map_is_an_eighth_of_the_image(encoder, height, width):
    net = encoder.build(3)
    decoder = net.decoders().make()
    found = net(torch.zeros(1, 3, height, width))
    assert found.shape == (1, net.features, -(-height // 8), -(-width // 8))
    assert decoder is None or decoder(found).shape == (1, 32, *found.shape[2:])


def test_dilations_and_strides():
    """2 in layers 5 and 7, 4 in layer 6, both convolutions of a block; layers 2 to 4 stride."""
    net = DRND22(width=1, decoder="shared").build(3)
    strides, dilations = (1, 1, 2, 2, 2, 1, 1, 1, 1), (1, 1, 1, 1, 1, 2, 4, 2, 1)
    for layer, (stride, dilation) in enumerate(zip(strides, dilations, strict=True)):
        found = [part for part in net.get_submodule(f"layer{layer}").modules() if isinstance(part, nn.Conv2d)]
        large = [part for part in found if part.kernel_size != (1, 1)]
        assert [part.stride[0] for part in large] == [stride, *[1] * (len(large) - 1)]
        assert {part.dilation for part in large} == {(dilation, dilation)}


def test_decoders_share_nothing_or_all_but_the_last_convolution():
    with torch.device("meta"):
        paper, code = (
            MultiTaskModel(DRND22(width=1, decoder=how).build(3), CITY, [0.5] * 3, [0.25] * 3)
            for how in ("separate", "shared")
        )
    one, two = (set(paper.decoders[key].parameters()) for key in ("task_street", "task_depth"))
    assert one
    assert not one & two
    assert not list(code.decoders.parameters())
    assert [tuple(p.shape) for p in code.heads["task_depth"].parameters()] == [(1, 32, 1, 1), (1,)]


def test_scores_are_enlarged_as_the_authors_transposed_convolution_does_but_for_the_border():
    net = MultiTaskModel(DRND22(width=1, decoder="shared").build(3), CITY[:1], [0.5] * 3, [0.25] * 3).eval()
    x = torch.rand(1, 3, 64, 96)
    scores = net.heads["task_street"](net.features(x))
    up = nn.ConvTranspose2d(19, 19, 16, 8, 4, groups=19, bias=False)
    side = 1 - (torch.arange(16) - 7.5).abs() / 8
    up.weight.data[:] = side[:, None] * side
    theirs, ours = up(scores)[..., 8:-8, 8:-8], net(x)["street"][..., 8:-8, 8:-8]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_resnet50_is_torchvisions_dilated():
    """25,557,032 parameters with 1000 classes, names as in its weight file; the last two stages dilated by 2 and 4."""
    with torch.device("meta"):
        net = ResNet50ASPP(sharing="hard").build(3)
    names = {name for name, _ in net.named_parameters()}
    expected = {"conv1.weight", "bn1.weight", "bn1.bias"}
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for block, part in itertools.product(range(blocks), (1, 2, 3)):
            at = f"layer{stage}.{block}"
            expected |= {f"{at}.conv{part}.weight", f"{at}.bn{part}.weight", f"{at}.bn{part}.bias"}
        expected |= {f"layer{stage}.0.downsample.{part}" for part in ("0.weight", "1.weight", "1.bias")}
    assert names == expected
    assert sum(p.numel() for p in net.parameters()) + 2048 * 1000 + 1000 == 25_557_032
    dilations = [[block.conv2.dilation[0] for block in stage] for stage in (net.layer2, net.layer3, net.layer4)]
    assert dilations == [[1] * 4, [1, 2, 2, 2, 2, 2], [2, 4, 4]]


def test_atrous_pooling_sees_the_whole_map_and_its_rates():
    """Ones everywhere, the plain branches cut off: what is left of a pixel's effect is at multiples of the rates."""
    pooling = DeepLab(1, 4).double().eval()
    assert [branch[0].dilation[0] for branch in pooling.branches] == [1, 12, 24, 36]
    with torch.no_grad():
        for p in pooling.everywhere.parameters():
            p.zero_()
        nn.init.ones_(pooling.project[0].weight)
        for branch in pooling.branches:
            nn.init.ones_(branch[0].weight)
        nn.init.zeros_(pooling.refine[0].weight)
        pooling.refine[0].weight[:, :, 1, 1] = 1
    x = torch.ones(1, 1, 81, 81, dtype=torch.float64, requires_grad=True)
    (seen,) = torch.autograd.grad(pooling(x)[0, 0, 40, 40], x)
    rows = (seen[0, 0].abs().sum(1) > 0).nonzero().flatten() - 40
    assert rows.tolist() == [-36, -24, -12, 0, 12, 24, 36]
