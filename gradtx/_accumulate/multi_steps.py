"""Accumulation as Optax has it, with micro-steps that may be left out."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from .._core.body import start
from .._core.describe import register
from .._core.flow import Flow
from .._core.leaves import describe_leaf, is_inexact
from .._core.numerics import abs2, residue, safe_increment, widened
from .._core.outside import changed_before
from .._core.scaled import refuse_unscaling
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import as_abstract_as, check_state, first_count
from ..typing import Clock, DType, InnerState, PerParam, Scalars, Tally
from .accumulating import MEAN, SUM, Accumulating, as_every


class MultiStepsState(NamedTuple):
    """Micro-steps in the present step, steps, inner's state, the mean so far, what was skipped."""

    mini_step: Tally
    gradient_step: Clock
    inner_opt_state: InnerState
    acc_grads: PerParam
    skip_state: Scalars = ()


class ShouldSkipUpdateFunction(Protocol):
    """(updates, gradient_step, params) -> (whether to skip, tree of scalars to look at)."""

    def __call__(self, updates: Any, gradient_step: Any, params: Any) -> tuple[Any, Any]:
        """Whether to leave a micro-step out, and what shall be seen of it in the state."""
        ...


@register
def skip_not_finite(updates: Any, gradient_step: Any, params: Any) -> tuple[jax.Array, Any]:
    """Leave out micro-steps with an inf or a nan in them, for `MultiSteps`.

    Args:
        updates: Tree of gradients.
        gradient_step: Not used.
        params: Not used.

    Returns:
        Whether there is one, and {"should_skip", "num_not_finite"}.
    """
    del gradient_step, params
    arrays = [g for g in jax.tree.leaves(updates) if is_inexact(g)]

    def count() -> jax.Array:
        counts = [jnp.sum(~jnp.isfinite(g), dtype=jnp.int32) for g in arrays]
        return sum(counts, start=jnp.zeros([], jnp.int32))

    # Counting takes far longer than to see that there is nothing to count.
    residues = [residue(g).astype(jnp.float32) for g in arrays]
    skip = sum(residues, start=jnp.zeros([], jnp.float32)) != 0
    total = lax.cond(skip, count, lambda: jnp.zeros([], jnp.int32))
    return skip, {"should_skip": skip, "num_not_finite": total}


@register
def skip_large_updates(
    updates: Any, gradient_step: Any, params: Any, max_squared_norm: Any
) -> tuple[jax.Array, Any]:
    """Leave out micro-steps whose gradient is too large, or is no number, for `MultiSteps`.

    Skips unless norm(updates)^2 < max_squared_norm. Give it the limit by
    `functools.partial(skip_large_updates, max_squared_norm=100.0)`.

    Args:
        updates: Tree of gradients.
        gradient_step: Not used.
        params: Not used.
        max_squared_norm: Limit of the squared norm over all arrays.

    Returns:
        Whether to skip, and {"should_skip", "norm_squared"}.
    """
    del gradient_step, params
    squares = [jnp.sum(abs2(widened(g))) for g in jax.tree.leaves(updates) if is_inexact(g)]
    square_norm = sum(squares, start=jnp.zeros([], jnp.float32))
    skip = ~(square_norm < max_squared_norm)
    return skip, {"should_skip": skip, "norm_squared": square_norm}


@dataclasses.dataclass(eq=False)
class _MultiSteps(Accumulating):
    """A transformation that steps once for several gradients.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
        every: Micro-steps in a step: a number, or a function of the step count.
        rule: What becomes of the accumulator in a micro-step.
        dtype: Storage dtype of the accumulator, or None.
        skip: Which micro-steps to leave out, or None.
    """

    skip: Callable[..., Any] | None

    def init(self, flow: Flow) -> Any:
        return MultiStepsState(
            mini_step=first_count(flow),
            gradient_step=first_count(flow),
            inner_opt_state=start(self.inner.update.body, changed_before(flow)),
            acc_grads=start(self.accumulator(), flow).acc_grads,
            skip_state=as_abstract_as(flow, self._first_skip_state(flow)),
        )

    def collected(self, flow: Flow, state: Any) -> tuple[Any, Any, dict[str, Any]]:
        state = check_state(self.name, MultiStepsState, state)
        skip, skip_state = self._skipped(flow, state.gradient_step)
        done = state.mini_step + 1
        acc_grads = self.with_one_more(
            flow,
            state.acc_grads,
            first=state.mini_step == 0,
            share=1.0 / jnp.asarray(done, float),
            skip=skip,
        )
        complete = (done >= self.steps("every_k_schedule", state.gradient_step)) & ~skip
        count = safe_increment(state.gradient_step)
        new = MultiStepsState(
            mini_step=jnp.where(complete, 0, jnp.where(skip, state.mini_step, done)),
            gradient_step=jnp.where(complete, count, state.gradient_step),
            inner_opt_state=state.inner_opt_state,
            acc_grads=acc_grads,
            skip_state=skip_state,
        )
        return complete, new, flow.extra

    def _skipped(self, flow: Flow, gradient_step: Any) -> tuple[Any, Any]:
        if self.skip is None:
            return jnp.array(False), ()
        skip, skip_state = self.skip(flow.as_given(), gradient_step, flow.params_tree)
        if jnp.shape(skip) != () or jnp.result_type(skip) != jnp.bool_:
            raise TypeError(
                f"{self.name}: `should_skip_update_fn` must return one boolean and a tree, but "
                f"the first is {describe_leaf(skip)}."
            )
        return skip, skip_state

    def _first_skip_state(self, flow: Flow) -> Any:
        if self.skip is None:
            return ()

        zeros = [
            jnp.zeros(x.shape, x.dtype) if on else x
            for x, on in zip(flow.leaves, flow.trainable, strict=True)
        ]
        return self._skipped(flow.branch(leaves=zeros), jnp.zeros([], jnp.int32))[1]


