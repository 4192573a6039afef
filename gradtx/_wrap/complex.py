"""Complex parameters for a transformation of real ones."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._core import leaves
from .._core.arguments import is_function
from .._core.body import Purpose, run, start
from .._core.flow import Flow
from .._core.numerics import real_dtype_of
from .._core.outside import stand_in
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import Wrapper, check_state
from ..typing import InnerState


class SplitRealAndImaginaryState(NamedTuple):
    """The state of the wrapped transformation, with a pair of arrays for each complex one."""

    inner_state: InnerState


class SplitRealAndImaginaryArrays(NamedTuple):
    """A complex array as two real ones."""

    real: Any
    imaginary: Any


@dataclasses.dataclass(eq=False)
class _SplitRealAndImaginary(Wrapper):
    """A transformation of real and imaginary parts."""

    inner: Any

    def init(self, flow: Flow) -> Any:
        return SplitRealAndImaginaryState(start(self.inner.update.body, _split_flow(flow)))

    def update(self, flow: Flow, state: Any) -> Any:
        state = check_state(self.name, SplitRealAndImaginaryState, state)
        inner = _split_flow(flow)
        new = run(self.inner.update.body, inner, state.inner_state, outermost=flow.casting)
        pairs = flow.treedef.flatten_up_to(inner.treedef.unflatten(inner.leaves))
        flow.leaves = [_joined(pair) for pair in pairs]
        flow.taken, flow.noise_by = inner.taken, inner.noise_by
        return SplitRealAndImaginaryState(new)

    def point(self, purpose: Purpose, state: Any, params: Any) -> Any:
        parts = _split(params)
        (inside,) = self.inner_states(state)
        point = inside.body.point(purpose, inside.state, parts)
        return params if point is parts else _join(point)


def _split_flow(flow: Flow) -> Flow:
    """A flow in which every complex leaf is two real ones."""
    tree = _split(flow.treedef.unflatten(flow.leaves))
    extra = {name: _split_extra(value) for name, value in flow.extra.items()}
    inner = Flow(flow.owner, tree, _split(flow.params_tree), extra)
    parts = [2 if leaves.is_inexact(g) and _is_complex(g) else 1 for g in flow.leaves]
    columns = list(zip(parts, flow.dtypes, flow.splits, strict=True))
    inner.dtypes = [d if n == 1 else real_dtype_of(d) for n, d, _ in columns for _ in range(n)]
    inner.splits = [split for n, _, split in columns for _ in range(n)]
    inner.whole = _split(flow.whole)
    if flow.beside is not None:
        pairs = zip(parts, flow.beside, strict=True)
        inner.beside = [b for n, b in pairs for _ in range(n)]
    stand_in(inner, flow)
    return inner


def _split(tree: Any) -> Any:
    return jax.tree.map(_pair, tree)


def _pair(x: Any) -> Any:
    if not (leaves.is_inexact(x) and _is_complex(x)):
        return x
    if leaves.is_abstract(x):
        part = jax.ShapeDtypeStruct(x.shape, real_dtype_of(x.dtype), sharding=x.sharding)
        return SplitRealAndImaginaryArrays(part, part)
    return SplitRealAndImaginaryArrays(jnp.real(x), jnp.imag(x))


def _is_complex(x: Any) -> bool:
    return np.issubdtype(getattr(x, "dtype", type(x)), np.complexfloating)


def _join(tree: Any) -> Any:
    return jax.tree.map(_joined, tree, is_leaf=_is_pair)


def _is_pair(x: Any) -> bool:
    return isinstance(x, SplitRealAndImaginaryArrays)


def _joined(x: Any) -> Any:
    return lax.complex(x.real, x.imaginary) if _is_pair(x) else x


def _split_extra(value: Any) -> Any:
    """An extra argument as the inner transformation must see it: a function takes its trees."""
    if not is_function(value):
        return _split(value)

    def of_pairs(*args: Any, **kwargs: Any) -> Any:
        return _split(value(*_join(args), **_join(kwargs)))

    return of_pairs


@transformation
def split_real_and_imaginary(inner: Any) -> GradientTransformation:
    """Transform the real and the imaginary part of complex arrays as two real arrays.

    With v = inner applied to a tree with two leaves for each complex one:

        u = v_real + i v_imaginary

    Rules of gradtx take complex arrays as they are: a second moment is then that of |g|, and a step
    does not depend on how the plane is turned. Here each part has moments of its own. Extra
    arguments are split, too, and functions of the parameters among them are called with complex
    ones.

    Where a loss is real, `jax.grad` returns the conjugate of the direction of steepest ascent:
    conjugate the gradients before the update (`gradtx.tree.conj`).

    Shapes: any. The state is inner's, with a `real` and an `imaginary` array for each complex one.
    Units: those of inner.

    Args:
        inner: The transformation of real arrays.

    Returns:
        The transformation, with a `SplitRealAndImaginaryState`.

    Raises:
        TypeError: If `inner` is no transformation.
    """
    name = "split_real_and_imaginary"
    return from_body(_SplitRealAndImaginary(name, as_transformation(inner, name)))
