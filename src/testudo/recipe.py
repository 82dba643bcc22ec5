"""What a run is: the package's dataclasses composed, read from and written to TOML, checked."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testudo.attacks.base import Attack
from testudo.data.dataset import DataSet
from testudo.errors import TestudoError, one_line, unknown
from testudo.models.encoder import Encoder
from testudo.overrides import override
from testudo.parts import build, dump
from testudo.tasks.task import Task
from testudo.training.methods.base import Method
from testudo.training.trainer import Trainer


@dataclass(frozen=True)
class Recipe:
    """One training run, and how it is judged.

    Args:
        name: of the run and its folder.
        data: where images and labels come from.
        model: the shared encoder.
        method: who hardens.
        tasks: which of the data's tasks are learnt, the main one first; none means all of them.
        options: fields of tasks that shall differ from the data's, by task: ``{"depth": {"loss_kind": "l2"}}``.
        trainer: epochs, optimiser, precision.
        validation: the attack whose result on the validation split chooses the best weights; none: clean.
        suite: the attacks it is evaluated with, by name.
        seed: of weights, order, augmentation and random starts.
        start: what the weights are taken from at first, where they fit: another run's folder, or a public weight file
            (see :func:`testudo.models.start.load_start`); none: drawn from the seed.
    """

    name: str
    data: DataSet
    model: Encoder
    method: Method
    tasks: tuple[str, ...] = ()
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    trainer: Trainer = Trainer()
    validation: Attack | None = None
    suite: dict[str, Attack] = field(default_factory=dict)
    seed: int = 0
    start: str | None = None

    def __post_init__(self) -> None:
        if not self.name.isprintable() or not self.name.strip() or self.name[0] == "." or {*"/\\"} & {*self.name}:
            raise TestudoError(f"name must be a plain folder name, got {self.name!r}")
        if not 0 <= self.seed < 2**63:
            raise TestudoError(f"seed must be at least 0 and below 2**63, got {self.seed}")
        if "clean" in self.suite:
            raise TestudoError("no attack of the suite may be called 'clean', which names the clean images")

    def chosen(self) -> tuple[Task, ...]:
        """The tasks to learn, the main one first.

        Raises:
            TestudoError: one that the data lacks, or an option that it does not have.
        """
        offered = {task.name: task for task in self.data.tasks()}
        for place, names in (("tasks", self.tasks), ("options", self.options)):
            for name in names:
                if name not in offered:
                    raise unknown(f"task (in the recipe's {place})", name, offered)
        for name, values in self.options.items():
            fixed = {"kind", "name"} & values.keys()
            if fixed:
                raise TestudoError(f"options.{name}: a task's {fixed.pop()} is the data's to say")
            offered[name] = build(Task, {**dump(offered[name]), **values}, "", f"options.{name}")
        return tuple(offered[name] for name in self.tasks or offered)

    def learnt(self) -> dict[str, Task]:
        """The tasks to learn and the method's pretexts, by name.

        Raises:
            TestudoError: as :meth:`chosen`, or the method cannot learn them.
        """
        made = [pretext.task for pretext in self.method.pretexts]
        tasks = {task.name: task for task in (*self.chosen(), *made)}
        self.method.check(tasks)
        return tasks

    def alone(self) -> Recipe:
        """The single-task twin: the same on the main task alone, at as many steps and attack passes.

        >>> from testudo.data.digits import Digits
        >>> from testudo.models.resnet import ResNet18
        >>> from testudo.training.methods.standard import Standard
        >>> twin = Recipe("both", Digits(), ResNet18(), Standard(weights={"parity": 0.1})).alone()
        >>> twin.name, twin.tasks, twin.method.weights
        ('both-alone', ('digit',), {})
        """
        main = self.chosen()[0].name
        options = {name: values for name, values in self.options.items() if name == main}
        method = self.method.alone(main)
        return dataclasses.replace(self, name=f"{self.name}-alone", tasks=(main,), options=options, method=method)


def read(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe in a TOML file, with dotted ``overrides`` (``{"trainer.epochs": 5}``) put over it.

    Raises:
        TestudoError: in one line, the file, the path of the field, what was given and what is allowed.
    """
    return build(Recipe, table(path, overrides), str(path))


def table(path: str | Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A TOML file as plain values, overrides applied."""
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TestudoError(f"no recipe at {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TestudoError(f"{path}: cannot be read: {one_line(error)}") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise TestudoError(f"{path}: not valid TOML: {one_line(error)}") from error
    for dotted, value in (overrides or {}).items():
        override(values, in_full(dotted), value)
    return values


def in_full(dotted: str) -> str:
    """A dotted path with the ``trainer.`` that may be left out before its fields.

    >>> in_full("epochs"), in_full("optimiser.lr"), in_full("seed")
    ('trainer.epochs', 'trainer.optimiser.lr', 'seed')
    """
    own, short = ({f.name for f in dataclasses.fields(part)} for part in (Recipe, Trainer))
    return f"trainer.{dotted}" if dotted.split(".")[0] in short - own else dotted
