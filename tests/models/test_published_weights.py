"""Published weight files, made up with the published names and shapes: what goes where, and what is refused."""

from __future__ import annotations

import pytest
import torch

from testudo.errors import TestudoError
from testudo.models.aspp import ResNet50ASPP
from testudo.models.drn import DRND22
from testudo.models.multitask import MultiTaskModel
from testudo.models.public import load_public
from testudo.models.resnet import ResNet18
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.tasks.segmentation import Segmentation

TASKS = (Segmentation("street", classes=19), Depth("depth"), Classification("object", classes=1000))


def norm(name, channels):
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def drn_d_22():
    """Name -> shape in the authors' file of DRN-D-22."""
    shapes = {}
    for at, into, out, size in [(0, 3, 16, 7), (1, 16, 16, 3), (2, 16, 32, 3), (7, 512, 512, 3), (8, 512, 512, 3)]:
        shapes |= {f"layer{at}.0.weight": (out, into, size, size), **norm(f"layer{at}.1", out)}
    for at, into, out in [(3, 32, 64), (4, 64, 128), (5, 128, 256), (6, 256, 512)]:
        for block, first in (("0", into), ("1", out)):
            name = f"layer{at}.{block}"
            shapes |= {f"{name}.conv1.weight": (out, first, 3, 3), **norm(f"{name}.bn1", out)}
            shapes |= {f"{name}.conv2.weight": (out, out, 3, 3), **norm(f"{name}.bn2", out)}
        shapes |= {f"layer{at}.0.downsample.0.weight": (out, into, 1, 1), **norm(f"layer{at}.0.downsample.1", out)}
    return shapes


def drawn(shapes):
    """Convolutions of about He's size, all else around 1."""
    draw = torch.Generator().manual_seed(0)
    tensors = {name: torch.rand(shape, generator=draw) for name, shape in shapes.items()}
    return {name: (x - 0.5) / x[0].numel() ** 0.5 if x.dim() == 4 else x + 0.5 for name, x in tensors.items()}


IMAGENET = drawn(drn_d_22() | {"fc.weight": (1000, 512, 1, 1), "fc.bias": (1000,)})
CITYSCAPES = {name.replace("layer", "base."): tensor for name, tensor in drawn(drn_d_22()).items()} | drawn(
    {"seg.weight": (19, 512, 1, 1), "seg.bias": (19,), "up.weight": (19, 1, 16, 16)}
)


def model(encoder, tasks=TASKS, channels=3):
    return MultiTaskModel(encoder.build(channels), tasks, [0.5] * channels, [0.25] * channels)


@pytest.fixture
def file(tmp_path):
    def written(tensors, **options):
        torch.save(tensors, tmp_path / "weights.pth", **options)
        return tmp_path / "weights.pth"

    return written


def test_every_shared_weight_and_every_decoders_is_the_published_one(file):
    net = model(DRND22())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    load_public(net, file(IMAGENET))
    taken = 0
    for name, value in net.state_dict().items():
        part, _, inner = name.partition(".")
        inner = inner.partition(".")[2] if part == "decoders" else inner
        if part in ("encoder", "decoders") and not name.endswith("num_batches_tracked"):
            assert torch.equal(value, IMAGENET[inner]), name
            taken += 1
        else:
            assert torch.equal(value, before[name]), name
    late = [name for name in IMAGENET if name[:6] in ("layer6", "layer7", "layer8")]
    assert taken == len(IMAGENET) - 2 + len(late)  # the last layers left out, layers 6 to 8 for two dense tasks


