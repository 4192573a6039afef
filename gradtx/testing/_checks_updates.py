"""Checks of the updates: dtypes, extreme gradients, awkward trees, the two ways to step."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._core.apply import apply_updates
from ._compare import (
    close,
    describe,
    finite,
    is_float0,
    no_nan,
    require,
    same_kind,
    same_structure,
    with_paths,
)
from ._subject import Subject
from ._trees import constant_like, gradients_like, is_trainable, many_leaves

UNKNOWN = "an_argument_nobody_knows"


def _like_gradients(updates: Any, gradients: Any, what: str) -> None:
    same_structure(updates, gradients, what)
    for (path, u), (_, g) in zip(with_paths(updates), with_paths(gradients), strict=True):
        if is_float0(g):
            continue
        same = np.shape(u) == np.shape(g) and getattr(u, "dtype", None) == g.dtype
        require(
            same, f"{what} at {path} must be {describe(g)} like its gradient, but is {describe(u)}."
        )


def dtypes(subject: Subject) -> None:
    """Updates have structure, shape and dtype of the gradients, whatever the parameters have."""
    for t, (g, step) in enumerate(zip(subject.gradients, subject.eager, strict=True), 1):
        _like_gradients(step.updates, g, f"the update of step {t}")
        finite(step.updates, f"the update of step {t}")


def mixed(subject: Subject) -> None:
    """Gradients narrower or wider than their parameters keep their dtype too."""
    params = {"w": jnp.linspace(-1, 1, 8).reshape(2, 4)}
    for of_param, of_gradient in (("float32", "bfloat16"), ("bfloat16", "float32")):
        p = jax.tree.map(lambda x, d=of_param: x.astype(d), params)
        g = jax.tree.map(lambda x, d=of_gradient: x.astype(d), params)
        what = f"the update of {of_param} parameters with {of_gradient} gradients"
        for step in subject.run(p, [g, g]):
            _like_gradients(step.updates, g, what)
            finite(step.updates, what)


def uniform(subject: Subject, names: tuple[str, ...]) -> None:
    """Trees of one dtype, in which a sum over the tree has nothing wider to hide in."""
    for name in names:
        if not jnp.issubdtype(name, jnp.inexact):
            continue
        with jax.enable_x64(name in ("float64", "complex128")):
            _uniform(subject, name)


def _uniform(subject: Subject, name: str) -> None:
    params = {"w": jnp.linspace(-1, 1, 8, dtype="float32").reshape(2, 4).astype(name)}
    what = f"the update of a tree of {name}"
    gradients = [gradients_like(params, seed) for seed in range(2)]
    start = subject.tx.init(params)
    for g, step in zip(gradients, subject.run(params, gradients, start), strict=True):
        _like_gradients(step.updates, g, what)
        finite(step.updates, what)
        same_kind(step.state, start, f"the state of a tree of {name}")


def x64(subject: Subject) -> None:
    """With 64-bit types on, float32 stays float32 beside float64."""
    with jax.enable_x64(True):
        line = jnp.linspace(-1, 1, 8).reshape(2, 4)
        params = {"w": line.astype("float32"), "wide": line.astype("float64")}
        gradients = [gradients_like(params, seed) for seed in range(2)]
        start = subject.tx.init(params)
        for g, step in zip(gradients, subject.run(params, gradients, start), strict=True):
            _like_gradients(step.updates, g, "the update with 64-bit types on")
            finite(step.updates, "the update with 64-bit types on")
            same_kind(step.state, start, "the state with 64-bit types on")


def step(subject: Subject) -> None:
    """`step` returns what update and apply return."""
    updates, state = subject.update(subject.gradients[0], subject.start, subject.params)
    params = apply_updates(subject.params, updates)
    extras = subject.extras(subject.params)
    got, got_state = subject.tx.step(subject.gradients[0], subject.start, subject.params, **extras)
    close(got, params, "the parameters after step()", subject.tolerance)
    close(got_state, state, "the state after step()", subject.tolerance)
    for (path, new), (_, old) in zip(with_paths(got), with_paths(subject.params), strict=True):
        same = getattr(new, "dtype", None) == old.dtype
        require(
            same, f"step() turned the parameter at {path} from {describe(old)} to {describe(new)}."
        )


def zero(subject: Subject) -> None:
    """Zero gradients, from the start and later, leave everything finite."""
    zeros = constant_like(subject.params, 0.0)
    first = subject.run(subject.params, [zeros, zeros], subject.start)
    later = subject.run(subject.params, [zeros, zeros], subject.eager[-1].state)
    for steps, when in ((first, "from the start"), (later, "after other gradients")):
        for result in steps:
            finite(result.updates, f"the update for zero gradients {when}")
            no_nan(result.state, f"the state for zero gradients {when}")


def derivative(subject: Subject) -> None:
    """An update can be differentiated at a zero gradient."""
    params = {"w": jnp.linspace(-1, 1, 8).reshape(2, 4)}
    start, extras = subject.tx.init(params), subject.extras(params)

    @jax.jit
    @jax.grad
    def slope(g):
        updates, _ = subject.tx.update(g, start, params, **extras)
        return sum(jnp.sum(u) for u in jax.tree.leaves(updates))

    finite(slope({"w": jnp.zeros((2, 4))}), "the derivative of the update at a zero gradient")


def large(subject: Subject, moves: bool) -> None:
    """Gradients of 300, whose square float16 cannot hold, neither overflow nor vanish."""
    gradients = constant_like(subject.params, 300.0)
    steps = subject.run(subject.params, [gradients] * 3, subject.start)
    for result in steps:
        finite(result.updates, "the update for gradients of 300")
        no_nan(result.state, "the state for gradients of 300")
    if not moves:
        return
    for path, u in with_paths([result.updates for result in steps][-1]):
        if getattr(u, "dtype", None) == jnp.float16 and is_trainable(u):
            every = [dict(with_paths(result.updates))[path] for result in steps]
            moved = any(bool(np.any(np.asarray(x) != 0)) for x in every)
            require(moved, f"the update at {path}, float16, is 0 for gradients of 300.")


def extra(subject: Subject) -> None:
    """Extra arguments that nobody needs change nothing."""
    updates, state = subject.update(
        subject.gradients[0], subject.start, subject.params, **{UNKNOWN: 0.0}
    )
    close(updates, subject.eager[0].updates, f"the update with `{UNKNOWN}` given", 0)
    close(state, subject.eager[0].state, f"the state with `{UNKNOWN}` given", 0)


def missing(subject: Subject) -> None:
    """A parameter whose gradient is None keeps its state and gets no update."""
    params = {"w": jnp.linspace(-1, 1, 8).reshape(2, 4), "frozen": jnp.ones((2, 4))}
    gradients = {"w": params["w"], "frozen": None}
    for result in subject.run(params, [gradients, gradients]):
        same_structure(result.updates, gradients, "the update where one gradient is None")
        finite(result.updates, "the update where one gradient is None")
        moved = apply_updates(params, result.updates)
        close(moved["frozen"], params["frozen"], "the parameter whose gradient is None", 0)


def shapes(subject: Subject, count: int) -> None:
    """An empty tree, a bare array for a tree, and many leaves."""
    whole = {
        "an empty tree": {},
        "a bare array": jnp.linspace(-1, 1, 8).reshape(2, 4),
        "a tree of None": {"a": None},
        f"a tree of {count} leaves": many_leaves(count),
    }
    for what, params in whole.items():
        gradients = gradients_like(params)
        for result in subject.run(params, [gradients, gradients]):
            _like_gradients(result.updates, gradients, f"the update of {what}")
            finite(result.updates, f"the update of {what}")
