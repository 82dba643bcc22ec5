import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from testudo.data.splits import generator, held_out, share, stratified
from testudo.errors import TestudoError

classes = st.lists(st.integers(-1, 4), max_size=60)


@given(classes, st.floats(0, 1), st.integers(0, 2**40))
def test_exactly_so_many_and_each_class_its_share(values, part, seed):
    labels = torch.tensor(values, dtype=torch.int64)
    count = round(part * len(values))
    chosen = stratified(labels, count, seed)
    assert int(chosen.sum()) == count
    for label in set(values):
        members = labels == label
        fair = count * int(members.sum()) / len(values)
        assert abs(int(chosen[members].sum()) - fair) < 1


def test_the_seed_alone_decides():
    labels = torch.arange(200) % 3
    assert torch.equal(stratified(labels, 50, 1), stratified(labels, 50, 1))
    assert not torch.equal(stratified(labels, 50, 1), stratified(labels, 50, 2))


def test_streams_differ_by_each_number():
    draws = {torch.rand(1, generator=generator(*stream)).item() for stream in ((0,), (0, 0), (0, 1), (1, 0), (-1, 0))}
    assert len(draws) == 5


@pytest.mark.parametrize("count", [-1, 4])
def test_more_than_there_are_is_refused(count):
    with pytest.raises(TestudoError, match=f"cannot choose {count} of 3"):
        stratified(torch.zeros(3, dtype=torch.int64), count, 0)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_share_outside_its_range(fraction):
    with pytest.raises(TestudoError, match="val_share must be"):
        share(100, fraction, "val_share")


def test_share_rounds_but_never_to_nothing():
    assert [share(100, 0.0, ""), share(100, 0.05, ""), share(3, 0.01, ""), share(1, 0.5, "")] == [0, 5, 1, 0]


groups = st.lists(st.integers(0, 6), max_size=60)


@given(groups, st.floats(0, 0.99), st.integers(0, 2**40))
def test_groups_are_held_out_whole_and_near_their_share(values, part, seed):
    labels = torch.tensor(values, dtype=torch.int64)
    chosen = held_out(labels, part, seed)
    inside, outside = set(labels[chosen].tolist()), set(labels[~chosen].tolist())
    assert not inside & outside
    assert bool(outside) == bool(values)
    assert bool(inside) == (len(set(values)) > 1 and part > 0)
    largest = max((values.count(value) for value in values), default=0)
    if len(inside) > 1:  # the last group's middle lies before the share
        assert len(labels[chosen]) <= part * len(values) + largest / 2
    assert torch.equal(chosen, held_out(labels, part, seed))


def test_groups_are_drawn_by_the_seed():
    assert len({tuple(held_out(torch.arange(9), 0.3, seed).tolist()) for seed in range(20)}) > 10
