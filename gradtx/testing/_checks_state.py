"""Checks of the state: what it keeps, that it can be donated, saved and restored."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._core.apply import apply_updates
from ._compare import close, describe, is_key, require, same_kind, with_paths
from ._subject import Subject, copied


def state(subject: Subject) -> None:
    """The state keeps its structure, shapes, dtypes and weak types."""
    _arrays(subject.start)
    for t, step in enumerate(subject.eager, 1):
        same_kind(step.state, subject.start, f"the state after step {t}")


def _arrays(tree: Any) -> None:
    for path, leaf in with_paths(tree):
        require(
            isinstance(leaf, (jax.Array, np.ndarray)),
            f"the state at {path} must be an array, but is {describe(leaf)}.",
        )


def abstract(subject: Subject) -> None:
    """`jax.eval_shape` of init knows the state that init makes."""
    shapes = jax.eval_shape(subject.tx.init, subject.small.params)
    made = subject.small.start
    same_kind(shapes, made, "the state under jax.eval_shape")


def donation(subject: Subject) -> None:
    """Parameters and state can be donated together: no two of their arrays are one buffer."""
    params = copied(subject.params)
    gradients = subject.gradients
    start = subject.tx.init(params)
    _own_buffers({"params": params, "state": start}, "after init")
    updates, after = subject.update(gradients[0], start, params)
    moved = apply_updates(params, updates)
    _own_buffers({"params": moved, "state": after}, "after a step")
    _own_buffers({"gradients": gradients[0], "state": after}, "after a step")
    _own_buffers({"params": params, "state": after}, "after a step")
    step = subject.jitted(params, start, gradients[0])
    _own_buffers({"params": step.params, "state": step.state}, "after a step under jit")
    subject.jitted(step.params, step.state, gradients[1])


def _own_buffers(tree: dict[str, Any], when: str) -> None:
    owners: dict[int, str] = {}
    for path, leaf in with_paths(tree):
        if not isinstance(leaf, jax.Array) or leaf.size == 0:
            continue
        data = jax.random.key_data(leaf) if is_key(leaf) else leaf
        at = data.addressable_shards[0].data.unsafe_buffer_pointer()
        require(
            at not in owners or is_key(leaf),
            f"{when}, {owners.get(at)} and {path} are one buffer, so that they cannot be donated.",
        )
        owners[at] = path


def resume(subject: Subject) -> None:
    """A state that went through NumPy continues bit for bit."""
    before, after = subject.eager[1], subject.eager[2]
    leaves, treedef = jax.tree.flatten(before.state)
    restored = treedef.unflatten([_round_trip(leaf) for leaf in leaves])
    updates, new = subject.update(subject.gradients[2], restored, subject.params)
    close(updates, after.updates, "the update after restoring", 0)
    close(new, after.state, "the state after restoring", 0)


def _round_trip(leaf: Any) -> Any:
    if is_key(leaf):
        bits = np.asarray(jax.random.key_data(leaf))
        return jax.random.wrap_key_data(jnp.asarray(bits), impl=jax.random.key_impl(leaf))
    return jnp.asarray(np.asarray(leaf).copy())
