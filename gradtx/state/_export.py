"""A state as a flat dict of named arrays."""

from typing import Any

import jax
import numpy as np

from .._core.first import transformation_first
from .._core.leaves import is_abstract
from .._core.transformation import as_transformation
from ._names import Entry, entries_of, is_key, named

VERSION_NAME = "gradtx.state/version"
VERSION = 1


@transformation_first
def export(tx: Any, state: Any, *, to_host: bool = False) -> dict[str, Any]:
    """A state as a flat dict from names to arrays, to be saved by anything that saves arrays.

    A name is "<what made it>/<field>/<path of the parameter>", such as "scale_by_adam/mu/layer0/w"
    or "scale_by_adam/count":

    - Chains, named optimizers and wrappers leave no trace in the names of what is inside: adding
      clipping, a guard, accumulation or an average around keeps them. What a wrapper keeps for
      itself has its own name, as in "MultiSteps/mini_step".
    - Labels of groups and of the links of a `named_chain` come first, and so do the names of side
      parts, as the ascent of SAM: "decay/scale_by_adam/mu/w".
    - Two of a name in one place are "scale_by_schedule#1of2" and "scale_by_schedule#2of2", so that
      no other number of them is taken for them.
    - Of pairs of functions from elsewhere the name is that of the function that made them, and the
      path whatever leads to the array.
    - Keys of `jax.random` become their data, with the generator behind: "add_noise/rng_key@fry".

    Besides there is "gradtx.state/version". Nothing is copied: jax.Arrays stay where and how they
    are, so save them before the state is donated.

    Args:
        tx: The transformation.
        state: Its state; also an abstract one, whose names and shapes are then returned.
        to_host: Whether to copy the arrays to NumPy, as `np.savez` does by itself.

    Returns:
        {name: array}. `restore` makes a state of it.

    Raises:
        ValueError: If two arrays have the same name, or the state is not of this transformation.

    Example:
        >>> import jax.numpy as jnp, gradtx as gx
        >>> from gradtx.state import export
        >>> tx = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(1e-3))
        >>> list(export(tx, tx.init({"w": jnp.ones(2)})))
        ['gradtx.state/version', 'scale_by_adam/count', 'scale_by_adam/mu/w', 'scale_by_adam/nu/w']
    """
    body = as_transformation(tx, "export").update.body
    found = entries_of(named("export", body, state))
    values = {entry.name: _value(entry) for entry in found}
    if to_host:
        values = {k: v if is_abstract(v) else np.asarray(v) for k, v in values.items()}
    return {VERSION_NAME: np.asarray(VERSION, np.int32)} | values


def _value(entry: Entry) -> Any:
    if not is_key(entry.value):
        return entry.value
    if is_abstract(entry.value):
        return jax.eval_shape(jax.random.key_data, entry.value)
    return jax.random.key_data(entry.value)
