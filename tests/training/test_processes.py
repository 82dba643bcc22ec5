"""Several processes on one run: a step is the same however its batch is spread."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

import testudo as td
from testudo import tensor_file
from testudo.parts import to_toml
from testudo.processes import part
from testudo.run import Run, train
from testudo.training.methods.free import Free

DRIVER = Path(__file__).with_name("process_driver.py")
driver = runpy.run_path(str(DRIVER))


def launch(script, *arguments):
    """Run ``script`` on two processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(DRIVER.with_name(script)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes made of each case."""
    folder = tmp_path_factory.mktemp("two")
    done = launch("process_driver.py", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("case", driver["cases"]())
def test_two_processes_make_the_steps_of_one(two, case):
    expected = driver["trained"](driver["cases"]()[case])
    found, _ = tensor_file.load(two / f"{case}.safetensors")
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_a_run_of_two_processes_is_that_of_one_and_goes_on_bit_for_bit(tmp_path):
    """With a method that keeps tensors of each process's own."""
    made = tiny.recipe(tiny.images(tmp_path / "images"), Free(replays=2, threat=td.Linf(0.1)))
    file = tmp_path / "recipe.toml"
    file.write_text(to_toml(made))
    for name, stop in (("straight", 0), ("broken", 5), ("broken", 0)):
        done = launch("run_driver.py", file, tmp_path / name, stop)
        assert (done.returncode == 0) == (stop == 0), done.stderr[-3000:]
    straight, broken = (Run(tmp_path / name) for name in ("straight", "broken"))
    assert tiny.same_run(straight, broken) is None
    alone = train(made, tmp_path / "alone")
    assert straight.log[-1]["terms"] == pytest.approx(alone.log[-1]["terms"], rel=1e-3)
    assert straight.facts["data"] == alone.facts["data"]


@given(st.integers(1, 300), st.integers(1, 9))
def test_parts_are_all_rows_once_and_none_is_empty(rows, of):
    cut = [range(rows)[part(rows, which, of)] for which in range(of)]
    assert [row for rows_of in cut for row in rows_of] == list(range(rows))
    if rows >= of:
        assert all(cut)
    if rows >= 4 * of:  # pairs of neighbours stay together, and nobody has two pairs more than another
        assert all(rows_of.start % 2 == 0 for rows_of in cut)
        assert max(map(len, cut)) - min(map(len, cut)) <= 4
