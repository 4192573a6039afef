"""Mechanic: learn the factor of another optimizer's steps while it runs."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._accumulate.accumulating import Accumulating
from .._core.body import Body, run, start
from .._core.flow import Flow
from .._core.lifted import Lifted
from .._core.numerics import divide, root
from .._core.rule import Rule
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import Wrapper, check_state, every_body, need_params
from .._guard.judge import Guarding
from .._parts.norms import square_norm
from .._wrap.sam import ways_back
from ..typing import Count, InnerState, NonNegative, PerParam, Positive, PositiveInt, Scalar
from .common import inner


class MechanicState(NamedTuple):
    """State of the base, step count; for each decay r, m, v and s; sum of the base's updates."""

    base_optimizer_state: InnerState
    count: Count
    r: Scalar
    m: Scalar
    v: Scalar
    s: Scalar
    delta: PerParam


class _Tuner(NamedTuple):
    """What learns the factor: all of the state but the base's."""

    count: Count
    r: Scalar
    m: Scalar
    v: Scalar
    s: Scalar
    delta: PerParam


def _measure_progress(u, state, p, h):
    return {
        "slope": inner(h.gradient, state.delta),
        "pull": inner(p, state.delta),
        "square_norm": square_norm(h.gradient),
        "square_param_norm": square_norm(p),
    }


def _bet(totals, state, h):
    betas = jnp.asarray(1 - 0.1 ** np.arange(1.0, h.num_betas + 1)).astype(state.s.dtype)
    before = jnp.sum(state.s)
    size = divide(root(totals.square_norm), root(totals.square_param_norm) + h.eps)
    x = totals.slope + h.weight_decay * before * size * totals.pull
    if h.clip_reward:
        r = betas * state.r - jnp.clip(x, -state.m, state.m) * state.s
    else:
        r = jnp.maximum(betas * state.r - x * state.s, 0)
    m = jnp.maximum(betas * state.m, jnp.abs(x) + h.eps)
    v = betas**2 * state.v + x**2
    wealth = h.s_init / h.num_betas * m + jnp.maximum(r, 0)
    s = divide(wealth, root(v) + h.eps)
    state = state._replace(r=r, m=m, v=v, s=s)
    return {"before": before, "after": jnp.sum(s)}, state


def _scaled_sum(u, state, p, h):
    delta = state.delta + u
    return h.after * delta - h.before * state.delta, state._replace(delta=delta)


_TUNER = Rule(
    _scaled_sum,
    state=_Tuner,
    measure=_measure_progress,
    conclude=_bet,
    reports=(("step_size", "after"),),
    params=True,
    trees=("gradient",),
)


@dataclasses.dataclass(eq=False)
class _Mechanize(Wrapper):
    """A transformation whose updates are summed and scaled.

    Attributes:
        name: The constructor's name.
        base_optimizer: The transformation.
        tuner: Rule that scales the sum of its updates.
    """

    base_optimizer: Any
    tuner: Lifted
    inside: ClassVar[tuple[str, ...]] = ("base_optimizer",)
    reports: ClassVar[tuple[str, ...]] = ("step_size",)
    rests_as_inside: ClassVar[bool] = True

    def init(self, flow: Flow) -> Any:
        base = start(self.base_optimizer.update.body, flow)
        return MechanicState(base, *start(self.tuner, flow))

    def update(self, flow: Flow, state: Any) -> Any:
        need_params(self.name, flow)
        base, *tuner = check_state(self.name, MechanicState, state)
        branch = flow.branch()
        base = run(self.base_optimizer.update.body, branch, base)
        gradient = flow.treedef.unflatten(flow.leaves)
        scaled = flow.branch(leaves=branch.leaves, extra={"gradient": gradient})
        tuned = run(self.tuner, scaled, _Tuner(*tuner), outermost=flow.casting)
        flow.leaves = scaled.leaves
        return MechanicState(base, *tuned)


