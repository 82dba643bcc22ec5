"""The transfer matrix: linear models whose answer is known, brute force over rows, rows without torch."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from testudo.attacks.fgsm import FGSM
from testudo.attacks.threat import Linf
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.evaluation.columns import ROWS
from testudo.evaluation.evaluate import Evaluation, evaluate
from testudo.evaluation.seal import sealed
from testudo.evaluation.summarise import certain, summarise
from testudo.evaluation.transfer import MATRIX, Transfer
from testudo.models.wrap import wrap
from testudo.reports.figures import svg
from testudo.tasks.classification import Classification

TASK = Classification("side", classes=2)
EPS, RUNS = 0.1, ("one", "two", "three")


def linear(seed):
    """Logits (0, w x + b) of nine pixels; the border lies among the images."""
    draw = torch.Generator().manual_seed(seed)
    layer = nn.Linear(9, 2)
    weights = torch.randn(9, generator=draw)
    layer.weight.data = torch.stack([torch.zeros(9), weights])
    layer.bias.data = torch.stack([torch.tensor(0.0), -0.5 * weights.sum()])
    return wrap(nn.Sequential(nn.Flatten(), layer), [TASK])


@pytest.fixture(scope="module")
def models():
    return {name: linear(seed) for seed, name in enumerate(RUNS)}


@pytest.fixture(scope="module")
def data():
    """Images well inside the box, so that no step is clipped, labelled by a model that none of the three is."""
    images = 0.2 + 0.6 * torch.rand(60, 1, 3, 3, generator=torch.Generator().manual_seed(9))
    labels = linear(7)(images)["side"].argmax(1)
    labels[5] = -1  # unknown
    return Batch(images, {"side": labels}, torch.arange(60) + 100)


def crossed(models, data, size=60):
    """The rows of every model on the images made against every other."""
    how, attack = Evaluation(size, "float32"), FGSM(Linf(EPS))
    parts = [evaluate(model, data, {"clean": None}, name, how) for name, model in models.items()]
    for name, model in models.items():
        parts += how.carried(model, models, data, f"fgsm from {name}", attack)
    return Transfer(pl.concat(parts))


def test_linear_models_fool_each_other_exactly_where_the_formula_says(models, data):
    """FGSM moves x by -y eps sign(w_A), and the margin of B by -eps w_B sign(w_A): no more, no less."""
    matrix = crossed(models, data).matrix()
    pixels, sign = data.images.flatten(1).double(), 2.0 * data.targets["side"] - 1
    weights = {name: model.state_dict() for name, model in models.items()}
    found = 0
    for line in matrix.iter_rows(named=True):
        a, b = (next(v[1] for k, v in weights[line[side]].items() if "weight" in k) for side in ("surrogate", "target"))
        bias = next(v[1] for k, v in weights[line["target"]].items() if "bias" in k)
        margin = sign * (pixels @ b.double() + bias)
        known = data.targets["side"] >= 0
        right, moved = (margin > 0) & known, margin - EPS * float(b @ a.sign())
        fooled = right & (moved <= 0)
        assert (moved.abs() > 1e-5)[known].all()  # none so near to the border that rounding decides
        assert line["n"] == 59
        assert line["right"] == int(right.sum())
        assert line["success"] == pytest.approx(int(fooled.sum()) / int(right.sum()), abs=1e-12)
        assert line["value"] == pytest.approx(float((moved > 0)[known].double().mean()), abs=1e-12)
        assert line["clean"] == pytest.approx(float(right.sum()) / 59, abs=1e-12)
        assert line["success_low"] <= line["success"] <= line["success_high"]
        found += 0 < line["success"] < 1
    assert len(matrix) == 9
    assert found >= 6  # not all of them zeros and ones


def test_one_search_per_surrogate_and_batch_whatever_the_targets(models, data, monkeypatch):
    made = []
    real = FGSM.search
    monkeypatch.setattr(FGSM, "search", lambda self, problem: made.append(1) or real(self, problem))
    crossed(models, data, size=25)
    assert len(made) == 3 * 3


@pytest.mark.parametrize("size", [1, 7, 60])
def test_order_of_models_and_size_of_batches_do_not_matter(models, data, size):
    keys = ["surrogate", "target"]
    expected = crossed(models, data).matrix().sort(keys)
    other = crossed(dict(reversed(models.items())), data, size).matrix()
    assert other["surrogate"].to_list() == [name for name in reversed(RUNS) for _ in RUNS]
    assert other.sort(keys).equals(expected)


def test_the_diagonal_is_the_white_box(models, data):
    found = crossed(models, data)
    direct = pl.concat([evaluate(model, data, {"hit": FGSM(Linf(EPS))}, name) for name, model in models.items()])
    own = pl.concat([found.rows.filter(run=name, attack=f"fgsm from {name}") for name in RUNS])
    assert own.drop("attack").equals(direct.drop("attack"), null_equal=True)
    value = dict(summarise(direct).select("group", "value").iter_rows())
    assert {
        line["target"]: line["value"] for line in found.matrix().filter(surrogate=pl.col("target")).to_dicts()
    } == value


def rows_of(run, attack, predicted, truth, metric="accuracy", task="digit", eps=0.1):
    """Rows with the given records, of examples 0, 1, ..."""
    clean = attack == "clean"
    frame = pl.DataFrame({
        "run": run, "example": range(len(truth)), "task": task, "metric": metric, "further": [[]] * len(truth),
        "attack": attack, "family": "clean" if clean else "pgd", "norm": "" if clean else "linf",
        "eps": 0.0 if clean else eps, "steps": 0, "objective": "",
        "score": [float("nan") if t < 0 else float(p == t) for p, t in zip(predicted, truth, strict=True)],
        "loss": 1.0, "linf": eps, "l2": eps,
        "record": [[float(p), float(t)] for p, t in zip(predicted, truth, strict=True)],
    })  # fmt: skip
    return frame.select(*ROWS).cast(dict(ROWS))


@pytest.mark.parametrize("seed", range(5))
def test_success_is_what_counting_by_hand_gives(seed):
    draw = np.random.default_rng(seed)
    truth = draw.integers(-1, 3, 30)
    said = {(a, b): draw.integers(0, 3, 30) for a in ("clean", "x", "y") for b in ("x", "y")}
    parts = [rows_of(b, a if a == "clean" else f"pgd from {a}", p, truth) for (a, b), p in said.items()]
    for line in Transfer(pl.concat(parts), 50).matrix().iter_rows(named=True):
        before, after = said["clean", line["target"]], said[line["surrogate"], line["target"]]
        right = [i for i in range(30) if truth[i] >= 0 and before[i] == truth[i]]
        wrong = [i for i in right if after[i] != truth[i]]
        known = [i for i in range(30) if truth[i] >= 0]
        assert (line["n"], line["right"]) == (len(known), len(right))
        assert line["success"] == pytest.approx(len(wrong) / len(right))
        assert line["value"] == pytest.approx(sum(after[i] == truth[i] for i in known) / len(known))


def test_a_model_that_is_never_right_and_one_that_always_is():
    truth = np.zeros(20, int)
    wrong, right = truth + 1, truth
    parts = [rows_of("x", "clean", wrong, truth), rows_of("y", "clean", right, truth)]
    parts += [rows_of(b, "pgd from x", right if b == "y" else wrong, truth) for b in ("x", "y")]
    parts += [rows_of("y", "pgd from y", wrong, truth)]
    matrix = {(line["surrogate"], line["target"]): line for line in Transfer(pl.concat(parts), 50).matrix().to_dicts()}
    assert len(matrix) == 3  # x was never attacked on y's images
    assert matrix["x", "x"]["right"] == 0
    assert np.isnan([matrix["x", "x"][name] for name in ("success", "success_low", "success_high")]).all()
    for surrogate, success in (("x", 0.0), ("y", 1.0)):
        cell = matrix[surrogate, "y"]
        assert cell["success"] == success
        assert (cell["success_low"], cell["success_high"]) == certain(success, 20)
    told = Transfer(pl.concat(parts)).markdown()
    assert "| x | –<br>" in told.replace("[–, –]", "–")
    assert "nan" not in told


def test_a_task_without_right_and_wrong_has_its_metric_and_no_success():
    truth = np.linspace(1, 2, 10)
    parts = [rows_of(b, "clean", truth + 0.25, truth, "error") for b in ("x", "y")]
    parts += [rows_of(b, "pgd from x", truth + 0.5, truth, "error") for b in ("x", "y")]
    found = Transfer(pl.concat(parts))
    matrix = found.matrix()
    assert matrix["value"].to_list() == pytest.approx([0.5, 0.5])
    assert matrix["clean"].to_list() == pytest.approx([0.25, 0.25])
    assert matrix["right"].null_count() == matrix["success"].null_count() == 2
    assert found.figures() == []
    assert "0.500" in found.markdown()


def test_runs_whose_names_hold_from_are_told_apart():
    truth = np.zeros(4, int)
    runs = ("a", "b from a")
    parts = [rows_of(b, "clean", truth, truth) for b in runs]
    parts += [rows_of(b, f"pgd from {a}", truth, truth) for a in runs for b in runs]
    matrix = Transfer(pl.concat(parts), 10).matrix()
    assert matrix["attack"].unique().to_list() == ["pgd"]
    assert matrix.select("surrogate", "target").rows() == [(a, b) for a in runs for b in runs]


@pytest.mark.parametrize("attack", ["pgd", "pgd from z", "from x", "clean"])
def test_rows_of_no_transfer_are_refused(attack):
    truth = np.zeros(4, int)
    rows = pl.concat([rows_of("x", "clean", truth, truth), rows_of("x", attack, truth, truth)]).unique()
    with pytest.raises(TestudoError, match="no rows of a transfer") as caught:
        Transfer(rows).matrix()
    assert "\n" not in str(caught.value)


def test_everything_is_told_from_rows_alone_and_changes_with_them(models, data, tmp_path):
    found = crossed(models, data)
    (tmp_path / "rows.parquet").write_bytes(sealed(found.rows))
    code = (
        "import sys; from testudo.evaluation.columns import read_rows\n"
        "from testudo.evaluation.transfer import Transfer\n"
        "told = Transfer(read_rows(sys.argv[1])); print(told.markdown(), end=''); told.figures()\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "rows.parquet")], capture_output=True, text=True, check=True
    )
    assert done.stdout == found.markdown()
    at = (pl.col("attack") == "fgsm from one") & (pl.col("run") == "two")
    other = found.rows.with_columns(
        record=pl.when(at).then(pl.lit([0.0, 1.0], pl.List(pl.Float32))).otherwise("record")
    )
    changed = Transfer(other).matrix().filter(surrogate="one", target="two")
    assert changed["success"].item() == 1.0
    assert found.matrix().filter(surrogate="one", target="two")["success"].item() < 1.0


def test_the_heat_map_is_a_drawing_with_every_number_in_it(models, data):
    found = crossed(models, data)
    (panel,) = found.figures()
    drawn = svg(panel)
    ElementTree.fromstring(drawn)
    for value in found.matrix()["success"]:
        assert f"{100 * value:.1f}" in drawn
        assert f"{100 * value:.1f}" in panel.alt
    assert found.matrix().schema == MATRIX