class _Accumulating(GradientTransformation):
    """What `MultiSteps` returns: a transformation with the methods that Optax's class has."""

    __slots__ = ()

    @property
    def inner_opt(self) -> GradientTransformation:
        """The wrapped transformation."""
        return self.update.body.inner

    def has_updated(self, state: Any) -> jax.Array:
        """Whether the last micro-step completed a step: a boolean scalar."""
        state = check_state("MultiSteps.has_updated", MultiStepsState, state)
        return (state.mini_step == 0) & (state.gradient_step > 0)

    def gradient_transformation(self) -> GradientTransformation:
        """The transformation itself."""
        return self


@transformation
def MultiSteps(  # noqa: N802 (a class in Optax)
    opt: Any,
    every_k_schedule: Any,
    use_grad_mean: bool = True,
    should_skip_update_fn: Any = None,
    accumulator_dtype: DType | None = None,
) -> GradientTransformation:
    """Step once for the gradients of several micro-steps.

    With k = every_k_schedule (of the count of steps, if it is a function), at the micro-steps
    n = 0 ... k - 1 of a step, and a started anew at n = 0:

        a = a + (g - a) / (n + 1)        or a + g without `use_grad_mean`
        u = opt(a) if n = k - 1, else 0

    The inner transformation runs once in a step, and neither it nor its counts, schedules and decay
    see micro-steps. `step` touches nothing but a at the others. For equal batches of independent
    examples a is the gradient of the batch made of all of them.

    Shapes: a is shaped like the parameters, in float32 or wider.
    Units: those of opt.

    Args:
        opt: The transformation.
        every_k_schedule: Micro-steps in a step, at least 1; or a function of the count of steps.
        use_grad_mean: Whether a is the mean of the gradients, or their sum.
        should_skip_update_fn: (updates, gradient_step, params) -> (boolean scalar, tree of
            scalars): where it is True the micro-step leaves no trace but that tree, the
            `skip_state`. `skip_not_finite` and `skip_large_updates` are such functions.
        accumulator_dtype: Dtype in which a is stored; None for float32 or wider.

    Returns:
        The transformation, with a `MultiStepsState`. It has the methods `has_updated(state)` and
        `gradient_transformation()` besides.

    Raises:
        TypeError: If `opt` is no transformation or `every_k_schedule` neither an integer nor a
            function; on update, if a function returns something else than it should.
        ValueError: If `every_k_schedule` is below 1, or a `loss_scaling` is inside although
            micro-steps are left out.

    Differs: a is started anew after each step; Optax multiplies it by 0, so that an inf stays.
        Optax runs the inner transformation at each micro-step and drops what it does not want.
        The extra arguments `weight` and `flush`, which are for `accumulate`, raise.
    """
    every = as_every("MultiSteps", "every_k_schedule", every_k_schedule)
    if should_skip_update_fn is not None and not callable(should_skip_update_fn):
        raise TypeError(
            "MultiSteps: `should_skip_update_fn` must be a function (updates, gradient_step, "
            f"params), but is {should_skip_update_fn!r}."
        )
    inner = as_transformation(opt, "MultiSteps")
    if should_skip_update_fn is not None:
        refuse_unscaling("MultiSteps", inner)
    body = _MultiSteps(
        "MultiSteps",
        inner,
        every,
        MEAN if use_grad_mean else SUM,
        accumulator_dtype,
        should_skip_update_fn,
    )
    return _Accumulating(*from_body(body))
