"""Accumulate the gradients of several micro-batches, by weight, into one step."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from .._core.arguments import as_flag, concrete_number
from .._core.body import start
from .._core.flow import Flow
from .._core.leaves import describe_leaf, flatten, is_traced
from .._core.numerics import safe_increment
from .._core.outside import changed_before
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import as_abstract_as, check_state, first_count
from ..typing import Clock, DType, InnerState, PerParam, Scalar, Tally
from .accumulating import MEAN, Accumulating, as_every


class AccumulateState(NamedTuple):
    """Micro-steps since the last step, steps; weight, mean value and mean gradient; inner's state.

    The means are those of the group so far. After a step the weight is 0, and they are still there.
    """

    micro_step: Tally
    count: Clock
    weight: Scalar
    value: Scalar
    acc_grads: PerParam
    inner_state: InnerState


@dataclasses.dataclass(eq=False)
class _Accumulate(Accumulating):
    """A transformation that steps once for the weighted mean of several gradients."""

    # What stands behind it in a chain sees updates of zero at its micro-steps.
    gathers: ClassVar[bool] = True
    options: ClassVar[tuple[str, ...]] = ("weight", "flush", "value", "grad")

    def init(self, flow: Flow) -> Any:
        return AccumulateState(
            micro_step=first_count(flow),
            count=first_count(flow),
            weight=as_abstract_as(flow, jnp.zeros([], float)),
            value=as_abstract_as(flow, jnp.zeros([], float)),
            acc_grads=start(self.accumulator(), flow).acc_grads,
            inner_state=start(self.inner.update.body, changed_before(flow)),
        )

    def collected(self, flow: Flow, state: Any) -> tuple[Any, Any, dict[str, Any]]:
        state = check_state(self.name, AccumulateState, state)
        self._check_noise(flow)
        weight = self._weight(flow).astype(state.weight.dtype)
        flush = self._flush(flow)
        weighs = weight > 0  # a traced one that is negative or nan counts as 0
        total, first = state.weight + jnp.where(weighs, weight, 0), state.weight == 0
        share = jnp.where(weighs, weight / jnp.where(weighs, total, 1), 0)
        value = self._value(flow, state, first, share)
        extra = {**flow.extra, "weight": total} | ({} if value is None else {"value": value})
        grad_is_updates = self._is_updates(flow, flow.extra.get("grad"))
        acc_grads = self.with_one_more(
            flow, state.acc_grads, first=first, share=share, skip=~weighs
        )
        if grad_is_updates:
            extra["grad"] = flow.treedef.unflatten(flow.leaves)
        done = state.micro_step + 1
        closed = (done >= self.steps("every", state.count)) | flush
        complete = closed & (total > 0)
        new = AccumulateState(
            micro_step=jnp.where(closed, 0, done),
            count=state.count,
            weight=jnp.where(closed, 0, total),
            value=state.value if value is None else value.astype(state.value.dtype),
            acc_grads=acc_grads,
            inner_state=state.inner_state,
        )
        return complete, new, extra

    def counted(self, state: Any, taken: Any) -> Any:
        return state._replace(count=jnp.where(taken, safe_increment(state.count), state.count))

    def _check_noise(self, flow: Flow) -> None:
        if flow.noise_by:
            raise ValueError(
                f"{self.name}: noise must be drawn once for a step, but {flow.noise_by} before it "
                "draws at every micro-step, which adds up. Put the noise inside: "
                "accumulate(chain(add_noise(...), ...), every), after clip_per_example "
                "accumulate(chain(add_private_noise(...), ...), every)."
            )

    def _weight(self, flow: Flow) -> jax.Array:
        given = flow.extra.get("weight", 1.0)
        number = concrete_number(given)
        traced = is_traced(given) and jnp.shape(given) == () and given.dtype != jnp.bool_
        if number is None and not traced:
            raise TypeError(
                f"{self.name}: `weight` must be one number, how much this micro-batch counts (its "
                f"tokens or examples), but is {describe_leaf(given)}."
            )
        if number is not None and not 0 <= number < float("inf"):
            raise ValueError(
                f"{self.name}: `weight` must be at least 0 and finite, but is {number:g}."
            )
        return jnp.asarray(float(given) if isinstance(given, int) else given).astype(float)

    def _flush(self, flow: Flow) -> Any:
        given = flow.extra.get("flush", False)
        traced = is_traced(given) and jnp.shape(given) == () and given.dtype == jnp.bool_
        if as_flag(given) is None and not traced:
            raise TypeError(
                f"{self.name}: `flush` must be one boolean, whether to step now with what there "
                f"is, but is {describe_leaf(given)}."
            )
        return given

    def _value(self, flow: Flow, state: Any, first: Any, share: Any) -> jax.Array | None:
        """The mean of the extra argument `value`, or None if there is none."""
        if flow.extra.get("value") is None:
            return None
        value = jnp.asarray(flow.extra["value"])
        if value.shape != ():
            raise TypeError(
                f"{self.name}: `value` must be one number, the loss of this micro-batch, but is "
                f"{describe_leaf(value)}."
            )
        so_far = state.value
        value = value.astype(so_far.dtype)
        mean = jnp.where(first, value, so_far + (value - so_far) * share.astype(so_far.dtype))
        return jnp.where(share > 0, mean, so_far)

    @staticmethod
    def _is_updates(flow: Flow, tree: Any) -> bool:
        """Whether a tree has the very arrays of the updates."""
        if tree is None:
            return False
        given = flatten(tree)[0]
        same = len(given) == len(flow.leaves)
        return same and all(a is b for a, b in zip(given, flow.leaves, strict=True))


@transformation
def accumulate(inner: Any, every: Any, *, dtype: DType | None = None) -> GradientTransformation:
    """Step once for the mean of the gradients of several micro-batches, each with its weight.

    With k = every (of the count of steps, if it is a function), over the micro-steps n = 1 ... k
    since the last step, each with the gradient g_n and the weight w_n:

        a = sum_n w_n g_n / sum_n w_n
        u = inner(a) at n = k, else 0

    Each call may say two things by extra arguments, both of which may be traced:

    - `weight`, a number of at least 0, 1 if it is not given. If the gradient of a micro-batch is a
      mean over tokens, its number of tokens is its weight: a is then the gradient of one large
      batch, however the tokens fell. A micro-step of weight 0 takes its turn, and its gradient, be
      it nan, is not looked at. If all have weight 0 there is no step.
    - `flush`, a boolean: this micro-step is the last of its group, step now. So the short last
      group of an epoch is a step of its own and not the start of the next epoch's first. With
      weight 0 it steps on what was there before, if anything was.

    inner runs once in a step: its schedules, decay, averages and noise see steps only. A group that
    a guard inside leaves out is done with, but not counted as a step. Of the extra
    arguments it sees `value` as the weighted mean over the group, `weight` as the sum (so that
    accumulations nest), `grad` as a where it is the updates themselves, and all others as they came
    at the last micro-step. So `value_fn`, for a line search inside, must be the mean over all
    micro-batches, not that of the last: the search would stall. With `step` a micro-step touches
    nothing but a.

    a is kept as a running mean, so that it is as large as a gradient at any time. In bfloat16 the
    mean of more than some tens of micro-steps loses digits: a new one is then a small change.

    Noise is to be drawn once in a step, so it belongs inside. What draws noise before, at each
    micro-step, is refused. For differential privacy:

        chain(clip_per_example(C), accumulate(chain(add_private_noise(C, s, key), inner), every))

    Behind it in a chain everything runs at each micro-step, on zeros at all but the last of a
    group, so only what has no state may stand there, such as a scale or a clip: moments, schedules,
    weight decay and noise belong inside, and are refused.

    Shapes: a is shaped like the parameters.
    Units: those of tx. `weight` has none: only ratios of weights matter.

    Args:
        inner: The transformation.
        every: Micro-steps in a step, at least 1; or a function of the count of steps.
        dtype: Dtype in which a is stored; None for float32 or wider.

    Returns:
        The transformation, with an `AccumulateState`.

    Raises:
        TypeError: If `inner` is no transformation or `every` neither an integer nor a function; on
            update, if that returns no integer, or if `weight`, `flush` or `value` is no scalar.
        ValueError: If `every` is below 1; on update, if it returns less, a known `weight` is
            negative or not finite, or noise is drawn before it.

    Differs: from `MultiSteps`, which is Optax's and gives each micro-step the same weight.
    """
    body = _Accumulate(
        "accumulate",
        as_transformation(inner, "accumulate"),
        as_every("accumulate", "every", every),
        MEAN,
        dtype,
    )
    return from_body(body)
