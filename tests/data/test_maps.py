"""Maps that are decoded batch by batch: what a batch gets, what is wrong with files, what stays as it was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from testudo.data.dataset import Examples
from testudo.data.images import Stored
from testudo.data.loader import Loader
from testudo.data.maps import Decoded
from testudo.errors import TestudoError

COUNT = 7


@dataclass(frozen=True)
class Numbers:
    """Text files of one number: a class map and a float map of it, 2 x 3."""

    root: Path

    def layout(self):
        return {"kind": (2, 3), "height": (1, 2, 3)}

    def files(self, name):
        return [self.root / f"{name}.txt"]

    def opened(self, name):
        def target(task):
            (path,) = self.files(name)
            if not path.exists():
                raise TestudoError(f"numbers: no {path.name}")
            value = float(path.read_text())
            if value == -1 and task == "height":
                raise TestudoError(f"numbers: {path.name} is below 0")
            if task == "kind":
                return path, torch.full((2, 3), 1 if value != value else abs(int(value)), dtype=torch.uint8)
            return path, torch.full((1, 2, 3), value)

        return target


@pytest.fixture
def source(tmp_path):
    for index in range(COUNT):
        (tmp_path / f"n{index}.txt").write_text(str(index))
    return Numbers(tmp_path)


@pytest.fixture
def examples(source):
    maps = Decoded(tuple(f"n{index}" for index in range(COUNT)), source, "numbers")
    images = Stored(torch.zeros(COUNT, 1, 2, 3, dtype=torch.uint8))
    return Examples(images, {"row": torch.arange(COUNT)}, torch.arange(COUNT), maps=maps)


def test_a_batch_has_both_kinds_of_targets(examples):
    targets = examples.batch([4, 0]).targets
    assert list(targets) == ["row", "kind", "height"]
    assert targets["row"].tolist() == targets["kind"][:, 0, 0].tolist() == [4, 0]
    assert targets["kind"].dtype == torch.int64
    assert targets["height"].shape == (2, 1, 2, 3)
    assert targets["height"][:, 0, 1, 2].tolist() == [4.0, 0.0]
    assert examples.batch([]).targets["height"].shape == (0, 1, 2, 3)


def test_take_keeps_order_and_files(examples):
    taken = examples.take([5, 2]).take([1])
    assert taken.batch([0]).targets["height"].flatten()[0] == 2
    assert taken.maps.examples == ("n2",)


def test_nothing_is_read_before_it_is_wanted(examples, source):
    for index in range(COUNT):
        (source.root / f"n{index}.txt").write_text(str(index + 1))
    assert examples.batch([3]).targets["height"].max() == 4


def test_the_fingerprint_knows_every_file(examples, source):
    seen = {examples.fingerprint()}
    for index in range(COUNT):
        (source.root / f"n{index}.txt").write_text("6.5")
        seen.add(examples.fingerprint())
    assert len(seen) == COUNT + 1
    assert replace(examples, maps=None).fingerprint() not in seen


def test_a_missing_file_harms_only_its_own_batch(examples, source):
    (source.root / "n5.txt").unlink()
    assert len(examples.batch([0, 1, 2, 3, 4, 6])) == 6
    for use in (lambda: examples.batch([4, 5]), examples.fingerprint):
        with pytest.raises(TestudoError, match=r"n5\.txt"):
            use()


@pytest.mark.parametrize("workers", [0, 2])
def test_what_was_loaded_before_a_bad_file_is_kept(examples, source, workers):
    (source.root / "n4.txt").unlink()
    batches = Loader(examples, 2, workers=workers)()
    assert [next(batches).ids.tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(TestudoError, match=r"^numbers: no n4\.txt$"):
        next(batches)
    (source.root / "n4.txt").write_text("4")
    assert [batch.ids.tolist() for batch in Loader(examples, 2, workers=workers)(start=2)] == [[4, 5], [6]]


def test_all_faults_are_found_by_example(examples, source):
    (source.root / "n1.txt").unlink()
    (source.root / "n3.txt").write_text("-1")
    (source.root / "n6.txt").write_text("255")
    assert examples.faults() == {
        1: ["numbers: no n1.txt"],  # once, though both maps need it
        3: ["numbers: n3.txt is below 0"],
        6: [f"numbers: '{source.root / 'n6.txt'}' labels no pixel: all of them are unknown"],
    }
    assert examples.problems() == [line for lines in examples.faults().values() for line in lines]


def test_a_map_of_nan_alone_is_refused(examples, source):
    (source.root / "n2.txt").write_text("nan")
    assert [line.split("' ")[1] for line in examples.maps.faults(2)] == ["labels no pixel: all of them are unknown"]


def test_maps_must_be_of_the_same_examples(examples):
    with pytest.raises(TestudoError, match="maps are of 2 examples, images of 7"):
        replace(examples, maps=examples.maps.take(torch.tensor([0, 1])))


def test_parts_are_smaller_where_images_are_large(examples):
    assert [len(part) for part in examples.parts()] == [COUNT]
    large = Examples(Stored(torch.zeros(3, 1, 1, 1).expand(3, 1, 1024, 2048)), {}, torch.arange(3))
    assert [len(part) for part in large.parts()] == [2, 1]


def test_digests_do_not_depend_on_how_many_are_made_at_a_time(examples, monkeypatch):
    before = examples.maps.digests()
    monkeypatch.setattr("testudo.data.maps.BLOCK", 2)
    assert examples.maps.digests() == before
    assert len(set(before)) == COUNT
