"""CIFAR-10 and CIFAR-100 from disk: the official python batches, or the hub's Parquet files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from testudo.data.dataset import DataSet, Examples, joined
from testudo.data.derived import Derived, Relabel
from testudo.data.hub import hub_files, read_hub
from testudo.data.images import Files, Stored, is_jpeg
from testudo.data.pickles import read_batches
from testudo.data.place import place
from testudo.data.splits import share, stratified
from testudo.errors import TestudoError
from testudo.tasks.classification import Classification
from testudo.tasks.task import Task

SHAPE = (3, 32, 32)
PUBLISHED = {"train": 50_000, "test": 10_000}

OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FINE = tuple(
    """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm""".split()  # noqa: SIM905 (a list of a hundred would fill a hundred lines)
)
COARSE = tuple(
    """aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
    household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes
    large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees
    vehicles_1 vehicles_2""".split()  # noqa: SIM905 (as above)
)


@dataclass(frozen=True)
class _Cifar(DataSet):
    """What the two sets share; see :class:`CIFAR10`."""

    root: str = ""
    val_share: float = 0.05
    seed: int = 0
    train_limit: int = 0
    test_limit: int = 0

    name: ClassVar[str]
    folder: ClassVar[str]  # of the python batches
    batches: ClassVar[Mapping[str, tuple[str, ...]]]
    keys: ClassVar[Mapping[str, bytes]]  # by task, in the python batches
    columns: ClassVar[Mapping[str, str]]  # by task, in the Parquet files
    labels: ClassVar[Mapping[str, tuple[str, ...]]]
    moments: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]]

    def __post_init__(self) -> None:
        share(1, self.val_share, f"{self.name}: val_share")
        if self.train_limit < 0 or self.test_limit < 0:
            found = f"{self.train_limit} and {self.test_limit}"
            raise TestudoError(f"{self.name}: train_limit and test_limit must be 0 (all) or more, got {found}")

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The published set's, whatever part of it is here."""
        return self.moments

    def labelled(self) -> tuple[Task, ...]:
        """The published labels."""
        return tuple(Classification(name, classes=len(names), labels=names) for name, names in self.labels.items())

    def read(self, split: str) -> Examples:
        """The images of ``split``, limited as asked."""
        part = "test" if split == "test" else "train"
        examples = self._published(part)
        main = examples.targets[next(iter(self.labels))]
        if len(examples) < PUBLISHED[part]:
            kind = {"train": "training", "test": "test"}[part]
            examples = replace(examples, note=f"{len(examples):,} of {PUBLISHED[part]:,} {kind} images")
        if part == "train":
            count = share(len(examples), self.val_share, "val_share")
            if split == "val" and not count:
                raise TestudoError(f"{self.name}: no val examples: val_share is {self.val_share:g}")
            val = stratified(main, count, self.seed)
            note = f"{count:,} training images held out as val" if split == "val" else ""
            examples = examples.take((val if split == "val" else ~val).nonzero()[:, 0], note)
        limit = {"train": self.train_limit, "val": 0, "test": self.test_limit}[split]
        return _decoded(self._limited(examples, limit))

    def _limited(self, examples: Examples, limit: int) -> Examples:
        if not 0 < limit < len(examples):
            return examples
        chosen = stratified(examples.targets[next(iter(self.labels))], limit, self.seed)
        note = f"limited to {limit:,} of {len(examples):,}, chosen by class with seed {self.seed}"
        return examples.take(chosen.nonzero()[:, 0], note)

    def _published(self, part: str) -> Examples:
        """All images of the published ``part`` that are here, not decoded where they come encoded."""
        root = place(self.name, self.root, self.name, f"{self.folder} or of Parquet files")
        files = hub_files(root, part)
        for folder in (root / self.folder, root):
            if any((folder / file).is_file() for files_ in self.batches.values() for file in files_):
                examples = read_batches([folder / file for file in self.batches[part]], self.keys)
                break
        else:
            if not files:
                raise TestudoError(
                    f"{self.name}: {str(root)!r} has no Parquet file {part}*.parquet and no folder {self.folder}"
                )
            examples = read_hub(files, self.columns, SHAPE)
        if not len(examples):
            raise TestudoError(f"{self.name}: no {part} images in {str(root)!r}")
        for task in self.labelled():
            try:
                task.check(examples.targets[task.name])
            except TestudoError as error:
                raise TestudoError(f"{self.name}: {str(root)!r}, {part}: {error}") from error
        return examples


