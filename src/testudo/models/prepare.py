"""Whether an attack needs a new frozen copy of its model, or may take one made before."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from testudo.models.fast import Fast, Precision, fast
from testudo.models.model import Model

_REUSED: ContextVar[dict[int, Fast] | None] = ContextVar("_REUSED", default=None)


def prepared(model: Model) -> Fast:
    """``model`` itself where it is a frozen copy, the refreshed copy inside :func:`reusing`, else a new copy."""
    if isinstance(model, Fast):
        return model
    copy = (_REUSED.get() or {}).get(id(model))
    if copy is None:
        return fast(model)
    copy.refresh()
    return copy


@contextmanager
def reusing(model: Model, precision: Precision = "auto") -> Generator[Fast, None, None]:
    """Within this block every attack on ``model`` takes one copy, given the current weights at each call.

    For training, where the weights move between attacks but the architecture does not.
    """
    copy = fast(model, precision)
    token = _REUSED.set({**(_REUSED.get() or {}), id(model): copy})
    try:
        yield copy
    finally:
        _REUSED.reset(token)
