"""Is the robustness of a model real: every check, on every task asked for."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field

import torch

from testudo.attacks.base import draws_of_its_own
from testudo.attacks.fgsm import FGSM
from testudo.attacks.objective import Objective
from testudo.attacks.threat import Linf, Threat
from testudo.data.batch import Batch
from testudo.data.dataset import Examples
from testudo.data.splits import evenly
from testudo.errors import TestudoError, one_line, unknown
from testudo.evaluation.diagnosis.above_clean import AboveClean
from testudo.evaluation.diagnosis.autoattack_gap import AutoAttackGap
from testudo.evaluation.diagnosis.base import Check
from testudo.evaluation.diagnosis.battery import Battery, passes
from testudo.evaluation.diagnosis.black_box import BlackBox
from testudo.evaluation.diagnosis.diagnosis import Diagnosis
from testudo.evaluation.diagnosis.evidence import Evidence, Keeper, in_memory
from testudo.evaluation.diagnosis.gradients import Gradients
from testudo.evaluation.diagnosis.more_search import MoreSearch
from testudo.evaluation.diagnosis.neighbours import Neighbours
from testudo.evaluation.diagnosis.one_step import OneStep
from testudo.evaluation.diagnosis.randomness import Randomness
from testudo.evaluation.diagnosis.surface import Surface
from testudo.evaluation.diagnosis.twin import Twin
from testudo.evaluation.diagnosis.unbounded import Unbounded
from testudo.evaluation.diagnosis.views import views
from testudo.evaluation.evaluate import Data, Evaluation, describe
from testudo.models.fast import Fast
from testudo.models.model import Model
from testudo.registry import THREATS
from testudo.reports.wording import radius
from testudo.tasks.task import Task

CHECKS: tuple[Check, ...] = (
    Randomness(), Neighbours(), Gradients(), Surface(), OneStep(), MoreSearch(), BlackBox(), Twin(),
    AutoAttackGap(), Unbounded(), AboveClean(),
)  # fmt: skip


@dataclass(frozen=True)
class Examination:
    """How a model is looked at.

    Args:
        examples: how many of the data, evenly spaced. A lead of 5 points shows in 160; that there is none, in 104.
        battery: how hard the attacks try.
        checks: which, in their order.
        batch_size: examples at a time.
        device: as in :class:`~testudo.evaluation.evaluate.Evaluation`.
        keep: where the rows of attacks are kept, so that what was made is not made again.

    Raises:
        TestudoError: a number below 1.
    """

    examples: int = 200
    battery: Battery = Battery()
    checks: tuple[Check, ...] = CHECKS
    batch_size: int = 128
    device: str = ""
    keep: Keeper = field(default=in_memory, repr=False)

    def __post_init__(self) -> None:
        if self.examples < 1 or self.batch_size < 1:
            raise TestudoError(f"examples and batch_size must be at least 1, got {self.examples} and {self.batch_size}")

    def chosen(self, data: Data, tasks: Sequence[str]) -> Batch:
        """The examples to look at, with the labels of ``tasks`` where they have any."""
        if isinstance(data, Examples):
            return data.batch(evenly(self.examples, len(data)), tasks)
        whole = data if isinstance(data, Batch) else Batch.cat(data)
        return whole[evenly(self.examples, len(whole))]

    def target(self, model: Model) -> Fast:
        """The frozen copy to attack, in full precision: so that what shows is the model's, not the precision's."""
        return Evaluation(precision="float32", device=self.device).target(model)


def diagnose(
    model: Model,
    data: Data,
    threat: Threat = Linf(8 / 255),  # noqa: B008 (immutable)
    tasks: Sequence[str] = (),
    twin: Model | None = None,
    how: Examination = Examination(),
    watch: Callable[[float, str], None] = lambda share, note: None,
) -> Diagnosis:
    """Look for signs that attacks by gradients overrate the robustness of ``model``.

    Every check is the rule of a paper (:attr:`Check.source`) and says pass, warn or fail with its numbers. None is a
    proof of robustness; one that fails is a proof that something is wrong with the attacks, the model or both.

    Args:
        model: a multi-task or wrapped model; it is left as it is, and judged in eval mode and float32.
        data: labelled examples it was not trained on: a batch, a loaded split, or batches.
        threat: the ball it is claimed to be robust in, one eps for all.
        tasks: which tasks to look at, each by itself; the model's first by default. Each costs about one AutoAttack.
        twin: another model of the same tasks, or of some of them, best without the defence, for transfer; see
            :func:`testudo.evaluation.diagnosis.substitute.substitute`.
        how: how many examples, how hard the attacks try, which checks.
        watch: called with the share of the work that is done and what is going on.

    Raises:
        TestudoError: an unknown task, no labels for it, an eps of 0 or several, a twin of another task.
    """
    names = _named(model, tasks)
    _check_threat(threat)
    batch, target = how.chosen(data, names), how.target(model)
    parts = {name: _alone(target, batch, name) for name in names}
    other = None if twin is None else _twin(how.target(twin), {name: target.tasks[name] for name in names}, batch)
    findings, shown = [], []
    for number, (name, alone) in enumerate(parts.items()):
        task, knows = target.tasks[name], other if other and name in other.tasks else None
        evidence = Evidence(target, alone, task, threat, how.battery, knows, model, how.keep, how.batch_size)
        evidence.tell = Progress(evidence, number, len(names), watch)
        with draws_of_its_own(how.battery.seed, next(evidence.parts(alone)).images.device):
            findings += [check(evidence) for check in how.checks]
            shown.append(views(evidence))
    watch(1.0, "")
    return Diagnosis(tuple(findings), "", _ball(threat), len(batch), tuple(shown))


class Progress:
    """Attacks' shares of the work, by the passes they would make on an example that stands to the end."""

    def __init__(self, evidence: Evidence, number: int, tasks: int, watch: Callable[[float, str], None]) -> None:
        self._cost = passes(evidence.attacks)
        self._done: dict[str, float] = {}
        self._place, self._watch = (number, tasks), watch

    def __call__(self, name: str, share: float) -> None:
        """``share`` of the attack called ``name`` is made."""
        self._done[name] = share * self._cost.get(name, 1.0)
        whole = sum(self._cost.values())
        number, tasks = self._place
        self._watch(min(0.999, (number + min(1.0, sum(self._done.values()) / whole)) / tasks), name)


