import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from testudo.data.splits import generator, share, stratified
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
