"""Skip the steps whose gradients are not finite."""

import dataclasses
from typing import Annotated, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._core.body import start
from .._core.flow import Flow
from .._core.numerics import safe_increment
from .._core.scaled import refuse_unscaling
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import as_abstract_as, check_state, first_count
from ..typing import InnerState, Interval, Scalar, Tally
from .judge import Guarding, Verdict, not_finite


class ApplyIfFiniteState(NamedTuple):
    """Steps skipped in a row, whether the last was finite, all that were not, inner's state."""

    notfinite_count: Tally
    last_finite: Scalar
    total_notfinite: Tally
    inner_state: InnerState


@dataclasses.dataclass(eq=False)
class _ApplyIfFinite(Guarding):
    """A transformation that sits out steps that are not finite.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
        patience: How many steps in a row may be skipped: at the largest of the counts, all.
    """

    patience: int

    def init(self, flow: Flow) -> Any:
        return ApplyIfFiniteState(
            notfinite_count=first_count(flow),
            last_finite=as_abstract_as(flow, jnp.array(True)),
            total_notfinite=first_count(flow),
            inner_state=start(self.inner.update.body, flow),
        )

    def judged(self, flow: Flow, state: Any) -> Verdict:
        state = check_state(self.name, ApplyIfFiniteState, state)
        finite = ~jnp.any(not_finite(flow))
        in_a_row = safe_increment(state.notfinite_count)
        accepted = finite | (in_a_row > self.patience)
        new = state._replace(
            notfinite_count=jnp.where(accepted, 0, in_a_row),
            last_finite=finite,
            total_notfinite=jnp.where(
                finite, state.total_notfinite, safe_increment(state.total_notfinite)
            ),
        )
        return Verdict(accepted, new)


@transformation
def apply_if_finite(
    inner: Any,
    max_consecutive_errors: Annotated[float, Interval(0, integer=True, infinite=True)],
) -> GradientTransformation:
    """Skip the steps whose updates have an inf or a nan in them.

    If all entries of all arrays of g are finite, u = inner(g). If not, u = 0 and the state of inner
    stays as it is, so that the step leaves no trace; `step` does not touch the parameters. After
    `max_consecutive_errors` such steps in a row it gives up: the next one is taken as it is, and
    the count of those in a row starts again.

    Shapes: any.
    Units: those of inner.

    Args:
        inner: The transformation.
        max_consecutive_errors: How many steps in a row are skipped, at least 0; inf for all.

    Returns:
        The transformation, with an `ApplyIfFiniteState`: `notfinite_count` (skipped in a row),
        `last_finite`, `total_notfinite` and `inner_state`.

    Raises:
        TypeError: If `inner` is no transformation.
        ValueError: If `max_consecutive_errors` is below 0, or a `loss_scaling` is inside.

    Differs: Optax goes on counting after it gave up, and so takes every step that follows, finite
        or not, until one is finite.
    """
    name = "apply_if_finite"
    patience = int(min(max_consecutive_errors, np.iinfo(np.int32).max))  # where counts stay
    child = as_transformation(inner, name)
    refuse_unscaling(name, child)
    return from_body(_ApplyIfFinite(name, child, patience))
