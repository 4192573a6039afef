"""All leaves as one vector."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._core.body import Purpose, run, start
from .._core.flow import Flow
from .._core.leaves import as_array, is_abstract, is_inexact
from .._core.numerics import accumulator_dtype, with_precision_of
from .._core.outside import stand_in
from .._core.placement import copied, split_like
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import SameState, every_body


@dataclasses.dataclass(eq=False)
class _Flatten(SameState):
    """A transformation of one vector.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
    """

    inner: Any

    def init(self, flow: Flow) -> Any:
        self._check_dtypes(flow)
        return start(
            self.inner.update.body, Flow(self.name, _vector(flow.leaves, flow.leaves), None, {})
        )

    def _check_dtypes(self, flow: Flow) -> None:
        dtypes = {jnp.dtype(d).name for d in flow.dtypes if d is not None}
        fussy = (body.name for body in every_body(self.inner.update.body) if body.by_dtype)
        if len(dtypes) > 1 and (name := next(fussy, None)):
            raise ValueError(
                f"{self.name}: `{name}` goes by the dtype of each parameter, but here they are "
                f"{' and '.join(sorted(dtypes))}, and inside there is one vector that holds all of "
                f"them. Put it around: {name}({self.name}(...), ...)."
            )

    def update(self, flow: Flow, state: Any) -> Any:
        held = flow.leaves if flow.params is None else flow.params
        params = None if flow.params is None else _vector(held, held)
        whole = Flow(self.name, _vector(flow.leaves, held), params, flow.extra)
        stand_in(whole, flow)
        state = run(self.inner.update.body, whole, state)
        flow.leaves = _unflattened(flow, held, whole.leaves[0])
        flow.taken, flow.noise_by = whole.taken, whole.noise_by
        return state

    def point(self, purpose: Purpose, state: Any, params: Any) -> Any:
        flow = Flow(self.name, params, params, {})
        whole = _vector(flow.leaves, flow.leaves)
        point = self.inner.update.body.point(purpose, state, whole)
        if point is whole:
            return params
        parts = zip(_unflattened(flow, flow.leaves, point), flow.dtypes, strict=True)
        return flow.treedef.unflatten([x if d is None else x.astype(d) for x, d in parts])


def _vector(column: list, held: list) -> Any:
    """The arrays behind each other, in a dtype that holds all of them.

    Args:
        column: The leaves; a gradient that is missing counts as zeros.
        held: The leaves that have a place: the parameters.
    """
    arrays = [
        as_array(x if is_inexact(x) else jnp.zeros_like(p))
        for x, p in zip(column, held, strict=True)
        if is_inexact(p)
    ]
    dtype = _common_dtype([x.dtype for x in arrays])
    if any(is_abstract(x) for x in arrays):
        return jax.ShapeDtypeStruct((sum(math.prod(x.shape) for x in arrays),), dtype)
    if not arrays:
        return jnp.zeros(0, dtype)
    return jnp.concatenate([jnp.ravel(copied(x)).astype(dtype) for x in arrays])


def _common_dtype(dtypes: list) -> np.dtype:
    if len(set(dtypes)) == 1:
        return dtypes[0]
    is_complex = any(jnp.issubdtype(d, jnp.complexfloating) for d in dtypes)
    return with_precision_of(np.complex64 if is_complex else np.float32, accumulator_dtype(*dtypes))


def _unflattened(flow: Flow, held: list, vector: jax.Array) -> list:
    leaves, at = [], 0
    for g, p, on in zip(flow.leaves, held, flow.trainable, strict=True):
        size = np.size(p) if is_inexact(p) else 0
        leaves.append(_shaped_like(g, vector[at : at + size]) if on else g)
        at += size
    return leaves


def _shaped_like(g: jax.Array, part: jax.Array) -> jax.Array:
    u = part.reshape(g.shape)
    return split_like(u.real if jnp.iscomplexobj(u) and not jnp.iscomplexobj(g) else u, g)


@transformation
def flatten(inner: Any) -> GradientTransformation:
    """Transform all arrays as one vector.

    u = inner(all entries of g behind each other), cut into arrays again. What a rule takes over one
    array, such as a norm or a threshold, it then takes over all of them.

    It is no way to save time: gradtx runs leaves of one shape by one function, and gathering them
    copies gradients and parameters at each step. Arrays that are split over devices lose that.

    Shapes: the state of inner is that of one vector, in the dtype of the leaves; in one that holds
        all of them, float32 or wider, where they differ.
    Units: those of inner.

    Args:
        inner: The transformation.

    Returns:
        The transformation; its state is that of inner.

    Raises:
        TypeError: If `inner` is no transformation.
        ValueError: On init, if a `with_rounding` is inside and the parameters differ in dtype.
    """
    return from_body(_Flatten("flatten", as_transformation(inner, "flatten")))
