"""What the fields of a state hold: every field of a state says it by its annotation."""

import functools
import typing
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from .leaves import with_article
from .numerics import real_dtype_of

Params = Any
Updates = Any
OptState = Any


class Field(NamedTuple):
    """What one field of a state holds.

    Attributes:
        kind: "count", "scalar", "key": one for the whole tree. "param": a tree like the params,
            each array shaped like its parameter. "stack": the same behind one more leading axis.
            "reduced": a tree like the params whose arrays (or small trees of arrays) have other
            shapes, each axis of which is an axis of the parameter or of length 1. "inner": the
            state of a transformation inside a wrapper, or a tuple or dict of such.
        real: Whether the field is real also for complex parameters.
        steps: Of a count, whether it counts the steps of the optimizer, so that a jump to a step
            sets it; not calls that may be none, nor anything else.
        alone: Of a count of steps, whether it goes on where the arrays beside it start anew, as
            they do not need it for their correction of bias.
    """

    kind: str
    real: bool = False
    steps: bool = True
    alone: bool = False

    @property
    def per_param(self) -> bool:
        """Whether there is one entry for each parameter."""
        return self.kind in ("param", "stack", "reduced")


Count = Annotated[jax.Array, Field("count")]
Clock = Annotated[jax.Array, Field("count", alone=True)]
Tally = Annotated[jax.Array, Field("count", steps=False)]
Scalar = Annotated[jax.Array, Field("scalar")]
Scalars = Annotated[Any, Field("scalar")]  # a small tree of them
Key = Annotated[jax.Array, Field("key")]
PerParam = Annotated[Any, Field("param")]
PerParamReal = Annotated[Any, Field("param", real=True)]
PerParamStack = Annotated[Any, Field("stack")]
PerParamReduced = Annotated[Any, Field("reduced", real=True)]
InnerState = Annotated[Any, Field("inner")]


class EmptyState(NamedTuple):
    """The state of a transformation that remembers nothing."""


def init_empty_state(params: Params) -> EmptyState:
    """The `init` of a transformation that remembers nothing.

    Args:
        params: The parameters, which it does not read.

    Returns:
        An `EmptyState`.
    """
    del params
    return EmptyState()


def wrong_state(owner: str, kind: type, state: Any) -> ValueError:
    """The error for a state of another class than it must be.

    Args:
        owner: Whose state it should be.
        kind: The class.
        state: What was given.
    """
    given = type(state)
    package = given.__module__.split(".")[0]
    if given.__name__ == kind.__name__ and package != kind.__module__.split(".")[0]:
        whose = {"optax": "Optax's"}.get(package, f"that of {package}")
        return ValueError(
            f"{owner}: its state must be gradtx's {kind.__name__}, but is {whose}, from "
            f"{given.__module__}. Put its arrays into the state of tx.init(params)."
        )
    return ValueError(
        f"{owner}: its state must be {with_article(kind.__name__)}, but is "
        f"{with_article(given.__name__)}. "
        + (what_holds_it(state) or "Was the state made by init() of another optimizer?")
    )


def what_holds_it(x: Any) -> str:
    """Where a state is in what was given for it, as a sentence, if it holds one.

    A TrainState of Flax and an Optimizer of NNX have it as `opt_state`.
    """
    if isinstance(x, (tuple, list, dict)) or not hasattr(x, "opt_state"):
        return ""
    return f"The state is in its `opt_state`: give that, not the {type(x).__name__}."


@functools.lru_cache(maxsize=512)
def fields_of(state_type: type) -> dict[str, Field]:
    """What each field of a state type holds, in order.

    Args:
        state_type: A NamedTuple class whose fields are annotated with the types of
            `gradtx.typing`.

    Raises:
        TypeError: If a field's annotation does not say what it holds.
    """
    if not hasattr(state_type, "_fields"):
        held = "opt_state" in getattr(state_type, "__dataclass_fields__", {})
        raise TypeError(
            f"the state must be what init() returned, but is {with_article(state_type.__name__)}."
            + " Give its `opt_state`." * held
        )
    hints = typing.get_type_hints(state_type, include_extras=True)
    fields = {}
    for name in state_type._fields:
        marks = [m for m in getattr(hints.get(name), "__metadata__", ()) if isinstance(m, Field)]
        if not marks:
            raise TypeError(
                f"{state_type.__name__}.{name} must be annotated with what it holds: Count, "
                "Scalar, Key, PerParam, PerParamReal, PerParamStack, PerParamReduced or InnerState."
            )
        fields[name] = marks[0]
    return fields


def typed_fields(node: Any) -> dict[str, Field] | None:
    """What each field of a state holds, or None if it is no NamedTuple that says so."""
    if not (isinstance(node, tuple) and hasattr(node, "_fields")):
        return None
    try:
        return fields_of(type(node))
    except (TypeError, NameError):
        return None


def start_of_shared(field: Field) -> jax.Array:
    """The value a field of the whole tree starts from unless the rule says otherwise."""
    return jnp.zeros([], jnp.int32 if field.kind == "count" else jnp.float32)


def start_of_param(field: Field, p: jax.Array) -> jax.Array:
    """The value a field of one parameter starts from unless the rule says otherwise."""
    if field.kind != "param":
        raise TypeError(f"a field of kind {field.kind!r} has no natural start: give an `init`.")
    return jnp.zeros_like(p, dtype=real_dtype_of(p.dtype) if field.real else None)


def cast_like(value: Any, stored: Any) -> Any:
    """The arrays of `value` in the dtypes of `stored`."""
    return jax.tree.map(
        lambda v, s: v if v.dtype == s.dtype and not _is_weak(v) else v.astype(s.dtype),
        value,
        stored,
    )


def state_like(new: Any, old: Any) -> Any:
    """A new state in the dtypes of the old one, as the branches of a condition must have."""
    if jax.tree.structure(new) != jax.tree.structure(old):
        return new  # JAX says what differs
    return cast_like(new, old)


def _is_weak(x: Any) -> bool:
    return getattr(x, "weak_type", False)  # keys have none
