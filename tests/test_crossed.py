"""Runs crossed: the white box on the diagonal, rows kept and gone on with, every mistake one line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import tiny
import torch

from testudo.attacks.ensemble import AutoAttack
from testudo.attacks.fgsm import FGSM
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.crossed import transfer
from testudo.data.manifest import Manifest
from testudo.errors import TestudoError
from testudo.evaluation import kept
from testudo.evaluation.evaluate import Evaluation
from testudo.run import Run, train
from testudo.training.methods.standard import Standard

ATTACK = FGSM(Linf(0.1))
SMALL = Evaluation(batch_size=4)  # ten test images: three batches


def trained(root, name, **changes):
    made = replace(tiny.recipe(str(root / "images" / "digits.csv"), seed=len(name), name=name, epochs=1), **changes)
    return train(made, root / name)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two runs with two tasks, one with the first alone, one with the second alone; nothing in them is changed."""
    root = tmp_path_factory.mktemp("crossed")
    tiny.images(root / "images")
    trained(root, "one")
    trained(root, "other")
    for name, task in (("digit-", "digit"), ("parity-", "parity")):
        aimed = PGD(Linf(0.05), Objective((task,)), steps=1, keep="last")
        trained(root, name, tasks=(task,), method=Standard(), validation=aimed, suite={})
    return root


def copied(root, place):
    """The first two, without rows."""
    bare = shutil.ignore_patterns("transfer", "rows")
    return [Run(shutil.copytree(root / name, place / name, ignore=bare)) for name in ("one", "other")]


@pytest.fixture
def runs(root, tmp_path):
    """Copies of them."""
    return copied(root, tmp_path)


def refused(message, *runs, attack=ATTACK):
    with pytest.raises(TestudoError, match=message) as caught:
        transfer(runs, attack, SMALL)
    assert "\n" not in str(caught.value)
    folders = [run.folder if isinstance(run, Run) else run for run in runs]
    assert not any(list(folder.glob("transfer/*")) for folder in folders if folder.name != "digit-")


def test_the_diagonal_is_what_judging_the_run_gives(runs):
    found = transfer(runs, ATTACK, SMALL)
    for run in runs:
        direct = run.rows({"fgsm": ATTACK}, SMALL)
        own = found.rows.filter(run=run.name, attack=f"fgsm linf 0.1 from {run.name}")
        for task in ("digit", "parity"):
            assert own.filter(task=task).drop("attack").equals(direct.filter(task=task).drop("attack"), null_equal=True)


def test_a_copy_of_a_run_is_fooled_exactly_as_the_run_itself(root, tmp_path):
    twin = shutil.copytree(root / "one", tmp_path / "twin")
    matrix = transfer([root / "one", twin], ATTACK).matrix()
    white = [matrix.filter(task=task).drop("surrogate", "target").unique() for task in ("digit", "parity")]
    assert len(matrix) == 8
    assert [len(cell) for cell in white] == [1, 1]


def test_two_links_to_one_run_are_two_names_for_it(root, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).symlink_to(root / "one")
    matrix = transfer([tmp_path / "first", tmp_path / "second"], ATTACK).matrix()
    assert set(matrix["surrogate"]) == set(matrix["target"]) == {"first", "second"}
    assert len(matrix.drop("surrogate", "target").unique()) == 2  # a line for each task


def test_a_part_of_the_examples_has_rows_of_its_own(runs):
    whole, part = (transfer(runs, ATTACK, Evaluation(batch_size=4, examples=n)).matrix() for n in (0, 4))
    assert set(whole["n"]) == {10}
    assert set(part["n"]) == {4}


def test_order_and_a_third_run_change_no_number(root):
    runs = [root / name for name in ("one", "other", "digit-")]
    keys = ["surrogate", "target", "task"]
    three = transfer(runs, ATTACK).matrix().sort(keys)
    assert transfer(runs[::-1], ATTACK).matrix().sort(keys).equals(three)
    two = transfer(runs[:2], ATTACK).matrix().sort(keys)
    both = three.filter(three["surrogate"] != "digit-", three["target"] != "digit-")
    assert two.equals(both)
    pairs = set(three.select("surrogate", "target", "task").rows())
    assert ("digit-", "one", "digit") in pairs
    assert not any("digit-" in pair[:2] and pair[2] == "parity" for pair in pairs)  # which it does not know