@pytest.mark.parametrize("published", [IMAGENET, CITYSCAPES], ids=["imagenet", "cityscapes"])
def test_a_task_takes_the_published_last_layer(file, published):
    net = model(DRND22(decoder="shared")).eval()
    task, name = ("object", "fc") if published is IMAGENET else ("street", "seg")
    load_public(net, file(published, _use_new_zipfile_serialization=False), task)  # as in files of 2017
    weight, bias = net.heads[f"task_{task}"].parameters()
    assert torch.equal(weight.flatten(), published[f"{name}.weight"].flatten())
    assert torch.equal(bias, published[f"{name}.bias"])
    first = published["layer0.0.weight" if name == "fc" else "base.0.0.weight"]
    assert torch.equal(net.encoder.layer0[0].weight, first)
    x = torch.rand(1, 3, 8, 8)
    scores = torch.nn.functional.conv2d(net.features(x), published[f"{name}.weight"], published[f"{name}.bias"])
    wanted = scores.mean((2, 3)) if task == "object" else scores.expand(-1, -1, 8, 8)
    torch.testing.assert_close(net(x)[task], wanted, rtol=1e-4, atol=1e-4 * float(wanted.detach().abs().max()))


def test_resnet50_takes_torchvisions_and_leaves_its_attention(file):
    net = model(ResNet50ASPP(width=1), TASKS[:2])
    published = {
        name: torch.rand(value.shape) if value.is_floating_point() else value
        for name, value in net.encoder.state_dict().items()
    }
    before = {name: value.clone() for name, value in net.decoders.state_dict().items()}
    load_public(net, file(published | {"fc.weight": torch.rand(1000, 32), "fc.bias": torch.rand(1000)}))
    assert all(torch.equal(value, published[name]) for name, value in net.encoder.state_dict().items())
    assert all(torch.equal(value, before[name]) for name, value in net.decoders.state_dict().items())


def less(name):
    return {key: value for key, value in IMAGENET.items() if key != name}


@pytest.mark.parametrize(
    ("tensors", "encoder", "task", "words"),
    [
        (
            less("layer3.0.bn1.running_var"),
            DRND22(),
            None,
            "no weights 'layer3.0.bn1.running_var', which the model's enc",
        ),
        (less("layer7.0.weight"), DRND22(), None, "has weights 'layer7.1.weight', for which the model has no place"),
        (IMAGENET | {"layer9.0.weight": torch.rand(1)}, DRND22(), None, "has weights 'layer9.0.weight', for which"),
        (IMAGENET, DRND22(width=8), None, r"'encoder.layer0.0.weight' are of the shape \(16, 3, 7, 7\), the model's"),
        (
            IMAGENET,
            ResNet18(width=2, decoder="unet"),
            None,
            "no weights 'stem.0.weight', which the model's encoder needs",
        ),
        (IMAGENET, DRND22(decoder="shared"), "street", r"'heads.task_street.conv.weight' are of the shape \(1000, 512"),
        (IMAGENET, DRND22(decoder="shared"), "objekt", "unknown task 'objekt'; did you mean 'object'"),
        (less("fc.bias"), DRND22(decoder="shared"), "object", "has no last layer"),
        ({"state": IMAGENET}, DRND22(), None, "does not hold tensors by name"),
        ({}, DRND22(), None, "does not hold tensors by name"),
        ({"a": pytest.raises}, DRND22(), None, "holds more than tensors by name"),
    ],
)
def test_what_does_not_fit_is_one_line_and_changes_nothing(file, tensors, encoder, task, words):
    net = model(encoder)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(TestudoError, match=words) as caught:
        load_public(net, file(tensors), task)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_no_file_and_a_damaged_one(tmp_path, file):
    net = model(DRND22(width=1))
    with pytest.raises(TestudoError, match=r"no weights at .*absent\.pth"):
        load_public(net, tmp_path / "absent.pth")
    path = file({"layer0.0.weight": torch.rand(1000)})
    whole = path.read_bytes()
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(TestudoError, match=r"cannot be read as weights|is no file of weights") as caught:
            load_public(net, path)
        assert "\n" not in str(caught.value)
    with pytest.raises(TestudoError, match="cannot be read as weights"):
        load_public(net, tmp_path)
