"""1,000 random damages to files: each is refused in one line, or does no harm; none is taken for what it is not.

What a file means is compared with what it meant before. Files that testudo writes for itself carry a checksum, and may
only mean the same or be refused. Recipes and manifests are people's own, have none, and may come to mean something else
(another learning rate, another label): then it must be something valid, and a run that was made with the file as it was
must notice.
"""

from __future__ import annotations

import json
import random
import shutil

import polars as pl
import pytest
import tiny
import torch
from damage import damaged

from testudo import cli, tensor_file
from testudo.data.cache import cached
from testudo.data.manifest import Manifest
from testudo.errors import TestudoError
from testudo.evaluation.columns import ROWS, read_rows
from testudo.evaluation.kept import Kept
from testudo.files import write_atomic
from testudo.parts import build, dump
from testudo.recipe import Recipe, read
from testudo.reports.study import read_gallery, read_study
from testudo.run import Run, check_suite, train
from testudo.studies import quickstart
from testudo.studies.runner import Runner

COUNTS = {
    "recipe": 160, "recipe of a run": 60, "manifest": 140, "rows": 100, "log": 100, "run.json": 100, "study.json": 100,
    "gallery": 100, "best": 50, "last": 50, "part": 20, "cache": 20,
}  # fmt: skip
STUDY = (
    "seeds=[0]",
    "epochs=1",
    "adversarial_epochs=1",
    "linf=[0.1]",
    "train_steps=1",
    "batch_size=20",
    "model.width=2",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A trained and judged run, and a study, to be damaged and mended."""
    root = tmp_path_factory.mktemp("home")
    file = tiny.images(root / "images", 36)
    made = tiny.recipe(file)
    tiny.saved(made, root / "tiny.toml")
    train(made, root / "run").rows({"clean": None, **made.suite})
    words = ["study", "quickstart", "--data", "manifest", "--data-dir", file, "--out", str(root / "study")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quickstart, "STEPS", 1)
        patch.setattr(Runner, "__call__", tiny.one_by_one)
        assert cli.run(words + [word for change in STUDY for word in ("--set", change)]) == 0
    return root


def outcomes(kind, path, use):
    """What ``use(path)`` gives of each damaged content, None where it is refused in one line; what it gave before."""
    whole, draw, found = path.read_bytes(), random.Random(kind), []
    before = use(path)
    try:
        for content in damaged(whole, COUNTS[kind], draw):
            path.write_bytes(content)
            try:
                found.append(use(path))
            except TestudoError as error:
                found.append(str(error) if "\n" in str(error) else None)  # more than a line is no refusal
    finally:
        path.write_bytes(whole)
    return found, before


def test_there_are_a_thousand():
    assert sum(COUNTS.values()) == 1000


def rows(path):
    return read_rows(path).write_json()


def facts(path):
    run = Run(path.parent)
    return json.dumps(run.facts, sort_keys=True), repr(run.tasks)


def gallery(path):
    held = read_gallery(path.parent)
    return [part.tobytes() for part in (held.images, held.adversarial, held.maps)], repr(held.meta)


def tensors(path):
    held, told = tensor_file.load(path)
    return {name: (str(t.dtype), t.shape, t.numpy().tobytes()) for name, t in held.items()}, repr(told)


SEALED = {
    "rows": ("run/rows/*.parquet", rows),
    "run.json": ("run/run.json", facts),
    "study.json": ("study/study.json", lambda path: repr(read_study(path.parent))),
    "gallery": ("study/gallery.npz", gallery),
    "best": ("run/best.safetensors", tensors),
    "last": ("run/last.safetensors", tensors),
}


@pytest.mark.parametrize("kind", SEALED)
def test_what_testudo_wrote_means_the_same_or_is_refused(home, kind):
    name, use = SEALED[kind]
    found, before = outcomes(kind, sorted(home.glob(name))[0], use)
    assert all(meaning in (None, before) for meaning in found)
    assert found.count(None) > 0.8 * len(found)


def test_a_log_means_the_same_or_that_less_was_trained_or_is_refused(home):
    found, before = outcomes("log", home / "run" / "log.jsonl", lambda path: Run(path.parent).log)
    assert len(before) == 2
    assert all(log is None or log == before[: len(log)] for log in found)
    assert found.count(None) > 0.8 * len(found)


def test_a_log_that_lost_epochs_is_written_anew_from_the_checkpoint(home, tmp_path):
    run = shutil.copytree(home / "run", tmp_path / "run")
    whole = (run / "log.jsonl").read_bytes()
    (run / "log.jsonl").write_bytes(whole.splitlines(keepends=True)[0])
    assert not Run(run).finished
    train(run)
    assert (run / "log.jsonl").read_bytes() == whole


def checked(path):
    """A recipe as plain values, after all that is checked before anything is trained."""
    recipe = read(path)
    recipe.learnt()
    check_suite({"validation": recipe.validation, **recipe.suite}, {task.name: task for task in recipe.chosen()})
    assert build(Recipe, dump(recipe)) == recipe
    return dump(recipe)


def test_a_recipe_is_valid_or_refused(home):
    found, before = outcomes("recipe", home / "tiny.toml", checked)
    assert found.count(None) > 0.5 * len(found)
    assert any(recipe not in (None, before) for recipe in found)  # another recipe, as good as this one


def weights(path):
    model = Run(path.parent).model()
    return [value.numpy().tobytes() for value in model.state_dict().values()], repr(model)


def test_a_run_notices_that_its_recipe_is_another(home):
    found, before = outcomes("recipe of a run", home / "run" / "recipe.toml", weights)
    assert all(meaning in (None, before) for meaning in found)


def content(path):
    """By split the fingerprint, and everything that it stands for."""
    data = Manifest(str(path))
    assert isinstance(data.check(), list)
    assert all("\n" not in line for line in (*data.check(), *data.describe()))
    told = {}
    for split in data.splits:
        examples = data.load(split)
        batch = examples.batch(range(len(examples)))
        parts = {"images": batch.images, "ids": batch.ids, **batch.targets}
        told[split] = examples.fingerprint(), {name: part.numpy().tobytes() for name, part in parts.items()}
    return told


def test_a_manifest_is_refused_or_has_a_fingerprint_of_what_it_says(home):
    found, before = outcomes("manifest", home / "images" / "digits.csv", content)
    splits = [(told[split], before[split]) for told in found if told for split in told]
    assert all((one[0] == other[0]) == (one[1] == other[1]) for one, other in splits)
    assert any(one[0] != other[0] for one, other in splits)
    assert any(one[0] == other[0] for one, other in splits)


def test_a_part_of_rows_that_is_damaged_is_made_again(tmp_path):
    batches = [pl.DataFrame({"run": ["r"], "example": [n]}).select(
        pl.col(name) if name in ("run", "example") else pl.lit(None, kind).alias(name) for name, kind in ROWS.items()
    ) for n in range(4)]  # fmt: skip
    kept = Kept(tmp_path / "a.parquet", 1, write_atomic)
    kept._save(batches[:3], 0)
    (path,) = kept.folder.iterdir()
    whole, draw = path.read_bytes(), random.Random(0)
    for worse in damaged(whole, COUNTS["part"], draw):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(worse)
        (tmp_path / "a.parquet").unlink(missing_ok=True)
        made = kept.rows(lambda start: iter(batches[start:]), lambda done: None)
        assert made.equals(pl.concat(batches), null_equal=True)


def test_a_damaged_cache_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("TESTUDO_CACHE", str(tmp_path))
    made = {"a": torch.arange(5.0)}
    cached(("key",), lambda: made)
    (path,) = tmp_path.iterdir()
    whole, draw = path.read_bytes(), random.Random(0)
    for worse in damaged(whole, COUNTS["cache"], draw):
        path.write_bytes(worse)
        assert torch.equal(cached(("key",), lambda: made)["a"], made["a"])
        assert path.read_bytes() == whole
