"""A share of another data set's training images: nested, in proportion, nothing else touched."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from testudo.data.cifar import CIFAR10
from testudo.data.digits import Digits
from testudo.data.fraction import Fraction, nested
from testudo.data.manifest import Manifest
from testudo.data.pixel_labels import ImageLabel
from testudo.data.wrapped import undivided
from testudo.data.xray import NIH
from testudo.errors import TestudoError
from testudo.parts import build, dump

writers = SimpleNamespace(**run_path(str(Path(__file__).with_name("writers.py"))))
SHARES = (0.01, 0.1, 0.25, 0.5, 1.0)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(-1, 5), min_size=1, max_size=60), st.integers(0, 3))
def test_every_beginning_holds_each_class_in_proportion(classes, seed):
    classes = torch.tensor(classes)
    order = nested(classes, seed)
    assert sorted(order.tolist()) == list(range(len(classes)))
    kinds = classes.unique()
    known = [kind for kind in kinds.tolist() if kind >= 0]
    assert {*classes[order[: len(known)]].tolist()} == {*known} or not known
    for count in range(len(known), len(classes) + 1):
        for kind in kinds.tolist():
            here, share = int((classes[order[:count]] == kind).sum()), float((classes == kind).float().mean())
            # each class may hold one before its turn, and yields so many places to the others
            assert -len(known) * share - 1 <= here - count * share <= 1 + 1e-6


@pytest.mark.parametrize("seed", [0, 1])
def test_smaller_shares_are_parts_of_larger_ones(seed):
    parts = [Fraction(Digits(), share=share, seed=seed).load("train") for share in SHARES]
    for small, large in itertools.pairwise(parts):
        assert set(small.ids.tolist()) < set(large.ids.tolist())
    whole = Digits().load("train")
    assert parts[-1].ids.tolist() == whole.ids.tolist()
    for share, part in zip(SHARES[1:], parts[1:], strict=False):
        assert len(part) == round(share * len(whole))
        of_each = part.targets["digit"].bincount() / whole.targets["digit"].bincount()
        assert (of_each - share).abs().max() <= 1.5 / 101  # 101 is the fewest of a digit
    assert parts[0].targets["digit"].bincount(minlength=10).min() == 1  # 10 images, one of each
    other = Fraction(Digits(), share=0.1, seed=seed + 1).load("train")
    assert other.ids.tolist() != parts[1].ids.tolist()


def test_val_test_tasks_and_statistics_are_untouched():
    whole = Digits(derived=(ImageLabel("image", channels=1),))
    tenth = Fraction(whole, share=0.1)
    assert tenth.tasks() == whole.tasks()
    assert tenth.statistics() == whole.statistics()
    for split in ("val", "test"):
        assert tenth.load(split).fingerprint() == whole.load(split).fingerprint()
    train = tenth.load("train")
    assert list(train.batch([0]).targets) == ["digit", "parity", "loop", "image"]
    every = whole.load("train")
    place = every.ids.tolist().index(int(train.ids[3]))
    assert torch.equal(train.batch([3]).images, every.batch([place]).images)
    assert train.note == "105 of 1,047 training images (0.1), drawn by class of digit with seed 0"


def test_without_classes_it_is_drawn_from_all_alike(tmp_path):
    dataset = NIH(str(writers.nih(tmp_path)), size=16)
    half = Fraction(dataset, share=0.5).load("train")
    assert len(half) == round(len(dataset.load("train")) / 2)
    assert "drawn at random" in half.note
    assert Fraction(dataset).tasks() == dataset.tasks()


def test_rare_classes_and_unknown_labels(tmp_path):
    dataset = Manifest(writers.animals(tmp_path), columns={"breed": "classification"})
    few = Fraction(dataset, share=0.01).load("train")
    assert sorted(few.targets["breed"].tolist()) == [0, 1, 2]  # rounds to none, but one of each


def test_a_fraction_of_a_fraction_and_recipes(tmp_path):
    inner = Fraction(Digits(), share=0.5)
    nested_ = Fraction(inner, share=0.5).load("train")
    assert set(nested_.ids.tolist()) < set(inner.load("train").ids.tolist())
    made = build(type(inner).__mro__[2], {"kind": "fraction", "share": 0.5, "data": {"kind": "digits", "size": 16}})
    assert made == Fraction(Digits(size=16), share=0.5)
    assert build(type(inner).__mro__[2], dump(made)) == made
    assert undivided(Fraction(CIFAR10(val_share=0.1))) == Fraction(CIFAR10(val_share=0.0))
    assert replace(made, share=1.0).load("val").size == (16, 16)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_impossible_shares_are_refused(share):
    with pytest.raises(TestudoError, match="fraction: share must be above 0 and at most 1"):
        Fraction(Digits(), share=share)
