"""Small files, small functions, a docstring for everything public, nothing left to do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
ALL = SOURCES + sorted(path for room in ("tests", "benchmarks") for path in (ROOT / room).rglob("*.py"))
FILE, FUNCTION, PARAMETERS = 300, 40, 7
UNFINISHED = ("TO" + "DO", "FIX" + "ME", "XX" + "X")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> list[Function]:
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def length(node: Function) -> int:
    """Lines from ``def`` to the end, without the docstring's."""
    lines = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def parameters(node: Function) -> int:
    """How many, without self and cls."""
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    names += [a.arg for a in (node.args.vararg, node.args.kwarg) if a]
    return len([name for name in names if name not in ("self", "cls")])


def undocumented(tree: ast.AST, public: bool = True) -> list[str]:
    """Public functions and classes without a docstring, methods included; functions inside functions are not."""
    found = []
    for node in getattr(tree, "body", []):
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_") and public:
            if ast.get_docstring(node) is None:
                found.append(node.name)
            if isinstance(node, ast.ClassDef):
                found += undocumented(node)
    return found


def breaches(source: str) -> list[str]:
    """Everything in ``source`` that is over the budget."""
    tree, lines = ast.parse(source), source.count("\n")
    found = [f"{lines} lines"] if lines > FILE else []
    for node in functions(tree):
        if length(node) > FUNCTION:
            found.append(f"{node.name}: {length(node)} lines")
        if parameters(node) > PARAMETERS:
            found.append(f"{node.name}: {parameters(node)} parameters")
    return found + [word for word in UNFINISHED if word in source]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", ALL, ids=name)
def test_budget(path):
    assert not breaches(path.read_text())


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_everything_public_has_a_docstring(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    assert not undocumented(tree)


def test_this_test_can_fail():
    long = "def f():\n" + '    """' + "x\n" * 50 + '"""\n' + "    a = 1\n" * FUNCTION
    assert breaches(long) == [f"f: {FUNCTION + 1} lines"]
    assert breaches("class A:\n    def f(self, a, b, c, d, e, f, *g, h): pass\n") == ["f: 8 parameters"]
    assert breaches("a = 1\n" * 301) == ["301 lines"]
    assert breaches(f"# {UNFINISHED[0]}: later\n") == [UNFINISHED[0]]
    assert undocumented(ast.parse("class A:\n    'doc'\n    def f(self): pass\n    def _g(self): pass")) == ["f"]
