"""From the named terms of a step to its gradient: summed, weighed by their losses, or by their gradients.

A step's batch may come in parts, one after the other (gradient accumulation), and each part may be spread over several
processes. Gradients and losses are reduced over the processes before they are balanced, so that a step is the same
however its batch is spread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from testudo.balance.base import Balance
from testudo.balance.base import State as BalanceState
from testudo.errors import TestudoError
from testudo.models.multitask import OWN, MultiTaskModel
from testudo.models.pyramid import Features, apart, maps
from testudo.processes import average, count, total
from testudo.training.methods.base import Method

Gradients = list[Tensor | None]  # one for each place, None where nothing depends on it


@dataclass
class Update(ABC):
    """The gradient of one step, part by part; left in the parameters' ``grad``.

    Args:
        model: whose parameters.
        method: which terms are balanced, and how.
        states: the balance's memory, changed in place; keys begin with "balance.".
    """

    model: nn.Module
    method: Method
    states: MutableMapping[str, Tensor]
    values: dict[str, Tensor] = field(default_factory=dict)  # of the terms, over parts and processes

    def __post_init__(self) -> None:
        self.parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def begin(self) -> None:
        """Forget the step before."""
        self.values = {}
        for parameter in self.parameters.values():
            parameter.grad = None

    def add(self, terms: Mapping[str, Tensor], share: float) -> str | None:
        """Take one part's terms, which count by ``share``; the name of a term that is not finite, if there is one.

        After such a name the step cannot be finished.
        """
        told = average(torch.stack([term.detach().double() for term in terms.values()]))
        for name, value in zip(terms, told, strict=True):
            self.values[name] = self.values.get(name, 0) + share * value
        if not bool(told.isfinite().all()):
            return next(name for name, value in zip(terms, told, strict=True) if not bool(value.isfinite()))
        self.take({name: share * term for name, term in terms.items()})
        return None

    @abstractmethod
    def take(self, terms: dict[str, Tensor]) -> None:
        """Backwards through one part."""

    def watching(self) -> AbstractContextManager[None]:
        """Within this block the terms are computed."""
        return nullcontext()

    def finish(self) -> None:
        """Leave the gradient in the parameters, the same on every process."""
        if count() > 1:
            for parameter in self.parameters.values():
                parameter.grad = average(_filled(parameter.grad, parameter))

    def descend_fixed(self, terms: dict[str, Tensor], keep: bool = False) -> dict[str, Tensor]:
        """Backwards from the terms that are not balanced; gives the others."""
        balanced = {name: term for name, term in terms.items() if not self.method.unbalanced(name)}
        fixed = [term.float() for name, term in terms.items() if name not in balanced and term.requires_grad]
        if fixed:
            torch.stack(fixed).sum().backward(retain_graph=keep or bool(balanced))
        return balanced

    def weigh(self, gramian: Tensor | None = None) -> dict[str, Tensor]:
        """The weights of the terms that are balanced, by name."""
        names = tuple(name for name in self.values if not self.method.unbalanced(name))
        if not names:
            return {}
        balance = cast(Balance, self.method.balance)
        losses = torch.stack([self.values[name] for name in names])
        prefix = f"balance.{'+'.join(names)}/"
        kept: BalanceState = {
            key.removeprefix(prefix): value.to(losses.device)
            for key, value in self.states.items()
            if key.startswith(prefix)
        }
        weights, state = balance.weigh(kept or balance.start(losses, names), losses, gramian)
        self.states.update({prefix + key: value for key, value in state.items()})
        return dict(zip(names, weights.unbind(), strict=True))


class Summed(Update):
    """All terms count as they are, or by weights that their losses alone decide: one backward pass."""

    def take(self, terms: dict[str, Tensor]) -> None:
        """One pass."""
        weights = {} if self.method.balance is None else self.weigh()
        summed = torch.stack([(weights.get(name, 1.0) * term).float() for name, term in terms.items()]).sum()
        if summed.requires_grad:
            summed.backward()


class PerTerm(Update):
    """One backward pass for each balanced term, and one for the others together."""

    def begin(self) -> None:
        """Forget the terms' gradients, too."""
        super().begin()
        self.gradients: dict[str, Gradients] = {}

    def take(self, terms: dict[str, Tensor]) -> None:
        """One pass for each."""
        balanced = self.descend_fixed(terms)
        parameters = list(self.parameters.values())
        for number, (name, term) in enumerate(balanced.items(), 1):
            found = derivatives(term, parameters, keep=number < len(balanced))
            before = self.gradients.get(name)
            self.gradients[name] = found if before is None else list(map(_sum, before, found))

    def finish(self) -> None:
        """Reduce each term's gradient, then balance them."""
        super().finish()
        parameters = self.parameters.values()
        for name, found in self.gradients.items() if count() > 1 else ():
            self.gradients[name] = [average(_filled(g, p)) for g, p in zip(found, parameters, strict=True)]
        shared = [index for index, name in enumerate(self.parameters) if not name.startswith(OWN)]
        inner = gramian([[found[index] for index in shared] for found in self.gradients.values()])
        weights = self.weigh(inner)
        for index, parameter in enumerate(parameters):
            found = combined([self.gradients[name][index] for name in weights], list(weights.values()))
            parameter.grad = _sum(parameter.grad, found)


