"""Imports point down only, also those inside functions; what must stay light stays so."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import testudo

HOME = Path(testudo.__file__).parent
FILES = sorted(HOME.rglob("*.py"))
# From the ground up. A room may import itself and rooms of lower floors: so training and evaluation do not
# know each other, and reports stand on the ground.
FLOORS = [
    {"errors"},
    {"files", "overrides", "tensors", "registry", "environment", "memory", "processes"},
    {"progress"},
    {"tensor_file", "reports", "geometry"},
    {"tasks", "balance"},
    {"data"},
    {"models"},
    {"attacks"},
    {"training", "evaluation"},
    {"parts"},
    {"recipe"},
    {"facts"},
    {"run", "suite"},
    {"search", "crossed", "labelling"},
    {"studies"},
    {"commands"},
    {"cli"},
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def imports(source: str, room: str) -> set[str]:
    """Full dotted names of everything that ``source`` imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {room}"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms(names: set[str]) -> set[str]:
    """The rooms of this package among imported names."""
    return {name.split(".")[1] for name in names if name.startswith("testudo.")}


def room_of(path: Path) -> str:
    return path.relative_to(HOME).parts[0].removesuffix(".py")


def climbs(source: str, room: str) -> set[str]:
    """The rooms that ``source`` must not import, being in ``room``."""
    allowed = {other for other in FLOOR if FLOOR[other] < FLOOR[room]} | {room}
    if room == "reports":
        allowed = {"errors", "files", "reports"}
    return rooms(imports(source, room)) - allowed


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.parent != HOME or p.name != "__init__.py"], ids=lambda p: str(p.relative_to(HOME))
)
def test_imports_point_down(path):
    assert room_of(path) in FLOOR, f"a new room: give {room_of(path)!r} a floor in this test"
    assert not climbs(path.read_text(), room_of(path))


@pytest.mark.parametrize(
    ("source", "room", "caught"),
    [
        ("from testudo.training.trainer import Trainer", "evaluation", {"training"}),
        ("def f():\n    import testudo.models.fast", "tasks", {"models"}),
        ("from testudo import attacks", "models", {"attacks"}),
        ("from testudo.tensors import norms", "reports", {"tensors"}),
        ("from testudo.models.fast import fast", "attacks", set()),
    ],
)
def test_this_test_can_fail(source, room, caught):
    assert climbs(source, room) == caught


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(HOME)))
def test_unwelcome_imports(path):
    """The machine's torchvision may not import; reports are read where there is no torch."""
    tops = {name.split(".")[0] for name in imports(path.read_text(), room_of(path))}
    assert "torchvision" not in tops
    assert "testudo" not in tops or path != HOME / "__init__.py"
    if room_of(path) in ("reports", "errors", "registry", "progress"):
        assert not tops & {"torch", "torchmetrics", "lightning_fabric"}


def test_sub_packages_hold_only_a_docstring():
    for path in HOME.glob("*/**/__init__.py"):
        (only,) = ast.parse(path.read_text()).body
        assert isinstance(only, ast.Expr)


REPORTS = [f"testudo.reports.{path.stem}" for path in (HOME / "reports").glob("*.py")]


@pytest.mark.parametrize(
    "names", [["testudo"], ["testudo.cli", "testudo.registry"], REPORTS], ids=["top", "cli", "reports"]
)
def test_torch_is_not_imported(names):
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