@transformation
def mechanize(
    base_optimizer: Any,
    weight_decay: NonNegative = 1e-2,
    eps: Positive = 1e-8,
    s_init: Positive = 1e-6,
    num_betas: PositiveInt = 6,
    *,
    clip_reward: bool = False,
) -> GradientTransformation:
    """Learn the factor of an optimizer's steps while it runs.

    The base optimizer runs as if its steps u were made, with a schedule but without a tuned rate:
    `mechanize(adam(1.0))`. What is made is their sum, times a factor S that n = num_betas gamblers
    set by betting on whether a longer way would have been better, each with a memory of its own,
    beta_i = 1 - 0.1^i. With sums over all arrays, D = 0 and r = m = v = s = 0 before:

        x = sum D (g + weight_decay S sqrt(sum |g|^2) / (sqrt(sum |p|^2) + eps) p)
        r = max(beta r - x s, 0)
        m = max(beta m, |x| + eps)
        v = beta^2 v + x^2
        s = (s_init / n m + r) / (sqrt(v) + eps)
        D = D + u
        S = sum over the gamblers of s

    and the parameters become p_0 + S D, p_0 being those at the first step.

    It bets on every g that it is given, and moves the parameters each time: an accumulation, a
    guard or a scale of the loss belongs around it, and an error says so.

    Shapes: D is shaped like the parameters, in float32 or wider: a copy of them besides the state
        of the base. r, m, v and s have n entries.
    Units: S has none.

    Args:
        base_optimizer: The transformation whose updates are scaled; it gets all extra arguments.
            Optimizers that normalise by the size of the parameters, as LARS and LAMB, do not fit.
        weight_decay: Pull of the bets towards a smaller S, in [0, inf); the parameters themselves
            do not decay.
        eps: Added to roots and to m, in (0, inf).
        s_init: First S, in (0, inf). The paper has 1e-8.
        num_betas: Number of gamblers, at least 1.
        clip_reward: Whether x in r is bounded by the m before, and r may be negative, counting as 0
            in s: as Optax does.

    Returns:
        The transformation, with a `MechanicState`. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range, or the base optimizer has in it what
            belongs around.
        TypeError: If `base_optimizer` is no transformation.

    Source: Cutkosky, Defazio, Mehta 2023, https://arxiv.org/abs/2306.00144, Algorithm 1.
    Differs: the paper's m has no eps, and starts above 0. Optax keeps p_0 instead of D and takes D
        as (p - p_0) / (S + eps), which is lost to rounding while S is small: in bfloat16 its S
        never grows. Its r may become negative, and it bounds x there; see `clip_reward`.
    """
    name = "mechanize"
    base = as_transformation(base_optimizer, name)
    _check_base(base.update.body)
    numbers = {"weight_decay": weight_decay, "eps": eps, "s_init": s_init}
    static = {"num_betas": int(num_betas), "clip_reward": bool(clip_reward)}
    zeros = {field: np.zeros(int(num_betas)) for field in ("r", "m", "v", "s")}
    tuner = Lifted(name, _TUNER, numbers, static, {}, None, zeros)
    return from_body(_Mechanize(name, base, tuner))


def _check_base(base: Body) -> None:
    for body in every_body(base):
        if isinstance(body, Guarding):
            why = "it bets on every gradient, also on those that are left out or changed there"
        elif isinstance(body, Accumulating):
            why = "it bets on every gradient, and moves the parameters at every call"
        else:
            continue
        raise ValueError(
            f"mechanize: `{body.name}` must not stand inside it: {why}. Put it around: "
            f"{body.name}(mechanize(...), ...)."
        )
    for _ in ways_back(base):
        raise ValueError(
            "mechanize: `sam` inside it must be opaque: the transparent one goes back by what it "
            "moved, but here the parameters move by a multiple of that. Put it around, "
            "sam(mechanize(...), adv_optimizer), or give it opaque_mode=True."
        )