class AtFeatures(Update):
    """Gradients where the encoder ends (Sener & Koltun 2018, the upper bound), and one backward pass through it.

    What counts are the inner products at the encoder's outputs, example by example; the parameters after it get
    their gradients with each term's. A term that depends on the encoder otherwise too is weighed by that part of its
    gradient alone, and followed through the whole network. The model must call its encoder within :meth:`watching`,
    and a batch comes in one part.
    """

    def begin(self) -> None:
        """Forget the encoder's outputs, too."""
        super().begin()
        self.outputs: list[Tensor] = []

    @contextmanager
    def watching(self) -> Generator[None]:
        """Within this block, what the encoder gives is noted."""
        encoder = cast(nn.Module, self.model.encoder)
        with encoder.register_forward_hook(self._note):
            yield

    def take(self, terms: dict[str, Tensor]) -> None:
        """Backwards from each term to the encoder's outputs, and from there once."""
        balanced, outputs = self.descend_fixed(terms, keep=True), self.outputs
        own = [parameter for name, parameter in self.parameters.items() if not name.startswith("encoder.")]
        found = {name: derivatives(term, [*outputs, *own], keep=True) for name, term in balanced.items()}
        inner = gramian([each[: len(outputs)] for each in found.values()])
        weights = self.weigh(total(inner) / count() ** 2)
        whole = {name: weight for name, weight in weights.items() if self.method.past_features(name)}
        some = {name: weight for name, weight in weights.items() if name not in whole}
        mixed = [combined([found[name][i] for name in some], list(some.values())) for i in range(len(outputs + own))]
        for parameter, gradient in zip(own, mixed[len(outputs) :], strict=True):
            parameter.grad = _sum(parameter.grad, gradient)
        roots = [(output, gradient) for output, gradient in zip(outputs, mixed, strict=False) if gradient is not None]
        roots += [(balanced[name], weight.to(balanced[name])) for name, weight in whole.items()]
        roots = [(root, gradient) for root, gradient in roots if root.requires_grad]
        if roots:
            torch.autograd.backward([root for root, _ in roots], [gradient for _, gradient in roots])

    def _note(self, module: nn.Module, given: object, output: Features) -> Features | None:
        if not any(one.requires_grad for one in maps(output)):
            return None
        output = apart(output)  # a coarse map's gradient must not come to the encoder twice
        self.outputs += maps(output)
        return output


def update_of(model: nn.Module, method: Method, states: MutableMapping[str, Tensor], parts: int = 1) -> Update:
    """What makes the gradients of ``method``'s steps, of which each takes ``parts`` parts.

    Raises:
        TestudoError: a balance at the features of a model that has none, or of a batch in parts.
    """
    balance = method.balance
    if balance is None or (balance.needs != "gramian" and parts == 1):
        return Summed(model, method, states)
    if getattr(balance, "gradients", "exact") == "exact":
        return PerTerm(model, method, states)
    if parts > 1:
        raise TestudoError(
            f"a balance at the features needs its batch in one part, got accumulate = {parts}; use gradients = 'exact'"
        )
    if not isinstance(model, MultiTaskModel):
        kind = type(model).__name__
        raise TestudoError(f"gradients at the features need a MultiTaskModel, got {kind} (use gradients = 'exact')")
    return AtFeatures(model, method, states)


def derivatives(term: Tensor, places: Sequence[Tensor], keep: bool) -> Gradients:
    """The gradient of ``term`` at each of ``places``, None where it does not depend on one."""
    if not term.requires_grad:
        return [None] * len(places)
    return list(torch.autograd.grad(term, places, retain_graph=keep, allow_unused=True))


def gramian(gradients: Sequence[Gradients]) -> Tensor:
    """(K, K) float64: the inner products of K gradients, each a list of tensors, tensor by tensor.

    >>> gramian([[torch.ones(2), None], [torch.ones(2), torch.ones(3)]])
    tensor([[2., 2.],
            [2., 5.]], dtype=torch.float64)
    """
    products = torch.zeros(len(gradients), len(gradients), dtype=torch.float64)
    for each in zip(*gradients, strict=True):
        some = [index for index, gradient in enumerate(each) if gradient is not None]
        if some:
            rows = torch.stack([cast(Tensor, each[index]).flatten().double() for index in some])
            products = products.to(rows.device)
            at = torch.tensor(some, device=rows.device)
            products[at[:, None], at] += rows @ rows.mT
    return products


def combined(gradients: Gradients, weights: Sequence[Tensor]) -> Tensor | None:
    """The weighted sum of what is there; None where nothing is."""
    found: Tensor | None = None
    for gradient, weight in zip(gradients, weights, strict=True):
        if gradient is not None:
            found = _sum(found, gradient * weight.to(gradient))
    return found


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return second if first is None else first if second is None else first + second


def _filled(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient
