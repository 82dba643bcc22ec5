"""The seam between several tasks and one number.

Shapes: K tasks; ``*B`` is (N,) in an attack, where each example has weights of its own, and () in training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

State = dict[str, Tensor]


@dataclass(frozen=True)
class Balance(ABC):
    """Weights over tasks, from their losses; used to descend on parameters and to ascend on pixels alike.

    A subclass keeps nothing on itself: what it must remember from step to step is the state that
    :meth:`start` makes and :meth:`weigh` hands on, a dict of tensors that a checkpoint can hold.
    """

    needs: ClassVar[Literal["nothing", "losses", "gramian"]] = "losses"  # what its weights depend on
    signed: ClassVar[bool] = False  # whether a weight may be negative

    @abstractmethod
    def start(self, clean_losses: Tensor, tasks: Sequence[str] = ()) -> State:
        """The state before the first step.

        Args:
            clean_losses: (*B, K) losses before any step; NaN where the example has no label for a task,
                whose loss then stays 0: such a task must neither draw weight from the others nor count.
            tasks: the K names, for balances that are told weights by name.
        """

    @abstractmethod
    def weigh(self, state: State, losses: Tensor, gramian: Tensor | None = None) -> tuple[Tensor, State]:
        """Weights (*B, K) for this step's ``losses`` (*B, K), and the next state.

        None is negative unless the class says ``signed``. Every tensor of the state has shape (*B, ...), so that
        ``state[key][rows]`` is the state of those examples.

        ``gramian`` (*B, K, K) holds the inner products of the tasks' gradients, for balances that need it;
        best in float64, since squares of small gradients underflow float32.
        """

    def merit(self, state: State, losses: Tensor) -> Tensor:
        """(*B) the one number this balance raises, comparable between steps; here the weighted sum."""
        return (self.weigh(state, losses)[0] * losses).sum(-1)
