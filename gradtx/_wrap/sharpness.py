"""Sharpness: the gradient mixed with the one at the worst point nearby.

What measures the sharpness of a loss is in gradtx/curvature/_sharpness.py.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from .._core.arguments import is_flag
from .._core.body import run, start
from .._core.composite import Sequence
from .._core.flow import Flow
from .._core.lifted import Lifted
from .._core.numerics import divide, magnitude, root
from .._core.rule import Rule
from .._core.state import EmptyState
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import Wrapper, check_state, first_count, need_params
from .._parts.norms import measure_square_norm, scale_by_factor
from ..typing import Count, InnerState, NonNegative, NonNegativeOrSchedule
from .common import as_gradients, point_in_dtype


class PenalizeGradientNormState(NamedTuple):
    """Step count, and the state of the wrapped transformation."""

    count: Count
    inner_state: InnerState


class _Step(NamedTuple):
    """Where the schedules stand."""

    count: Count


def _times_size_of_param(g, state, p, h):
    return (magnitude(p) + h.eta) * g, state


def _radius_over_norm(totals, state, h):
    return {"factor": divide(h.rho, root(totals.square_norm))}, state


def _from_the_param(g, state, p, h):
    return p + g, state


def _mixed(g, state, p, h):
    # Where a weight is 0 its gradient is left out, even if it is inf or nan.
    near = jnp.where((h.alpha == 0) & ~jnp.isfinite(h.nearby), 0, h.nearby)
    g = jnp.where((h.alpha == 1) & ~jnp.isfinite(g), 0, g)
    return (1 - h.alpha) * g + h.alpha * near, state


_RELATIVE = Rule(_times_size_of_param, params=True)
_TO_RADIUS = Rule(
    scale_by_factor,
    state=_Step,
    measure=measure_square_norm,
    conclude=_radius_over_norm,
)
_POINT = Rule(_from_the_param, params=True)
_MIX = Rule(_mixed, state=_Step, trees=("nearby",))


@dataclasses.dataclass(eq=False)
class _PenalizeGradientNorm(Wrapper):
    """A transformation of mixed gradients.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
        ascent: Rules that make the point nearby of the gradient.
        mix: Rule that mixes the gradients.
        keep_dtype: Whether that point has the dtypes of the parameters.
    """

    inner: Any
    ascent: Sequence
    mix: Lifted
    keep_dtype: bool

    needs: ClassVar[tuple[str, ...]] = ("grad_fn",)
    rests_as_inside: ClassVar[bool] = True

    def init(self, flow: Flow) -> Any:
        return PenalizeGradientNormState(first_count(flow), start(self.inner.update.body, flow))

    def update(self, flow: Flow, state: Any) -> Any:
        need_params(self.name, flow)
        grad_fn = flow.needed_function(self.name, "grad_fn")
        count, inner_state = check_state(self.name, PenalizeGradientNormState, state)
        casting = flow.casting
        nearby = as_gradients(self.name, flow, grad_fn(self._point(flow, count)))
        branch = flow.branch(extra={"nearby": flow.treedef.unflatten(nearby)})
        mixed = run(self.mix, branch, _Step(count))
        flow.leaves = branch.leaves
        inner_state = run(self.inner.update.body, flow, inner_state, outermost=casting)
        return PenalizeGradientNormState(mixed.count, inner_state)

    def _point(self, flow: Flow, count: Any) -> Any:
        """The parameters where the loss rises most within the radius."""
        branch = flow.branch()
        states = [
            _Step(count) if isinstance(part, Lifted) and part.rule.state is _Step else EmptyState()
            for part in self.ascent.bodies
        ]
        run(self.ascent, branch, tuple(states))
        given = flow.params or []
        moved = [
            point_in_dtype(p, x, self.keep_dtype) if on else p
            for p, x, on in zip(given, branch.leaves, flow.trainable, strict=True)
        ]
        return flow.all_params_at(moved)


@transformation
def penalize_gradient_norm(
    inner: Any,
    rho: NonNegativeOrSchedule = 0.05,
    alpha: NonNegativeOrSchedule = 1.0,
    adaptive: Any = False,
    eta: NonNegative = 0.01,
    *,
    keep_dtype: bool = False,
) -> GradientTransformation:
    """Penalise the norm of the gradient, so that flat minima are preferred: SAM and its kin.

    With g the gradient at the parameters w, the norm over all arrays, and T = 1, or with `adaptive`
    T = |w| + eta entry by entry:

        e = rho T^2 g / norm(T g)
        u = inner((1 - alpha) g + alpha grad_fn(w + e))

    - `alpha=1` is sharpness-aware minimisation, SAM: the gradient at the worst point within rho.
    - `alpha=1, adaptive=True` is ASAM: a radius relative to each parameter. rho is then larger:
      0.5 and 1 in its authors' examples.
    - Any alpha: to first order in rho the mix is the gradient of loss + lambda norm(gradient) with
      lambda = alpha rho.
    - `alpha=0` is inner alone, and with `alpha=1` g has no part in the mix, even where what
      is left out is inf or nan.

    `grad_fn`, an extra argument of `update`, is a function params -> gradients of the same loss. It
    closes over the batch and the keys that g was taken with, so that both see the same:

        grad_fn = lambda p: jax.grad(loss)(p, batch)
        updates, state = tx.update(grad_fn(params), state, params, grad_fn=grad_fn)

    It is called once in each step, and `inner` gets it, too, with all other extra arguments. Where
    g was averaged over devices or conjugated, it must do the same.

    The direction is that of what arrives as the updates; nothing that stands before this in a chain
    is applied to `grad_fn(w + e)`. So clipping belongs inside:
    `penalize_gradient_norm(chain(clip_by_global_norm(1.0), adam(1e-3)))`.

    In bfloat16 the spacing around w is up to |w| / 128, and an entry of e is often far less: with
    rho 0.05, a million equal entries have 5e-5 each. So `grad_fn` sees parameters of fewer than 32
    bits in float32. `keep_dtype=True` gives it the dtypes of the parameters, and e is then lost
    wherever rounding loses it.

    Shapes: any. The state is inner's and a count.
    Units: rho is in those of the parameters; with `adaptive` it is relative to them, and `eta` in
        their units. alpha has none.

    Args:
        inner: The transformation of the mixed gradients.
        rho: Radius, in [0, inf), or a schedule of such; r in Zhao's paper.
        alpha: Weight of the gradient nearby, in [0, inf), or a schedule of such: lambda / rho. SAM
            has 1, the recipes of Zhao's group 0.8.
        adaptive: Whether T depends on w; or for which leaves: a tree of booleans, a prefix of
            it, or a function of the parameters. ASAM's authors leave out the biases.
        eta: Added to |w| with `adaptive`, in [0, inf).
        keep_dtype: Whether the perturbed parameters keep their dtypes.

    Returns:
        The transformation, with a `PenalizeGradientNormState`. Its update needs the parameters and
        the extra argument `grad_fn`.

    Raises:
        ValueError: If an argument is outside its range; on update, if the parameters are missing or
            `grad_fn` returns something else than gradients.
        TypeError: If `inner` is no transformation; on update, if `grad_fn` is missing.

    Source: Zhao, Zhang, Hu 2022, https://arxiv.org/abs/2202.03599, Algorithm 1; Foret et al. 2020,
        https://arxiv.org/abs/2010.01412, eq. 2 and 3 for the norm of p = 2; Kwon et al. 2021,
        https://arxiv.org/abs/2102.11600, Algorithm 1.
    Differs: where g is 0, so is e; in float32 also where all of T g is below 1e-19 or so, since
        the squares in its norm vanish. ASAM's weight decay is left to inner.
    """
    name = "penalize_gradient_norm"
    everywhere = is_flag(adaptive)
    ascent = [_part(_TO_RADIUS, rho=rho)]
    if not everywhere or adaptive:
        relative = _part(_RELATIVE, None if everywhere else adaptive, eta=eta)
        ascent = [relative, *ascent, relative]
    return from_body(
        _PenalizeGradientNorm(
            name,
            as_transformation(inner, name),
            Sequence(name, tuple(from_body(part) for part in (*ascent, _part(_POINT)))),
            _part(_MIX, alpha=alpha),
            keep_dtype,
        )
    )


def _part(rule: Rule, where: Any = None, **numbers: Any) -> Lifted:
    return Lifted("penalize_gradient_norm", rule, numbers, {}, {}, where)
