"""Nesterov's momentum in its classical form: the gradient is taken at a point ahead."""

from typing import NamedTuple

import jax

from .._core.lifted import Lifted
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, Decay, LearningRate, OptState, Params, PerParam
from .moments import velocity


class NesterovLookaheadState(NamedTuple):
    """Step count, and the step that the velocity alone would make next."""

    count: Count
    ahead: PerParam


def _step_from_ahead(g, state, p, h):
    # state.ahead is -momentum v, so u is -(momentum v + learning_rate g).
    u = velocity(state.ahead, g, 1.0, -h.learning_rate)
    return u, state._replace(ahead=h.momentum * u)


def _ahead(p, state):
    return p + state.ahead


_NESTEROV = Rule(
    _step_from_ahead,
    state=NesterovLookaheadState,
    point=_ahead,
    reports=(("learning_rate", "learning_rate"),),
)
_POINT = Lifted("lookahead_point", _NESTEROV, {}, {}, {})


@transformation
def nesterov_lookahead(
    learning_rate: LearningRate, momentum: Decay = 0.9
) -> GradientTransformation:
    """Nesterov's momentum as it was first written: look ahead, then correct.

    For each array, with v = 0 before, and g the gradient at `tx.grad_params(state, params)`,
    which is w - momentum v:

        v = momentum v + learning_rate g
        u = -v

    The rate is inside the velocity, and u is the step itself: this stands last in a chain. With
    y = w - momentum v the iterates y are those of
    `chain(scale_by_learning_rate(learning_rate), trace(momentum, nesterov=True))`, which needs
    the gradient at the current parameters only.

    Shapes: the state holds -momentum v, shaped like g.
    Units: u is in units of the parameters.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        momentum: Weight of the past, in [0, 1).

    Returns:
        The transformation, with a `NesterovLookaheadState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Nesterov 1983, "A method for solving the convex programming problem with convergence
        rate O(1/k^2)"; with constant momentum as in Sutskever, Martens, Dahl, Hinton 2013,
        https://proceedings.mlr.press/v28/sutskever13.html, equations 3 and 4.
    """
    return lift(_NESTEROV, learning_rate=learning_rate, momentum=momentum)


def lookahead_point(params: Params, state: OptState) -> Params:
    """The point at which the next gradient is to be taken, found from the state alone.

    It is w - momentum v where `nesterov_lookahead` stands anywhere in the optimizer, and the
    parameters themselves for every other optimizer. `tx.grad_params(state, params)` answers for
    every transformation, also where arrays are gathered, split or shared out to groups on the way.

    Args:
        params: The parameters w.
        state: State of the optimizer, of the step before or of `init`.

    Returns:
        A tree like the parameters, in their dtypes.

    Raises:
        ValueError: If the state is of other parameters.
    """

    def is_ours(node):
        return isinstance(node, NesterovLookaheadState)

    for node in jax.tree.leaves(state, is_leaf=is_ours):
        if is_ours(node):
            params = _POINT.point("gradient", node, params)
    return params
