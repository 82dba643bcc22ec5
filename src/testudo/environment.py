"""What a number depends on besides its recipe: versions, revision, machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


def leading() -> bool:
    """Whether this process is the one that speaks: the first that ``torchrun`` started, or one alone.

    >>> leading()
    True
    """
    return os.environ.get("RANK", "0") == "0"


def environment() -> dict[str, str]:
    """Versions of Python, testudo and the libraries that decide numbers, the git revision, the machine.

    >>> sorted(environment())[:3]
    ['cores', 'git', 'machine']
    """
    versions = {name: importlib.metadata.version(name) for name in ("testudo", "torch", "torchmetrics", "numpy")}
    return {
        "python": platform.python_version(),
        **versions,
        "git": _revision(),
        "machine": f"{_processor()} ({platform.system()} {platform.machine()})",
        "cores": str(os.cpu_count()),
    }


@contextmanager
def threads(count: int) -> Generator[None, None, None]:
    """Within this block torch computes on ``count`` threads: sums are split among them, so their number decides bits.

    >>> import torch
    >>> with threads(1):
    ...     torch.get_num_threads()
    1
    """
    import torch  # here, so that the rest of this file needs none

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _revision() -> str:
    """The commit of the source tree that runs, with "+changes" where it differs; empty outside of git."""
    home = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(home), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        if not git("ls-files", "--", str(Path(__file__).resolve())):
            return ""  # installed into some other project's folder, whose commit says nothing of testudo
        commit = git("rev-parse", "--short=12", "HEAD")
        return commit + ("+changes" if commit and git("status", "--porcelain", "--", str(home)) else "")
    except OSError:  # no git on this machine
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
