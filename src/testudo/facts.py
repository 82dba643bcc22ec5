"""What a run folder says of itself beside its recipe."""

from __future__ import annotations

import hashlib
import json
import tomllib
from datetime import UTC, datetime
from typing import Any

import torch

from testudo.data.dataset import Examples, joined
from testudo.environment import environment
from testudo.parts import dump, to_toml
from testudo.recipe import Recipe

SPLITS = ("train", "val", "test")


def facts_of(recipe: Recipe, examples: dict[str, Examples]) -> dict[str, Any]:
    """What a run that begins now was made with."""
    mean, std = recipe.data.statistics()
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe": made_by(tomllib.loads(to_toml(recipe))),
        "environment": environment(),
        "threads": torch.get_num_threads(),
        "data": fingerprints(examples),
        "counts": {split: len(part) for split, part in examples.items()},
        "note": notes(examples),
        "tasks": [dump(task) for task in recipe.chosen()],
        "pretexts": pretexts(recipe),
        "mean": list(mean),
        "std": list(std),
    }


def fingerprints(examples: dict[str, Examples]) -> dict[str, str]:
    """What tells these splits from others."""
    return {split: part.fingerprint() for split, part in examples.items()}


def pretexts(recipe: Recipe) -> dict[str, Any]:
    """What the method's self-supervised labels are made by, beside the recipe."""
    found = {pretext.task.name: pretext.facts() for pretext in recipe.method.pretexts}
    return {name: facts for name, facts in found.items() if facts}


def notes(examples: dict[str, Examples]) -> str:
    """What was done to or left out of the published images, told once where it is the same for every split."""
    notes = {split: part.note for split, part in examples.items()}
    same = len(set(notes.values())) == 1
    return notes["train"] if same else joined(*(f"{split}: {note}" for split, note in notes.items() if note))


def sound(facts: Any) -> bool:
    """Whether ``facts`` holds what a run writes."""
    kinds: dict[str, type] = {"environment": dict, "data": dict, "counts": dict, "note": str, "threads": int}
    kinds |= dict.fromkeys(("tasks", "mean", "std"), list)
    return (
        isinstance(facts, dict)
        and all(isinstance(facts.get(name), kind) for name, kind in kinds.items())
        and all(isinstance(facts["data"].get(s), str) and isinstance(facts["counts"].get(s), int) for s in SPLITS)
        and all(isinstance(value, float) for value in facts["mean"] + facts["std"])
        and len(facts["mean"]) == len(facts["std"]) > 0
        and facts["threads"] > 0
    )


def made_by(recipe: dict[str, Any]) -> str:
    """SHA-256 of what weights come of: a recipe's table without its name, where it runs, its data and its suite.

    Data may be moved, and has fingerprints of its own; a suite may be changed.
    """
    free = ("name", "data", "suite", "start", "trainer")
    kept = {name: value for name, value in recipe.items() if name not in free}
    trainer = {k: v for k, v in recipe.get("trainer", {}).items() if k not in ("device", "workers")}
    return hashlib.sha256(json.dumps([kept, trainer], sort_keys=True).encode()).hexdigest()


def lasting(recipe: dict[str, Any]) -> dict[str, Any]:
    """A dumped recipe without what may change between sessions: where it runs, and who reads the images."""
    trainer = {name: value for name, value in recipe["trainer"].items() if name not in ("device", "workers")}
    return {**recipe, "trainer": trainer}


def difference(before: Any, now: Any, path: str = "") -> str:
    """The first place in which two dumped recipes differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in [*before, *now]:
            if before.get(name) != now.get(name):
                return difference(before.get(name), now.get(name), f"{path}.{name}".lstrip("."))
    return f"{path}: {before!r} there, {now!r} here"