def test_rows_are_made_once_and_told_by_the_names_of_now(runs, monkeypatch):
    told = []
    first = transfer(runs, ATTACK, SMALL, lambda name, share: told.append((name, share)))
    assert [name for name, _ in told] == [f"fgsm linf 0.1 from {name}" for name in ("one", "other") for _ in range(4)]
    assert [share for _, share in told] == pytest.approx([0, 1 / 3, 2 / 3, 1, 1, 4 / 3, 5 / 3, 2])
    moved = runs[0].folder.rename(runs[0].folder.with_name("renamed"))
    monkeypatch.setattr(FGSM, "search", None)  # nothing is made again, in whatever order, with whatever batches
    again = transfer([runs[1].folder, moved], ATTACK, Evaluation(batch_size=128))
    old, new = first.matrix(), again.matrix()
    for side in ("surrogate", "target"):
        new = new.with_columns(new[side].replace("renamed", "one"))
    keys = ["surrogate", "target", "task"]
    assert new.sort(keys).equals(old.sort(keys))


def test_another_attack_or_other_weights_are_made_anew(runs):
    transfer(runs, ATTACK, SMALL)
    transfer(runs, FGSM(Linf(0.2)), SMALL)
    files = {path.name for path in (runs[0].folder / "transfer").iterdir()}
    assert len(files) == 2
    second = runs[1].folder
    train(replace(runs[1].recipe, seed=7), second.with_name("third"))
    transfer([runs[0], second.with_name("third")], ATTACK, SMALL)
    assert len(list((runs[0].folder / "transfer").iterdir())) == 3


def test_a_stopped_transfer_goes_on_and_ends_as_an_undisturbed_one(runs, root, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "SAVE_EVERY", -1.0)
    real, made = FGSM.search, []

    def tired(self, problem):
        made.append(1)
        if len(made) in (2, 4):
            raise KeyboardInterrupt
        return real(self, problem)

    monkeypatch.setattr(FGSM, "search", tired)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            transfer(runs, ATTACK, SMALL)
    found = transfer(runs, ATTACK, SMALL)
    assert len(made) == 2 * 3 + 2  # six batches, and the two that were cut off
    straight = transfer(copied(root, tmp_path / "straight"), ATTACK, SMALL)
    assert found.rows.equals(straight.rows, null_equal=True)
    assert not list(runs[0].folder.glob("transfer/*.parts"))


def test_damaged_rows_are_told(runs):
    transfer(runs, ATTACK, SMALL)
    (path,) = (runs[0].folder / "transfer").iterdir()
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(TestudoError, match=path.name) as caught:
        transfer(runs, ATTACK, SMALL)
    assert "\n" not in str(caught.value)


def test_runs_of_one_name_are_told_by_their_paths(runs, tmp_path):
    twin = shutil.copytree(runs[1].folder, tmp_path / "elsewhere" / "one")
    matrix = transfer([runs[0], twin], ATTACK).matrix()
    assert set(matrix["target"]) == {runs[0].folder.as_posix(), twin.as_posix()}


def test_what_cannot_be_crossed_is_one_line(root, runs, tmp_path):
    one, other = runs
    refused("needs two runs or more, got 1", one)
    refused("is given twice", one, Run(one.folder / ".." / "one"))
    refused("digit- and parity- have no task in common", root / "digit-", root / "parity-")
    refused(
        "digit-: attack .*: unknown task 'parity'", one, root / "digit-", attack=FGSM(Linf(0.1), Objective(("parity",)))
    )
    refused("one: attack .*autoattack attacks one classification task", one, other, attack=AutoAttack())
    refused("rows have one eps per attack", one, other, attack=FGSM(Linf(torch.tensor([0.1, 0.2]))))
    refused("no run folder", one, tmp_path / "nothing")
    file = Manifest(tiny.images(tmp_path / "more", 48))
    refused("one and new have different test examples", one, trained_on(file, tmp_path / "new"))
    (other.folder / "best.safetensors").unlink()
    refused("no trained weights yet", one, other)


def trained_on(data, folder):
    return train(replace(tiny.recipe(data.file, epochs=1, name="new"), data=data), folder)


def test_data_that_changed_since_is_refused(runs):
    for run in runs:
        facts = json.loads((run.folder / "run.json").read_text())
        del facts["sha256"]
        facts["data"]["test"] = "0" * 64
        (run.folder / "run.json").write_text(json.dumps(facts))
    refused("has changed since it was trained", *(run.folder for run in runs))
