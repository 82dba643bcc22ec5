"""Training curves in TensorBoard (extra ``tensorboard``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from testudo.errors import TestudoError, one_line


class TensorBoard:
    """A watcher that writes every epoch's terms and scores as scalars.

    Args:
        folder: where the event files go.

    Raises:
        TestudoError: the package is not installed, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise TestudoError("TensorBoard is not installed; pip install 'testudo[tensorboard]'") from None
        try:
            self._writer = SummaryWriter(str(folder))
        except OSError as error:
            raise TestudoError(f"cannot write TensorBoard's files to {folder}: {one_line(error)}") from error

    def step(self, done: int, total: int) -> None:
        """Nothing: an epoch's means are enough."""

    def epoch(self, record: dict[str, Any]) -> None:
        """The learning rate, the terms' means and the validation scores."""
        values = {"lr": record["lr"]} | {f"terms/{name}": value for name, value in record["terms"].items()}
        values |= {f"validation/{name}": value for name, value in record.get("validation", {}).items()}
        for name, value in values.items():
            self._writer.add_scalar(name, value, record["epoch"])
        self._writer.flush()