def _named(model: Model, tasks: Sequence[str]) -> tuple[str, ...]:
    names = (tasks,) if isinstance(tasks, str) else tuple(tasks) or tuple(model.tasks)[:1]
    for name in names:
        if name not in model.tasks:
            raise unknown("task", name, model.tasks)
    return names


def _check_threat(threat: Threat) -> None:
    describe(FGSM(threat))  # refuses several eps
    if not float(threat.eps) > 0:
        raise TestudoError(f"a diagnosis needs a ball to look into: eps must be above 0, got {float(threat.eps):g}")


def _alone(target: Fast, batch: Batch, name: str) -> Batch:
    """The examples that are labelled for one task, with its labels alone."""
    task = Objective((name,)).attacked(target.tasks, batch.targets)[name]
    task.check(batch.targets[name])
    known = task.valid(batch.targets[name])
    if not bool(known.any()):
        raise TestudoError(f"none of the {len(batch)} examples has a label for task {name!r}")
    return Batch(batch.images, {name: batch.targets[name]}, batch.ids)[known]


def _twin(twin: Fast, tasks: Mapping[str, Task], batch: Batch) -> Fast:
    """``twin``, unless it does something else, or cannot look at these images."""
    shared = [name for name in tasks if name in twin.tasks]
    if not shared:
        raise TestudoError(f"the twin does none of the tasks {', '.join(tasks)} (it does: {', '.join(twin.tasks)})")
    for name in shared:
        if (type(twin.tasks[name]), twin.tasks[name].channels) != (type(tasks[name]), tasks[name].channels):
            raise TestudoError(f"the twin's task {name!r} is another: {twin.tasks[name]!r}, not {tasks[name]!r}")
    place = next((tensor.device for tensor in twin.parameters()), torch.device("cpu"))
    try:
        with torch.no_grad(), redirect_stderr(io.StringIO()):  # where torch.fx prints the code that it made
            twin.exact(batch.images[:2].to(place), shared)
    except (RuntimeError, TestudoError) as error:
        raise TestudoError(f"the twin cannot take these images: {one_line(error)}") from error
    return twin


def _ball(threat: Threat) -> str:
    return f"{THREATS.name_of(type(threat))} {radius(float(threat.eps))}"
