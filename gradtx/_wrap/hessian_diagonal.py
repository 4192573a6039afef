"""Give a transformation an estimate of the Hessian diagonal every few steps."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .._core.body import run, start
from .._core.flow import Flow
from .._core.leaves import is_traced
from .._core.numerics import accumulator_dtype, safe_increment
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import Wrapper, check_state, first_count, need_params
from ..typing import Count, InnerState, PositiveInt
from .estimators import HUTCHINSON


class WithHessianDiagonalState(NamedTuple):
    """Step count, and the states of the estimator and of what uses its estimates."""

    count: Count
    estimator_state: InnerState
    inner_state: InnerState


@dataclasses.dataclass(eq=False)
class _WithHessianDiagonal(Wrapper):
    """A transformation that gets a Hessian diagonal, and what estimates it.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
        estimator: The transformation whose updates are the estimate.
        every: Number of steps from one estimate to the next.
    """

    inner: Any
    estimator: Any
    every: int
    inside: ClassVar[tuple[str, ...]] = ("inner", "estimator")
    held: ClassVar[tuple[str, ...]] = ("inner_state", "estimator_state")
    rests_as_inside: ClassVar[bool] = True

    def init(self, flow: Flow) -> Any:
        return WithHessianDiagonalState(
            first_count(flow),
            start(self.estimator.update.body, flow),
            start(self.inner.update.body, flow),
        )

    def update(self, flow: Flow, state: Any) -> Any:
        need_params(self.name, flow)
        count, estimator_state, inner_state = check_state(
            self.name, WithHessianDiagonalState, state
        )
        fresh = count % self.every == 0
        diagonal, estimator_state = self._diagonal(flow, fresh, estimator_state)
        handed = {"hessian_diagonal": flow.treedef.unflatten(diagonal), "hessian_is_fresh": fresh}
        branch = flow.branch(extra=flow.extra | handed)
        inner_state = run(self.inner.update.body, branch, inner_state, outermost=flow.casting)
        flow.leaves, flow.taken = branch.leaves, branch.taken
        return WithHessianDiagonalState(safe_increment(count), estimator_state, inner_state)

    def _diagonal(self, flow: Flow, fresh: jax.Array, state: Any) -> tuple[list, Any]:
        """The estimate where it is due, else zeros, over the leaves; and the estimator's state."""

        def estimate(state):
            branch = flow.branch()
            state = run(self.estimator.update.body, branch, state)
            return [_real(flow, i, u) for i, u in enumerate(branch.leaves)], state

        def skip(state):
            zeros = [
                jnp.zeros_like(jnp.real(p), dtype=_dtype(flow, i)) if flow.trainable[i] else None
                for i, p in enumerate(flow.param_arrays)
            ]
            return zeros, state

        if self.every == 1:
            return estimate(state)
        if not is_traced(fresh):  # without jit there is nothing to compile for the other case
            return (estimate if fresh else skip)(state)
        return lax.cond(fresh, estimate, skip, state)


def _dtype(flow: Flow, index: int) -> Any:
    return accumulator_dtype(flow.param_arrays[index].dtype, flow.leaves[index].dtype)


def _real(flow: Flow, index: int, u: Any) -> Any:
    return jnp.real(u).astype(_dtype(flow, index)) if flow.trainable[index] else None


@transformation
def with_hessian_diagonal(
    inner: Any,
    estimator: Any = HUTCHINSON,
    *,
    every: PositiveInt = 1,
) -> GradientTransformation:
    """Estimate the Hessian diagonal every few steps, for a transformation that is scaled by it.

    At the steps t = 1, 1 + every, 1 + 2 every, ... the estimator runs, on the parameters and the
    extra arguments of that step, and what it returns as its updates goes on to `inner` as the
    extra argument `hessian_diagonal`. At the other steps nothing is computed, and that argument is
    a tree of zeros. `hessian_is_fresh` says which it is. `inner` gets all other extra arguments as
    well, and the gradients as they came.

    An estimator is a transformation, so it can be a chain: with
    `chain(hutchinson_estimator_diag_hessian(), stateless_with_tree_map(f))` the estimate is f of
    Hutchinson's. Under `jax.vmap` it runs at every step, since both cases are computed there.

    Shapes: the estimate is a tree like the params, in float32 or wider, real. The state has no copy
        of it.
    Units: those of the loss, over the square of those of the parameters.

    Args:
        inner: The transformation that needs the diagonal, such as `scale_by_sophia`, or a chain
            with it.
        estimator: A transformation whose updates are the estimate, also one of Optax.
        every: Number of steps from one estimate to the next, at least 1.

    Returns:
        The transformation, with a `WithHessianDiagonalState`. Its update needs the parameters and
        what the estimator needs: for Hutchinson's the extra argument `obj_fn`.

    Raises:
        ValueError: If `every` is below 1, or on update if the parameters are missing.
        TypeError: If `inner` or `estimator` is no transformation; on update, if an extra argument
            is missing.
    """
    return from_body(
        _WithHessianDiagonal(
            "with_hessian_diagonal",
            as_transformation(inner, "with_hessian_diagonal"),
            as_transformation(estimator, "with_hessian_diagonal"),
            every,
        )
    )
