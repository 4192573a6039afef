"""Transformations made of transformations: one after the other, and side by side."""

from collections.abc import Callable
from typing import Any

from .composite import Branches, Sequence
from .describe import register
from .foreign import Foreign
from .numerics import add, divide, multiply
from .rule import Rule
from .scaled import check_order
from .seams import check_seams
from .state import EmptyState
from .transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    lift,
    transformation,
)


@transformation
def chain(*transformations: Any) -> GradientTransformation:
    """Apply transformations one after the other.

    u_0 = g, u_i = transformation_i(u_{i-1}); the updates are the last u. Neighbouring rules
    become one function per array, however the chains are nested. Between them the updates keep
    the dtype of the arithmetic (float32 or wider); what comes out has the gradient's dtype.

    Args:
        *transformations: Transformations, also of Optax, or pairs (init, update) of functions.

    Returns:
        The chain. Its state is a tuple with the state of each.

    Raises:
        TypeError: If a part is no transformation.
        ValueError: If a clip stands before a `loss_scaling`, or behind an `accumulate` what would
            move at its micro-steps: moments, schedules, weight decay, noise; or behind an average
            of the parameters (`with_ema` and its kin) or `with_rounding` what changes updates; or
            if two parts draw noise from one key.

    Example:
        >>> import gradtx as gx
        >>> print(gx.chain(gx.clip_by_global_norm(1.0), gx.sgd(0.1)))
        chain
        ├── clip_by_global_norm(max_norm=1.0)
        └── sgd(learning_rate=0.1)
            ├── identity()
            └── scale_by_learning_rate(learning_rate=0.1)
    """
    children = tuple(as_transformation(t, "chain") for t in transformations)
    check_order("chain", children)
    check_seams("chain", children)
    return from_body(Sequence("chain", children))


@transformation
def named_chain(*transformations: tuple[str, Any]) -> GradientTransformation:
    """Apply transformations one after the other, with a state that is a dict by name.

    Args:
        *transformations: Pairs (name, transformation), the names different from each other.

    Returns:
        The chain. Its state is a dict {name: state}.

    Raises:
        TypeError: If an argument is no such pair.
        ValueError: If a name is used twice, or one stands where `chain` refuses it.
    """
    for pair in transformations:
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str)):
            raise TypeError(
                f"named_chain: every part must be (name, transformation), not {pair!r}."
            )
    names = tuple(name for name, _ in transformations)
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"named_chain: the name {name!r} must be used once, not twice.")
    children = tuple(as_transformation(t, "named_chain") for _, t in transformations)
    check_order("named_chain", children)
    check_seams("named_chain", children)
    return from_body(Sequence("named_chain", children, names))


@transformation
def parallel(*branches: Any, merge: Callable) -> GradientTransformation:
    """Send the same updates through several transformations and merge what comes out.

    u = merge(branch_1(g), branch_2(g), ...), for each array. Adam, for example, is
    `parallel(ema(0.9), root_mean_square(0.999), merge=divide)`: momentum over RMS.

    Args:
        *branches: Transformations; at least one.
        merge: Function of as many arrays of one shape as there are branches, in the dtype of
            the arithmetic; returns the array of the update. `gradtx.divide`, `gradtx.add` and
            `gradtx.multiply` are registered for configs.

    Returns:
        The transformation. Its state is a tuple with the state of each branch.

    Raises:
        TypeError: If a branch is no transformation or `merge` no function.
        ValueError: If there is no branch.
    """
    if not callable(merge):
        raise TypeError(f"parallel: `merge` must be a function of arrays, but is {merge!r}.")
    if not branches:
        raise ValueError("parallel: at least one branch must be given.")
    children = tuple(as_transformation(t, "parallel") for t in branches)
    return from_body(Branches("parallel", children, merge))


@transformation
def identity() -> GradientTransformation:
    """Pass the updates on unchanged: u = g.

    Returns:
        The transformation, without state. It is `lift` of the shortest rule there is.
    """
    return lift(Rule(_identity, passes=True))


def _identity(g, state, p, h):
    return g, state


@transformation
def with_extra_args_support(tx: Any) -> GradientTransformation:
    """Make a transformation of gradtx of any pair: one that ignores extra arguments it cannot take.

    Those of gradtx do so by themselves, and `chain` and all wrappers see to it for what they are
    given: only your own code that calls `tx.update` with extra arguments needs this. Which ones a
    pair takes is read off the signature of its update.

    Args:
        tx: A transformation, also of Optax, or a pair (init, update) of functions.

    Returns:
        The transformation, with the state of `tx`.

    Raises:
        TypeError: If `tx` is no transformation.
    """
    return as_transformation(tx, "with_extra_args_support")


@transformation
def stateless(f: Callable) -> GradientTransformation:
    """Make a transformation of a function on trees: u = f(g, params).

    Args:
        f: (updates, params) -> updates, trees of the same structure. The updates are in the
            dtypes of the gradients, params is None if it was not given.

    Returns:
        The transformation, without state.
    """

    def init(params):
        del params
        return EmptyState()

    def update(updates, state, params=None):
        return f(updates, params), state

    return from_body(Foreign((init, update), name="stateless"))


@transformation
def stateless_with_tree_map(f: Callable) -> GradientTransformation:
    """Make a transformation of a function on one array: u = f(g, p).

    Unlike `stateless` it fuses with its neighbours in a chain.

    Args:
        f: (gradient, parameter) -> update, arrays of one shape in the dtype of the arithmetic.

    Returns:
        The transformation, without state. Its update needs the parameters.
    """
    return lift(Rule(_apply_function, params=True), static={"f": f})


def _apply_function(g, state, p, h):
    return h.f(g, p), state


for _merge in (add, divide, multiply):
    register(_merge)
