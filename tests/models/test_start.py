"""Starting from other weights: what goes where, what stays, what is refused."""

from __future__ import annotations

import pytest
import torch

from testudo import tensor_file
from testudo.errors import TestudoError
from testudo.models.aspp import ResNet50ASPP
from testudo.models.multitask import MultiTaskModel
from testudo.models.resnet import ResNet18
from testudo.models.start import BEST, load_start
from testudo.models.unet import UNet
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.tasks.segmentation import Segmentation
from testudo.training import journal

DIGIT, PARITY, FINE = (Classification(n, classes=c) for n, c in (("digit", 10), ("parity", 2), ("parity", 3)))


def model(*tasks, encoder=None, seed=0, mean=0.5):
    """Every number of it drawn, statistics too."""
    encoder = encoder or ResNet18(width=2)
    made, draw = (
        MultiTaskModel(encoder.build(1, seed), tasks, [mean], [0.25], seed),
        torch.Generator().manual_seed(seed),
    )
    for name, value in made.state_dict().items():
        if value.is_floating_point() and not name.startswith("normalise"):
            value.copy_(torch.rand(value.shape, generator=draw))
    return made


@pytest.fixture
def saved(tmp_path):
    """Writes a model's weights as the best of a run; returns the run folder."""

    def write(made):
        weights = {f"model.{name}": value for name, value in made.state_dict().items()}
        tensor_file.save(tmp_path / "run" / BEST, weights, {})
        return tmp_path / "run"

    return write


def state(made):
    return {name: value.clone() for name, value in made.state_dict().items()}


def differing(before, made):
    """The parts of the model that are not as they were."""
    return {
        ".".join(name.split(".")[:2]) if not name.startswith("encoder") else "encoder"
        for name, value in made.state_dict().items()
        if not torch.equal(value, before[name])
    }


def test_the_file_of_a_run_is_called_what_the_journal_calls_it():
    assert journal.BEST == BEST


def test_encoder_and_equal_heads_are_taken_and_others_start_anew(saved):
    source, net = model(DIGIT, PARITY, seed=1), model(DIGIT, FINE)
    before = state(net)
    lines = load_start(net, saved(source))
    theirs = source.state_dict()
    assert differing(before, net) == {"encoder", "heads.task_digit"}
    for name, value in net.state_dict().items():
        if name.startswith(("encoder.", "heads.task_digit.")):
            assert torch.equal(value, theirs[name])
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(net.eval()(x)["digit"], source.eval()(x)["digit"])
    assert lines[0].startswith("encoder: taken from ")
    assert lines[1:] == [
        "digit: taken",
        "parity: starts anew: 'heads.task_parity.linear.weight' is (2, 16) there, (3, 16) here",
    ]


def test_a_file_will_do_and_what_the_model_has_no_place_for_is_told(saved):
    source, net = model(DIGIT, PARITY, seed=1), model(FINE)
    lines = load_start(net, str(saved(source) / BEST))
    assert lines[-1] == "digit: left behind, the model has no such task"
    net = model(Classification("shape", classes=2))
    lines = load_start(net, saved(source))
    assert lines[1].startswith("shape: starts anew: only the model has 'heads.task_shape.linear.weight'")
    assert len(lines) == 4


def test_normalisation_stays_that_of_the_data_and_a_difference_is_told(saved):
    net = model(DIGIT, mean=0.1)
    lines = load_start(net, saved(model(DIGIT, seed=1)))
    assert float(net.normalise.mean) == pytest.approx(0.1)
    assert lines[-1] == "normalisation: that of this run's data, which is not that of the weights"


