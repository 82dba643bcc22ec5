"""Run every benchmark and write ``benchmarks/results.md``."""

from __future__ import annotations

from datetime import date
from importlib import import_module
from pathlib import Path

import torch

from testudo.environment import environment

PARTS = ("pgd", "minmax", "tasks", "precision", "loader", "dense", "scenes")


def main() -> None:
    """Print and write the results."""
    facts = environment()
    lines = [
        "# Benchmarks",
        "",
        f"`make bench`, {date.today()}; {facts['machine']}, {torch.get_num_threads()} threads, AMX "
        f"{'present' if torch.cpu._is_amx_tile_supported() else 'absent'}; torch {facts['torch']}, "
        f"testudo {facts['testudo']} at {facts['git']}.",
    ]
    for part in PARTS:
        print(f"running {part} ...", flush=True)
        lines += ["", *import_module(f"benchmarks.{part}").run()]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_name("results.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
