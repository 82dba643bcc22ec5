"""Task attention by its formula; pyramids and their decoders."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from testudo.models.aspp import ResNet50ASPP
from testudo.models.decoders import TransposedDecoder, UNetDecoder
from testudo.models.multitask import MultiTaskModel
from testudo.models.resnet import PreActResNet18, ResNet18, ResNet50v2
from testudo.models.wide_resnet import WRN28x10
from testudo.tasks.depth import Depth
from testudo.tasks.normals import Normals

TASKS = [Depth("depth"), Normals("normal")]


def net(sharing="attention", width=2):
    made = MultiTaskModel(ResNet50ASPP(width, sharing).build(3), TASKS, [0.5] * 3, [0.25] * 3)
    made.train()(torch.rand(4, 3, 40, 56))
    return made.double().eval()


def test_the_pyramid_holds_every_stage_before_and_after_its_last_block():
    model, x = net(), torch.rand(2, 3, 97, 131, dtype=torch.float64)
    levels = model.features(x)
    sizes = [(25, 33)] * 2 + [(13, 17)] * 6
    assert [tuple(level.shape[1:]) for level in levels] == [
        (depth, *size) for depth, size in zip((8, 8, 16, 16, 32, 32, 64, 64), sizes, strict=True)
    ]
    for index, stage in enumerate((model.encoder.layer1, model.encoder.layer2, model.encoder.layer3)):
        assert torch.equal(stage[-1](levels[2 * index]), levels[2 * index + 1])


@pytest.mark.parametrize("size", [(64, 96), (97, 131)])
def test_attention_is_its_formula(size):
    """Every mask, product and shared step written out."""
    model = net()
    b1, t1, b2, t2, b3, t3, b4, t4 = model.features(torch.rand(2, 3, *size, dtype=torch.float64))
    steps, own = model.decoders["steps"], model.decoders["task_depth"]

    def mask(j, x):
        (first, norm, _), second, last, _ = own["masks"][j]
        return torch.sigmoid(last(second(F.relu(norm(first(x))))))

    a1 = mask(0, b1) * t1
    a2 = mask(1, torch.cat([b2, F.max_pool2d(steps[0](a1), 2, ceil_mode=True)], 1)) * t2
    a3 = mask(2, torch.cat([b3, steps[1](a2)], 1)) * t3
    a4 = mask(3, torch.cat([b4, steps[2](a3)], 1)) * t4
    found = model.decoders((b1, t1, b2, t2, b3, t3, b4, t4), "task_depth")
    torch.testing.assert_close(found, own["pooling"](a4))


def test_open_masks_and_the_plain_twin_agree():
    """Masks of one let every task see the shared map, which is hard sharing."""
    soft, hard, x = net(), net("hard"), torch.rand(2, 3, 40, 57, dtype=torch.float64)
    soft.encoder.load_state_dict(hard.encoder.state_dict())
    for task in ("task_depth", "task_normal"):
        soft.decoders[task]["pooling"].load_state_dict(hard.decoders[task].state_dict())
        soft.heads[task].load_state_dict(hard.heads[task].state_dict())
        nn.init.zeros_(soft.decoders[task]["masks"][-1][2].weight)
        nn.init.constant_(soft.decoders[task]["masks"][-1][2].bias, 50.0)
    for name, output in soft(x).items():
        torch.testing.assert_close(output, hard(x)[name])


def test_what_attention_costs():
    """Parameters of three dense tasks: 71.9 M with hard sharing, 92.3 M with attention (13, 1 and 3 channels)."""
    with torch.device("meta"):
        plain, soft = (ResNet50ASPP(sharing=how).build(3) for how in ("hard", "attention"))
        twin, mask = plain.decoders().make(), soft.decoders().make()
        steps = soft.decoders()["steps"]

    def count(module):
        return sum(p.numel() for p in module.parameters())

    def attention(inputs, depth):
        return inputs * depth // 4 + depth // 2 + depth // 4 * depth + 2 * depth

    def bottleneck(inputs, outputs):
        inner = outputs // 4
        plain = inputs * inner + 9 * inner**2 + inner * outputs + inputs * outputs
        return plain + 2 * (2 * inner + 2 * outputs)

    depths = (256, 512, 1024, 2048)
    masks = [attention(256, 256), *(attention(2 * depth, depth) for depth in depths[1:])]
    assert count(soft) == count(plain) == 23_508_032
    assert count(mask) - count(twin) == sum(masks)
    assert count(steps) == sum(bottleneck(one, two) for one, two in itertools.pairwise(depths))
    assert count(plain) + 3 * count(twin) + 256 * 17 + 17 == 71_888_721
    assert count(soft) + 3 * count(mask) + count(steps) + 256 * 17 + 17 == 92_333_521


@pytest.mark.parametrize(
    ("encoder", "depths", "scale"),
    [
        (ResNet18(decoder="unet"), (64, 128, 256, 512), 1),
        (ResNet18(stem="large", decoder="transposed"), (64, 64, 128, 256, 512), 2),
        (PreActResNet18(stem="large", decoder="unet"), (64, 64, 128, 256, 512), 2),
        (ResNet50v2(decoder="transposed"), (256, 512, 1024, 2048), 1),
        (WRN28x10(decoder="unet"), (160, 320, 640), 1),
    ],
    ids=repr,
)
def test_residual_networks_keep_their_pyramid(encoder, depths, scale):
    with torch.device("meta"):
        body = encoder.build(3)
        levels = body(torch.zeros(2, 3, 97, 131))
        decoder = body.decoders()
        made = decoder.make()(levels)
    for level, (found, depth) in enumerate(zip(levels, depths, strict=True)):
        side = scale * 2**level
        assert found.shape == (2, depth, -(-97 // side), -(-131 // side))
    assert made.shape == (2, decoder.features, *levels[0].shape[2:])


@pytest.mark.parametrize("encoder", [ResNet18(width=4), PreActResNet18(width=4, stem="large")], ids=repr)
def test_a_decoder_leaves_what_the_encoder_computes(encoder):
    """The same seed draws the same weights, and the last map is the one without a decoder, bit by bit."""
    plain = encoder.build(3, seed=1).eval()
    for decoder in ("unet", "transposed"):
        kept = type(encoder)(encoder.width, encoder.stem, decoder).build(3, seed=1).eval()
        x = torch.rand(2, 3, 33, 47)
        assert torch.equal(kept(x)[-1], plain(x))


def test_the_eight_layer_decoder_is_taskonomys():
    with torch.device("meta"):
        body = ResNet18(stem="large", decoder="transposed").build(3)
        model = MultiTaskModel(body, TASKS[:1], [0.5] * 3, [0.25] * 3)
    parts = model.decoders["task_depth"].modules()
    layers = [part for part in parts if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)]
    layers.append(model.heads["task_depth"].conv)
    doubled = [part for part in layers if isinstance(part, nn.ConvTranspose2d)]
    assert len(layers) == 8
    assert [(part.in_channels, part.out_channels) for part in doubled] == [(512, 256), (256, 128), (128, 64), (64, 32)]
    plain = [part for part in layers if isinstance(part, nn.Conv2d)]
    assert [part.out_channels for part in plain] == [256, 128, 64, 1]
    assert {part.kernel_size for part in plain} == {(3, 3)}


def test_a_u_net_reads_every_map_and_a_transposed_decoder_the_last():
    sizes = [(9, 13), (5, 7), (3, 4)]
    levels = tuple(torch.rand(1, 4, *size, requires_grad=True) for size in sizes)
    for decoder, read in ((UNetDecoder([4] * 3, [3, 3]), 3), (TransposedDecoder(4, [3, 5]), 1)):
        gradients = torch.autograd.grad(decoder(levels).sum(), levels, allow_unused=True)
        assert [g is not None for g in gradients] == [False] * (3 - read) + [True] * read


def test_a_doubled_map_keeps_its_place():
    """Cut, not squeezed: a pixel of the coarse map stays over the same pixels at an odd size."""
    decoder = TransposedDecoder(1, [1]).eval()
    up = decoder.up[0][0]
    nn.init.ones_(up.weight)
    coarse = torch.arange(12.0).reshape(1, 1, 3, 4)
    found = decoder((torch.zeros(1, 1, 5, 7), coarse))
    wanted = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :5, :7]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
