"""Multitask learning strengthens adversarial robustness (Mao et al. 2020): the three tasks of street scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.reports.claims import Side
from testudo.reports.wording import counted, listed, radius
from testudo.studies.auxiliaries import TASKS
from testudo.studies.beside import beside
from testudo.studies.catalogue.dense_setting import CURVE, LEVEL, PAPER, DenseSetting, ahead, at
from testudo.studies.catalogue.dense_settings import HARDENED, THREE, TOGETHER
from testudo.studies.entry import Entry
from testudo.studies.study import Arms, Parts, Variant
from testudo.training.methods.base import Method
from testudo.training.methods.madry import Madry
from testudo.training.methods.mao import Mao

LETTERS = {"s": "segmentation", "d": "depth", "A": "image"}
PUBLISHED = {"SemSeg": "segmentation", "Depth": "depth"}
TWICE = "twice the steps"


def alone(main: str) -> str:
    """What the arm is called that learns nothing else."""
    return f"{main} alone"


def called(letters: str) -> str:
    """What the arm of the paper's ``sd``, ``dAs``... is called where the first task is the main one.

    >>> called("s"), called("dAs")
    ('segmentation alone', 'with segmentation and image')
    """
    main, *others = (LETTERS[letter] for letter in letters)
    return f"with {listed(task for task in TASKS if task in others)}" if others else alone(main)


def choices(main: str) -> list[str]:
    """The arms that learn ``main`` with one or two others."""
    first, second = (task for task in TASKS if task != main)
    return [f"with {first}", f"with {second}", f"with {first} and {second}"]


def table1(setting: DenseSetting) -> Arms:
    """All tasks attacked at once."""
    name, attack = f"pgd{setting.steps[0]} on all tasks", "pgd on all tasks"
    arms = []
    for main, kept in (("segmentation", (0, 1, 3)), ("depth", (0,))):
        for variant in (setting.choices(main, weight=1.0)[number] for number in kept):
            suite = {attack: variant.recipe.suite[name]}
            told = listed(variant.recipe.tasks) if variant.counterpart else alone(main)
            arms.append(replace(variant, name=told, recipe=replace(variant.recipe, suite=suite)))
    more = [arm.name for arm in arms if len(arm.recipe.tasks) > 1]
    place, text = f"{PAPER}, Table 1", "attacked on all its tasks at once, a network of several is better at"
    clean = "a network of several tasks is better at segmentation on clean images, too"
    pairs = {main: [(name, alone(main)) for name in more] for main in PUBLISHED.values()}
    claims = [
        *(ahead(f"{text} {main} than one of it alone", place, main, pairs[main], [attack]) for main in pairs),
        ahead(clean, place, "segmentation", pairs["segmentation"]),
    ]
    under = {"clean": "clean", "PGD": attack}
    numbers = [
        beside("mao-table1", task, lambda row, name=name: _joint(row, under) if row["task"] == name else None)
        for name, task in PUBLISHED.items()
    ]
    return Arms(
        setting.seeds,
        "All tasks of a network attacked at once",
        (f"Segmentation and depth, each learnt alone and with the others, all tasks weighing the same, under "
         f"PGD-{setting.steps[0]} on all that a network has learnt, within Linf radius {radius(setting.eps)} (pixels "
         "in [0, 1]; the paper gives no radius). Its Figures 2 and 3 are pictures of such attacks.",),
        tuple(arms),
        (attack,),
        tuple(claims),
        numbers[0] + numbers[1],
    )  # fmt: skip


def table2(setting: DenseSetting) -> Arms:
    """The main task attacked, after training on clean images: one part for each main task."""
    first, second = (_table2(setting, main) for main in PUBLISHED.values())
    return replace(first, others={"depth": second})


def _table2(setting: DenseSetting, main: str) -> Parts:
    arms = setting.choices(main)
    strong = _strong(arms[0])
    others = [(name, alone(main)) for name in choices(main)]
    place = f"{PAPER}, Table 2"
    claims = [
        ahead(f"auxiliary tasks make {main} more robust to every attack of several steps", place, main, others, strong),
        ahead(
            f"most choices of auxiliary tasks make {main} more robust to FGSM (its own numbers; not all do)",
            place,
            main,
            others,
            ["fgsm"],
            share=2 / 3,
        ),
    ]
    if main == "segmentation":
        pair = [("with image", "with depth")]
        claims.append(ahead("the image beside it hardens segmentation more than depth does", place, main, pair, strong))
    return Parts(
        setting.seeds,
        f"Do auxiliary tasks harden {main!r}?",
        (f"{main.capitalize()} learnt alone, and with one and two others that weigh {setting.weight:g} each, attacked "
         f"by itself within Linf radius {radius(setting.eps)} (pixels in [0, 1]) in steps of 1/255. MIM is as its "
         "authors have it, Houdini per pixel, and each attack keeps the worst image it met.",),
        arms,
        (strong[-1],),
        tuple(claims),
        _numbers("mao-table2", main, arms[0]),
    )  # fmt: skip


def table3(setting: DenseSetting) -> Arms:
    """The main task attacked, after adversarial training: one part for each main task."""
    first, second = (_table3(setting, main) for main in PUBLISHED.values())
    return replace(first, others={"depth": second})


def _table3(setting: DenseSetting, main: str) -> Parts:
    plain, fair, place = alone(main), f"{alone(main)}, {TWICE}", f"{PAPER}, Table 3"
    arms = _hardened(setting, main, plain, fair)
    attacks, helped = list(arms[0].recipe.suite), [(name, plain) for name in choices(main)]
    text = f"trained against attacks, auxiliary tasks make {main}"
    ours = f"ours: auxiliary tasks make {main} more robust than as many attacks and steps on it alone do"
    claims = (
        ahead(f"{text} more robust", place, main, helped, attacks),
        ahead(f"{text} better on clean images, too", place, main, helped),
        ahead(ours, "this package", main, [(name, fair) for name in choices(main)], attacks),
    )
    return Parts(
        setting.seeds,
        f"Do auxiliary tasks help adversarial training of {main!r}?",
        (f"Algorithm 1 of the supplement: each batch is attacked on {main!r}, and once more on all tasks (auxiliary "
         "ones weighing 0.01), with a step after each. The paper sets it against Madry's training for as many epochs, "
         f"which makes half as many attacks and steps; {fair!r} makes as many. Attacks within Linf radius "
         f"{radius(setting.eps)} (pixels in [0, 1]) in steps of 1/255, {setting.inner} of them in training.",),
        arms,
        (),
        claims,
        _numbers("mao-table3", main, arms[0]),
    )  # fmt: skip


def _hardened(setting: DenseSetting, main: str, plain: str, fair: str) -> tuple[Variant, ...]:
    """``main`` trained against attacks: alone, alone with twice the steps, and with each choice of the others."""
    inner = PGD(Linf(setting.eps), Objective((main,)), keep="last", steps=setting.inner, step=LEVEL)
    twin = Mao(attack=inner, combinations=((main,), (main,)))
    ways: dict[str, tuple[tuple[str, ...], Method]] = {plain: ((main,), Madry(attack=inner)), fair: ((main,), twin)}
    made = setting.choices(main)
    for variant in made[1:]:
        ways[variant.name] = (variant.recipe.tasks, Mao(attack=inner, auxiliary_weight=0.01))
    suite = {name: made[0].recipe.suite[name] for name in _strong(made[0])}
    arms = []
    for name, (tasks, method) in ways.items():
        arm = setting.arm(name, tasks, method, suite, None if name in (plain, fair) else fair)
        each = counted(method.steps_of(list(arm.recipe.learnt().values())), "attack")
        training = f"{setting.trainer.epochs} epochs, {each} for each batch, each with its step"
        arms.append(replace(arm, recipe=replace(arm.recipe, validation=inner), training=training))
    return tuple(arms)


def _strong(arm: Variant) -> list[str]:
    """The attacks of several steps on the main task."""
    return [name for name in arm.recipe.suite if name != "fgsm" and not name.endswith("all tasks")]


def figure6(setting: DenseSetting) -> Arms:
    """Segmentation attacked in every ball; and pictures of it."""
    main, curve = "segmentation", setting.curve(("segmentation",))
    arms = tuple(replace(arm, recipe=replace(arm.recipe, suite=curve)) for arm in setting.choices(main))
    claims = [
        ahead(
            "at every radius networks of several tasks do better at segmentation than one of segmentation alone",
            f"{PAPER}, Figures 1 and 6",
            main,
            [(name, alone(main)) for name in choices(main)],
            list(curve),
        ),
    ]
    return Arms(
        setting.seeds,
        "Segmentation under attack, with auxiliary tasks and without",
        ("The networks of Table 2 at growing Linf radii. The paper shows pictures alone; the curve is ours. "
         f"PGD makes {min(CURVE, max(setting.steps))} steps of 1/255 at every radius.",),
        arms,
        (at(setting.eps),),
        tuple(claims),
    )  # fmt: skip


def _numbers(table: str, main: str, arm: Variant) -> tuple:
    """The published numbers of a main task, where our suite has the attack."""
    name = next(name for name, task in PUBLISHED.items() if task == main)
    last = list(arm.recipe.suite)

    def where(row: Mapping[str, str]) -> Side | None:
        family = row["attack"].lower()
        if family.startswith(("mim", "houdini")):  # at whatever number of steps ours are
            family = next((own for own in last if own.startswith(family.rstrip("0123456789"))), "")
        known = row["task"] == name and family in ("clean", *last)
        return Side(called(row["row"]), family) if known else None

    return beside(table, main, where)


def _joint(row: Mapping[str, str], under: Mapping[str, str]) -> Side:
    tasks = [LETTERS[letter] for letter in row["row"]]
    return Side(alone(tasks[0]) if len(tasks) == 1 else listed(tasks), under[row["attack"]])


ENTRIES = (
    Entry("mao-table1", f"{PAPER}, Table 1, Figures 2 and 3", "are networks of several tasks harder to attack on all?",
          table1, TOGETHER, {}),
    Entry("mao-table2", f"{PAPER}, Table 2", "do auxiliary tasks harden the main one?", table2, THREE, {}),
    Entry("mao-table3", f"{PAPER}, Table 3", "do auxiliary tasks help adversarial training?", table3, HARDENED, {}),
    Entry("mao-figure6", f"{PAPER}, Figures 1 and 6", "what is left of segmentation, radius by radius?", figure6,
          THREE, {}),
)  # fmt: skip