@dataclass(frozen=True)
class CIFAR10(_Cifar):
    """CIFAR-10 (Krizhevsky 2009): 32x32 RGB photographs of ten kinds of object, 50,000 for training, 10,000 test.

    Tasks: ``object`` (10 classes) and ``vehicle`` (airplane, automobile, ship, truck against the animals: GAT's
    macro classes). Ids are places in the published order, of the training or of the test part.

    Args:
        root: the folder of ``cifar-10-batches-py`` (or that folder itself), or of Parquet files (in it or one
            level down: columns ``img`` and ``label``, and optionally ``original_index``); empty:
            ``cifar10`` in the folder named by TESTUDO_DATA, or in ``../shared/data``.
        val_share: this share of the training images is for validation, the same share of every class.
        seed: decides which, and which ones a limit keeps.
        train_limit, test_limit: keep only so many, in proportion to the classes; 0 keeps all.

    Raises:
        TestudoError: one line naming the missing or damaged file (and row), on use.

    >>> [task.name for task in CIFAR10().tasks()]
    ['object', 'vehicle']
    """

    builtin: ClassVar[tuple[Derived, ...]] = (
        Relabel("vehicle", "object", ((2, 3, 4, 5, 6, 7), (0, 1, 8, 9)), ("animal", "vehicle")),
    )
    name: ClassVar[str] = "cifar10"
    folder: ClassVar[str] = "cifar-10-batches-py"
    batches: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
        "test": ("test_batch",),
    }
    keys: ClassVar[Mapping[str, bytes]] = {"object": b"labels"}
    columns: ClassVar[Mapping[str, str]] = {"object": "label"}
    labels: ClassVar[Mapping[str, tuple[str, ...]]] = {"object": OBJECTS}
    # over the 50,000 published training images, as is customary (RobustBench and others print the same)
    moments: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = (
        (0.4914, 0.4822, 0.4465),
        (0.2470, 0.2435, 0.2616),
    )


@dataclass(frozen=True)
class CIFAR100(_Cifar):
    """CIFAR-100 (Krizhevsky 2009): as CIFAR-10, with 100 fine and 20 coarse classes.

    Tasks: ``fine`` and ``coarse``. Arguments and errors as in :class:`CIFAR10`, with the folder
    ``cifar-100-python``, the columns ``fine_label`` and ``coarse_label``, and the default folder ``cifar100``.

    >>> [(task.name, task.channels) for task in CIFAR100().tasks()]
    [('fine', 100), ('coarse', 20)]
    """

    name: ClassVar[str] = "cifar100"
    folder: ClassVar[str] = "cifar-100-python"
    batches: ClassVar[Mapping[str, tuple[str, ...]]] = {"train": ("train",), "test": ("test",)}
    keys: ClassVar[Mapping[str, bytes]] = {"fine": b"fine_labels", "coarse": b"coarse_labels"}
    columns: ClassVar[Mapping[str, str]] = {"fine": "fine_label", "coarse": "coarse_label"}
    labels: ClassVar[Mapping[str, tuple[str, ...]]] = {"fine": FINE, "coarse": COARSE}
    # over the 50,000 published training images, as is customary
    moments: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = (
        (0.5071, 0.4865, 0.4409),
        (0.2673, 0.2564, 0.2762),
    )


def _decoded(examples: Examples) -> Examples:
    """The examples with their images in memory, and a note where those were JPEGs."""
    if not isinstance(examples.images, Files):
        return examples
    lossy = any(is_jpeg(item) for item in examples.images.items)
    pixels = examples.images.pixels(torch.arange(len(examples)))
    note = joined(examples.note, "decoded from lossy JPEG files" if lossy else "")
    return replace(examples, images=Stored(pixels), note=note)