ROOMS, STREET, DEPTH = Segmentation("rooms", classes=3), Segmentation("rooms", classes=4), Depth("depth")
ENCODERS = {
    "decoder": ResNet18(width=2, decoder="unet"),
    "attention": ResNet50ASPP(width=1),
    "none": UNet(width=2),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_decoders_go_with_their_tasks(saved, name):
    source, net = (model(*tasks, encoder=ENCODERS[name], seed=seed) for seed, tasks in
                   ((1, (ROOMS, DEPTH)), (0, (STREET, DEPTH))))  # fmt: skip
    before = state(net)
    lines = load_start(net, saved(source))
    wanted = {"encoder", "heads.task_depth"}
    if name != "none":
        wanted |= {"decoders.task_rooms", "decoders.task_depth"}
    if name == "attention":
        wanted |= {"decoders.steps"}  # the convolutions that all masks share
    assert differing(before, net) == wanted
    start = "rooms: starts anew: " if name == "none" else "rooms: decoder taken, last layer starts anew: "
    assert lines[1].startswith(start)
    assert lines[2] == "depth: taken"


def test_a_last_layer_does_not_come_without_its_decoder(saved):
    source = model(DEPTH, encoder=ENCODERS["decoder"], seed=1)
    tensors = source.state_dict()
    folder = saved(source)
    broken = {f"model.{n}": v for n, v in tensors.items() if not n.startswith("decoders.")}
    tensor_file.save(folder / BEST, broken, {})
    net = model(DEPTH, encoder=ENCODERS["decoder"])
    before = state(net)
    lines = load_start(net, folder)
    assert differing(before, net) == {"encoder"}
    assert lines[1].startswith("depth: starts anew: only the model has 'decoders.task_depth.up.0.conv.weight'")


def test_published_weights(tmp_path):
    encoder = ResNet50ASPP(width=1)
    net = model(ROOMS, DIGIT, encoder=encoder)
    published = {n: torch.rand(v.shape) if v.is_floating_point() else v for n, v in net.encoder.state_dict().items()}
    torch.save(published, tmp_path / "resnet50.pth")
    before = state(net)
    lines = load_start(net, tmp_path / "resnet50.pth")
    assert differing(before, net) == {"encoder"}
    assert lines[1:] == [f"{n}: starts anew: published weights have none" for n in ("rooms", "digit")]


def other_width(tensors):
    return {f"model.{n}": v for n, v in model(DIGIT, encoder=ResNet18(width=4)).state_dict().items()}


def less(name):
    return lambda tensors: {n: v for n, v in tensors.items() if n != name}


def renamed(old, new):
    return lambda tensors: {n.replace(old, new): v for n, v in tensors.items()}


FIRST = next(name for name in model(DIGIT).state_dict() if name.startswith("encoder."))
MISFITS = [
    (other_width, rf"the shared weights do not fit the model: '{FIRST}' is \(4, 1, 3, 3\) there, \(2, 1, 3, 3\) here"),
    (less(f"model.{FIRST}"), f"only the model has '{FIRST}'$"),
    (renamed("encoder.stem", "encoder.stern"), f"only the model has '{FIRST}', nearest to it is 'encoder.stern"),
    (lambda tensors: {**tensors, "model.encoder.more": torch.zeros(1)}, "only the file has 'encoder.more'"),
    (lambda tensors: {"other": torch.zeros(1)}, "holds no weights of a model"),
]


@pytest.mark.parametrize(("change", "message"), MISFITS)
def test_shared_weights_that_do_not_fit_are_one_line_and_nothing_is_changed(saved, change, message):
    source = model(DIGIT, seed=1)
    folder = saved(source)
    tensors = {f"model.{name}": value for name, value in source.state_dict().items()}
    tensor_file.save(folder / BEST, change(tensors), {})
    net = model(DIGIT)
    before = state(net)
    with pytest.raises(TestudoError, match=message) as caught:
        load_start(net, folder)
    assert "\n" not in str(caught.value)
    assert differing(before, net) == set()


def test_what_is_not_there_or_damaged_is_one_line(saved, tmp_path):
    net = model(DIGIT)
    with pytest.raises(TestudoError, match="no run folder and no file of weights at nowhere"):
        load_start(net, "nowhere")
    with pytest.raises(TestudoError, match=f"holds no trained weights to start from: it has no {BEST}"):
        load_start(net, tmp_path)
    path = saved(model(DIGIT)) / BEST
    whole = bytearray(path.read_bytes())
    whole[-9] ^= 1
    path.write_bytes(whole)
    with pytest.raises(TestudoError, match="is damaged"):
        load_start(net, path)
    (tmp_path / "x.pth").write_text("nothing")
    with pytest.raises(TestudoError, match=r"x\.pth"):
        load_start(net, tmp_path / "x.pth")


def test_weights_are_cast_to_the_precision_of_the_model(saved):
    net = model(DIGIT).double()
    load_start(net, saved(model(DIGIT, seed=1)))
    assert {p.dtype for p in net.parameters()} == {torch.float64}
