"""What wrappers share: their counts, and the messages for a wrong state or missing parameters."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from .._core.flow import Flow
from .._core.leaves import is_abstract

S = TypeVar("S")


def as_abstract_as(flow: Flow, value: Any) -> Any:
    """Arrays of a first state as they are, or only described where the parameters are, too."""
    if any(is_abstract(p) for p in flow.leaves):
        return jax.eval_shape(lambda: value)
    return value


def first_count(flow: Flow) -> Any:
    """The count before the first step."""
    return as_abstract_as(flow, jnp.zeros([], jnp.int32))


def check_state(owner: str, kind: type[S], state: Any) -> S:
    """The state, or an error if it is of something else."""
    if isinstance(state, kind):
        return state
    raise ValueError(
        f"{owner}: its state must be a {kind.__name__}, but is a {type(state).__name__}. Was the "
        "state made by init() of another optimizer?"
    )


def need_params(owner: str, flow: Flow) -> None:
    """Raise if the parameters were not given."""
    if flow.params is None:
        raise ValueError(f"{owner} needs the parameters: call update(updates, state, params).")
