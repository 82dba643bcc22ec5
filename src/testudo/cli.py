"""The command line: ``testudo VERB ...``, each verb imported on use."""

from __future__ import annotations

import contextlib
import inspect
import io
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from testudo.environment import leading
from testudo.errors import TestudoError, one_line, unknown

VERBS = {
    "train": ("testudo.commands.train:train", "train a recipe into a run folder, or go on with one"),
    "search": (
        "testudo.commands.search:search",
        "train a recipe with several values of a field, and choose",
    ),
    "evaluate": ("testudo.commands.evaluate:evaluate", "judge a run by a suite of attacks"),
    "diagnose": ("testudo.commands.diagnose:diagnose", "is a run's robustness real: checks for masked gradients"),
    "attack": ("testudo.commands.attack:attack", "attack image files with a run's model"),
    "compare": ("testudo.commands.evaluate:compare", "one run against another, on the same examples"),
    "transfer": ("testudo.commands.transfer:transfer", "images made against each run, judged by the others"),
    "study": ("testudo.commands.study:study", "run a grid of recipes and report it"),
    "report": ("testudo.commands.study:report", "make a study's page again from its rows"),
    "data": ("testudo.commands.data:data", "list, check or show data sets, label images by a run"),
    "list": ("testudo.commands.listing:listing", "list attacks, balances, tasks, methods, models, ..."),
}

RULE = {*"─-╭╮╰╯"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a verb; a user's mistake is one line on standard error and exit code 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not leading():  # of several processes, the first speaks for all
        sys.stdout = io.StringIO()
    try:
        sys.exit(run(words))
    except TestudoError as error:
        print(f"testudo: {one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        print("testudo: out of memory; a smaller batch size or network may fit", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"\ntestudo: stopped; what was done is saved. Go on with: testudo {shlex.join(words)}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone, as in `testudo list attacks | head -1`
        sys.stderr.close()
        sys.exit(141)


def _out_of_memory(error: Exception) -> bool:
    """Whether torch (which has a class for it on the GPU alone) or Python could not get memory."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or "allocate memory" in str(error)


def run(words: list[str]) -> int:
    """Run the verb that ``words`` begin with; returns the exit code."""
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    if words[0] == "--version":
        print(import_module("testudo").__version__)
        return 0
    verb, *rest = words
    if verb not in VERBS:
        raise unknown("command", verb, VERBS)
    module, _, name = VERBS[verb][0].partition(":")
    call(getattr(import_module(module), name), f"testudo {verb}", rest)
    return 0


def usage() -> str:
    """What there is to type.

    >>> usage().splitlines()[0]
    'usage: testudo VERB ... (testudo VERB --help tells more)'
    """
    lines = [f"  {verb:9} {summary}" for verb, (_, summary) in VERBS.items()]
    return "\n".join(["usage: testudo VERB ... (testudo VERB --help tells more)", *lines])


def call(function: Callable[..., None], program: str, words: list[str]) -> None:
    """Call ``function`` with arguments parsed by tyro; what tyro says in a box of many lines, say in one."""
    import tyro  # slow to import, and not needed for `testudo --help`

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            about = inspect.cleandoc(function.__doc__ or "").split("\n\n")[0]
            parsed = tyro.cli(_deferred(function), prog=program, args=words, description=about)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise TestudoError(f"{condensed(said.getvalue())} (see {program} --help)") from None
    parsed()


def _deferred(function: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """``function`` with its arguments taken but not yet run, so that only parsing happens inside tyro."""
    import functools

    @functools.wraps(function)
    def take(*args: object, **kwargs: object) -> Callable[[], None]:
        return lambda: function(*args, **kwargs)

    take.__annotations__ = {**function.__annotations__, "return": Callable[[], None]}
    return take


def condensed(box: str) -> str:
    r"""The message in a box that tyro drew (of plain signs where the terminal knows no others), on one line.

    >>> condensed("╭─ Value error ───╮\n│ Error parsing --seed: bad │\n│ ───── │\n│ Argument helptext: │\n╰──╯")
    'Error parsing --seed: bad'
    >>> condensed("Value error\n ----- \n Error parsing --seed: bad \n -----\n Argument helptext: ")
    'Error parsing --seed: bad'
    """
    lines = [line.strip().strip("│").strip() for line in box.splitlines()][1:]  # the first one is the box's title
    while lines and set(lines[0]) <= RULE:
        del lines[0]
    message: list[str] = []
    hints = [line for line in lines if line.startswith("--") and not set(line) <= RULE]
    for line in lines:
        if set(line) <= RULE:  # an empty line, too
            break
        message.append(line)
    asks = any(line.startswith("Perhaps you meant") for line in lines) and hints
    return " ".join([*message, f"; did you mean {hints[0].split()[0]}?" if asks else ""]).strip()
