"""What a diagnosis says: findings, a verdict, and the same as a table, as Markdown and as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from testudo.evaluation.diagnosis.base import Finding, Verdict, worst
from testudo.evaluation.diagnosis.views import Views
from testudo.files import to_json

LOOKS = {"pass": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}
MEANT = {
    "pass": "no sign of masked gradients: what gradient attacks report here can be believed as far as they go",
    "warn": "no proof of masked gradients, but signs of it, or too few examples to decide",
    "fail": "what gradient attacks report of this model is not its robustness",
    "skipped": "nothing could be checked",
}


@dataclass(frozen=True)
class Diagnosis:
    """What the checks found of one model.

    Args:
        findings: in the order of the checks, task by task.
        run: what the model is called.
        threat: the ball, in words.
        examples: how many.
        views: what the picture shows, one for each task.
    """

    findings: tuple[Finding, ...]
    run: str
    threat: str
    examples: int
    views: tuple[Views, ...] = field(default=(), repr=False)

    @property
    def verdict(self) -> Verdict:
        """The worst of all findings."""
        return worst(finding.verdict for finding in self.findings)

    def of(self, check: str, task: str | None = None) -> Finding:
        """The finding of a check, by default for the first task.

        Raises:
            KeyError: there is none.
        """
        for finding in self.findings:
            if finding.check == check and task in (None, finding.task):
                return finding
        raise KeyError(check)

    @property
    def heading(self) -> str:
        """What was diagnosed, in a line."""
        return f"{self.run or 'model'} in {self.threat}, {self.examples:,} examples: {self.verdict}"

    def rich(self) -> Table:
        """For the terminal."""
        table = Table(title=self.heading, caption=MEANT[self.verdict], title_justify="left", caption_justify="left")
        for name in ("task", "check", "verdict", "what it means"):
            table.add_column(name, no_wrap=name in ("check", "verdict"))
        for finding in self.findings:
            verdict = Text(finding.verdict, LOOKS[finding.verdict])
            table.add_row(finding.task, finding.check, verdict, Text(finding.said))
        return table

    def markdown(self) -> str:
        """A heading, a table, and below it what each finding rests on."""
        lines = [f"# {self.heading}", "", f"{MEANT[self.verdict]}.".capitalize(), ""]
        lines += ["| task | check | verdict | what it means | evidence | rule |", "| --- " * 6 + "|"]
        for finding in self.findings:
            cells = (finding.task, finding.check, f"**{finding.verdict}**", finding.said, told(finding), finding.source)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
        return "\n".join(lines) + "\n"

    def json(self) -> str:
        """Everything, for machines, with a checksum (:func:`testudo.files.to_json`); infinite numbers are null."""
        whole: dict[str, Any] = {"run": self.run, "threat": self.threat, "examples": self.examples}
        whole |= {"verdict": self.verdict, "findings": [asdict(finding) for finding in self.findings]}
        whole |= {"views": [asdict(each) for each in self.views]}
        return to_json(_finite(whole), indent=1)


def told(finding: Finding) -> str:
    """The evidence in words.

    >>> told(Finding("one step", "digit", "pass", "", {"fgsm": 0.25, "n": 200}))
    'fgsm 0.25, n 200'
    """
    return ", ".join(f"{name} {_short(value)}" for name, value in finding.numbers.items())


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
