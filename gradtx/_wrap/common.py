"""What wrappers share: copies of parameters, states of branches, gradients at other points."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._core import leaves
from .._core.body import Body
from .._core.flow import Flow
from .._core.leaves import (
    as_array,
    describe_leaf,
    is_abstract,
    is_inexact,
    is_traced,
    path_names,
)
from .._core.numerics import accumulator_dtype, with_precision_of
from .._core.stage import FusedStage
from .._core.state import state_like


def copies_of(flow: Flow, dtype: Any = None) -> list:
    """The parameters that init was given, each in a buffer of its own; None for other leaves.

    Args:
        flow: The flow of an init.
        dtype: Dtype of the copies, complex arrays complex at that width; None for float32 or wider.
    """
    return [
        copy_of(p, with_precision_of(p.dtype, dtype or accumulator_dtype(p.dtype))) if on else None
        for p, on in zip(flow.leaves, flow.trainable, strict=True)
    ]


def copy_of(p: Any, dtype: Any) -> Any:
    """An array in a buffer of its own, or what describes it."""
    if is_abstract(p):
        return jax.eval_shape(lambda x: x.astype(dtype), p)
    return jnp.array(p, dtype=dtype, copy=True)


def like(p: Any, x: Any) -> Any:
    """An array of a state in a parameter's dtype and in a buffer of its own; p itself without."""
    return p if x is None else copy_of(x, as_array(p).dtype)


def either(wanted: Any, new: Any, old: Any) -> Any:
    """A state if `wanted`, else the other, in the dtypes of that."""
    new = state_like(new, old)
    if not is_traced(wanted):
        return new if wanted else old
    return jax.tree.map(lambda n, o: jnp.where(wanted, n, o), new, old)


def always_steps(body: Body, flow: Flow) -> bool:
    """Whether it is known beforehand that what a flow is sent through makes a step of it."""
    return flow.taken is True and all(isinstance(x, FusedStage) for x in body.plan.stages)


def taken_by_then(flow: Flow) -> Any:
    """Whether a flow was a step up to where it is: a number for a rule, asked where that runs."""
    # Rules ask schedules when they begin, and so after all that stands before them.
    return lambda count: jnp.asarray(flow.taken).astype(float)


def as_gradients(owner: str, flow: Flow, returned: Any) -> list:
    """What the extra argument `grad_fn` returned as a list over the leaves, or an error."""
    try:
        column = leaves.align(
            flow.treedef,
            returned,
            owner=owner,
            what="what `grad_fn` returned",
            reference=flow.tree,
            reference_name="the updates",
        )
    except ValueError as error:
        raise ValueError(
            f"{error} `grad_fn` must return the gradients alone: with has_aux or "
            "value_and_grad, take them out of what that returns."
        ) from error
    for index, (g, x) in enumerate(zip(flow.leaves, column, strict=True)):
        if flow.trainable[index] and not (is_inexact(x) and np.shape(x) == g.shape):
            raise ValueError(
                f"{owner}: what `grad_fn` returned at {path_names(flow.tree)[index]} must "
                f"be an array like the gradient, {describe_leaf(g)}, but is "
                f"{describe_leaf(x)}. Is it the gradient of the same loss?"
            )
    return flow.own(column)


def point_in_dtype(p: Any, x: Any, keep_dtype: bool) -> Any:
    """A point near a parameter in the parameter's dtype, or in float32 or wider."""
    kept = leaves.as_array(p).dtype
    dtype = kept if keep_dtype else with_precision_of(kept, accumulator_dtype(kept))
    return x if x.dtype == dtype else x.astype(dtype)
