"""Sharpness-aware minimisation with an optimizer for the ascent, over calls or inside one."""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jax import lax

from .._core import leaves
from .._core.body import Body, Purpose, run, start, step
from .._core.flow import Flow
from .._core.leaves import as_array, is_inexact, is_traced
from .._core.lifted import Lifted
from .._core.numerics import accumulator_dtype, with_precision_of
from .._core.rule import Rule
from .._core.state import EmptyState, state_like
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import Wrapper, check_state, every_body, first_count, need_params
from ..typing import InnerState, PerParam, PositiveInt, Tally
from .common import always_steps, as_gradients, copy_of, either, point_in_dtype


class SAMState(NamedTuple):
    """Calls since the last descent, both optimizers' states, and where the ascent began."""

    steps_since_sync: Tally
    opt_state: InnerState
    adv_state: InnerState
    cache: PerParam


def _up(g, state, p, h):
    return -g, state


def _up_from_param(g, state, p, h):
    return p - g, state


def _from_cache(g, state, p, h):
    return g + (h.cache - p), state


_ASCENT = Lifted("sam", Rule(_up), {}, {}, {})
_POINT = Lifted("sam", Rule(_up_from_param, params=True), {}, {}, {})
_RETURN = Lifted("sam", Rule(_from_cache, params=True, trees=("cache",)), {}, {}, {})


@dataclasses.dataclass(eq=False)
class _Sam(Wrapper):
    """What both ways of SAM have in common.

    Attributes:
        name: The constructor's name.
        optimizer: The transformation that descends.
        adv_optimizer: The transformation that would descend where its reverse ascends.
        period: Number of gradients in a step.
        reset_state: Whether the ascent starts anew in each step.
    """

    optimizer: Any
    adv_optimizer: Any
    period: int
    reset_state: bool
    inside: ClassVar[tuple[str, ...]] = ("optimizer", "adv_optimizer")
    heard: ClassVar[tuple[str, ...]] = ()  # they run in branches
    rests_as_inside: ClassVar[bool] = True

    def init(self, flow: Flow) -> Any:
        return SAMState(
            first_count(flow),
            start(self.optimizer.update.body, flow),
            start(self.adv_optimizer.update.body, flow),
            self.first_cache(flow),
        )

    def first_cache(self, flow: Flow) -> Any:
        """The cache before the first step."""
        del flow
        return None

    def ascent_anew(self, flow: Flow, params: list) -> Any:
        """A first state of the ascent at parameters."""
        column = [as_array(p) if on else p for p, on in zip(params, flow.trainable, strict=True)]
        branch = flow.branch(leaves=column, tree=flow.treedef.unflatten(column))
        return start(self.adv_optimizer.update.body, branch)


class _Transparent(_Sam):
    """One gradient a call: the parameters between calls are those of the ascent."""

    def first_cache(self, flow: Flow) -> Any:
        pairs = zip(flow.leaves, flow.trainable, strict=True)
        return flow.treedef.unflatten([copy_of(p, p.dtype) if on else None for p, on in pairs])

    def update(self, flow: Flow, state: Any) -> Any:
        need_params(self.name, flow)
        state = check_state(self.name, SAMState, state)
        origin, cache = self._origin(flow, state)

        def descend():
            branch = flow.branch(params=origin)
            new = run(self.optimizer.update.body, branch, state.opt_state)
            back = branch.branch(params=flow.params, extra={"cache": cache})
            run(_RETURN, back, EmptyState())
            return self._wide(flow, back.leaves), (new, state.adv_state), branch.taken

        def ascend():
            branch = flow.branch()
            new = run(self.adv_optimizer.update.body, branch, state.adv_state)
            run(_ASCENT, branch, EmptyState())
            return self._wide(flow, branch.leaves), (state.opt_state, new), False

        flow.leaves, state = self._either_way(flow, state, descend, ascend, origin, cache)
        return state

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        need_params(self.name, flow)
        state = check_state(self.name, SAMState, state)
        origin, cache = self._origin(flow, state)

        def descend():
            branch = flow.branch(params=origin)
            params, new = step(self.optimizer.update.body, branch, state.opt_state)
            return flow.treedef.flatten_up_to(params), (new, state.adv_state), branch.taken

        def ascend():
            branch = flow.branch()
            new = run(self.adv_optimizer.update.body, branch, state.adv_state)
            run(_ASCENT, branch, EmptyState())
            return flow.treedef.flatten_up_to(branch.applied()), (state.opt_state, new), False

        out, state = self._either_way(flow, state, descend, ascend, origin, cache)
        made = zip(out, flow.params or [], flow.trainable, strict=True)
        return flow.treedef.unflatten([x if on else p for x, p, on in made]), state

    def point(self, purpose: Purpose, state: Any, params: Any) -> Any:
        """Of the ascent or of the descent, as is next; evaluated is where the ascent began."""
        last = state.steps_since_sync >= self.period - 1
        bodies = (self.optimizer.update.body, self.adv_optimizer.update.body)
        if purpose == "gradient":
            down = bodies[0].point(purpose, state.opt_state, params)
            up = bodies[1].point(purpose, state.adv_state, params)
            if self.period == 1 or (down is params and up is params):
                return down
            return _chosen(last, down, up)
        if self.period > 1:
            params = _chosen(state.steps_since_sync == 0, params, state.cache)
        return bodies[0].point(purpose, state.opt_state, params)

    def _origin(self, flow: Flow, state: SAMState) -> tuple[list, Any]:
        """Where the ascent began: the parameters to descend from, and as they are stored."""
        first = state.steps_since_sync == 0
        column = flow.column(state.cache, self.name, "cache")
        pairs = enumerate(zip(flow.param_arrays, column, flow.trainable, strict=True))
        cache = [jnp.where(first, p, c) if on else column[i] for i, (p, c, on) in pairs]
        full = zip(cache, flow.params or [], flow.trainable, strict=True)
        return [c if on else p for c, p, on in full], flow.treedef.unflatten(cache)

    def _either_way(
        self, flow: Flow, state: SAMState, descend: Any, ascend: Any, origin: list, cache: Any
    ) -> tuple[list, SAMState]:
        """What one of two functions without arguments returns for the leaves, and the new state."""
        last = state.steps_since_sync >= self.period - 1
        before = (state.opt_state, state.adv_state)
        always = always_steps(self.optimizer.update.body, flow)

        def arrays(act):
            column, states, taken = act()
            kept = [x for x, on in zip(column, flow.trainable, strict=True) if on]
            return kept, state_like(states, before), None if always else jnp.asarray(taken)

        if self.period == 1:
            made, states, taken = arrays(descend)
        elif is_traced(last):
            made, states, taken = lax.cond(last, lambda: arrays(descend), lambda: arrays(ascend))
        else:
            made, states, taken = arrays(descend if last else ascend)
        opt_state, adv_state = states
        flow.taken = flow.taken & (last if always else taken)
        if self.reset_state:
            adv_state = either(last, self.ascent_anew(flow, origin), adv_state)
        count = jnp.where(last, 0, state.steps_since_sync + 1)
        rest = iter(made)
        leaves = [
            next(rest) if on else g for g, on in zip(flow.leaves, flow.trainable, strict=True)
        ]
        return leaves, SAMState(count, opt_state, adv_state, cache)

    @staticmethod
    def _wide(flow: Flow, column: list) -> list:
        """Updates in dtypes that do not depend on which optimizer made them."""
        out = []
        for x, p, g, on in zip(column, flow.param_arrays, flow.leaves, flow.trainable, strict=True):
            wide = accumulator_dtype(p.dtype, g.dtype) if on else None
            out.append(x.astype(with_precision_of(x.dtype, wide)) if on else x)
        return out


@dataclasses.dataclass(eq=False)
class _Opaque(_Sam):
    """All gradients in one call: the ascent is not seen from outside.

    Attributes:
        axis: Axis over which the gradients of the ascent are averaged, or None.
        keep_dtype: Whether perturbed parameters keep their dtypes.
    """

    axis: Any = None
    keep_dtype: bool = False

    needs: ClassVar[tuple[str, ...]] = ("grad_fn",)

    def update(self, flow: Flow, state: Any) -> Any:
        flow.leaves, state = self._at_the_top(flow, state)
        new = run(self.optimizer.update.body, flow, state.opt_state, outermost=flow.casting)
        return state._replace(opt_state=new)

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        gradients, state = self._at_the_top(flow, state)
        branch = flow.branch(leaves=gradients)
        branch.leaves = gradients
        params, new = step(self.optimizer.update.body, branch, state.opt_state)
        flow.taken = branch.taken
        return params, state._replace(opt_state=new)

    def point(self, purpose: Purpose, state: Any, params: Any) -> Any:
        if purpose == "gradient" and self.period > 1:
            return self.adv_optimizer.update.body.point(purpose, state.adv_state, params)
        return self.optimizer.update.body.point(purpose, state.opt_state, params)

    def _at_the_top(self, flow: Flow, state: Any) -> tuple[list, SAMState]:
        """The gradients where the ascent ends, and the state with that of the ascent renewed."""
        need_params(self.name, flow)
        state = check_state(self.name, SAMState, state)
        grad_fn = flow.needed_function(self.name, "grad_fn")
        gradients, params, adv_state = list(flow.leaves), list(flow.params or []), state.adv_state
        for i in range(self.period - 1):
            branch = flow.branch(params=params)
            branch.leaves = gradients
            adv_state = run(self.adv_optimizer.update.body, branch, adv_state)
            run(_POINT, branch, EmptyState())
            moved = zip(params, branch.leaves, flow.params or [], flow.trainable, strict=True)
            params = [
                point_in_dtype(given, x, self.keep_dtype) if on else p for p, x, given, on in moved
            ]
            made = as_gradients(self.name, flow, grad_fn(flow.all_params_at(params), i))
            pairs = zip(made, flow.leaves, flow.trainable, strict=True)
            gradients = [self._averaged(x) if on else g for x, g, on in pairs]
        if self.reset_state:
            adv_state = self.ascent_anew(flow, flow.params or [])
        return gradients, state._replace(adv_state=state_like(adv_state, state.adv_state))

    def _averaged(self, g: Any) -> Any:
        return g if self.axis is None else lax.pmean(g, self.axis)


def _chosen(wanted: Any, params: Any, others: Any) -> Any:
    """A tree like the parameters, or where it has arrays another one, in the same dtypes."""
    given, treedef = leaves.flatten(params)
    pairs = zip(given, treedef.flatten_up_to(others), strict=True)
    return treedef.unflatten(
        [
            jnp.where(wanted, p, x).astype(as_array(p).dtype) if is_inexact(x) else p
            for p, x in pairs
        ]
    )


# What collects the updates of several calls, in a state that must not start anew between them.
_COLLECTING = ("accumulate", "MultiSteps", "apply_every")


def _check_adversary(adversary: Any) -> None:
    for body in every_body(adversary.update.body):
        if (name := getattr(body, "name", "")) in _COLLECTING:
            raise ValueError(
                f"sam: `{name}` must not stand in `adv_optimizer`, whose state starts anew after "
                f"each step, so that it would never ascend. Put it around: {name}(sam(...), ...)."
            )


def ways_back(body: Body) -> Iterator[Body]:
    """The bodies in this one that return to where they were some calls before."""
    return (x for x in every_body(body) if isinstance(x, _Transparent) and x.period > 1)


@transformation
def sam(
    optimizer: Any,
    adv_optimizer: Any,
    sync_period: PositiveInt = 2,
    reset_state: bool = True,
    opaque_mode: bool = False,
    batch_axis_name: Any = None,
    *,
    keep_dtype: bool = False,
) -> GradientTransformation:
    """Sharpness-aware minimisation: descend by the gradient at the end of an ascent.

    For each array, with k = sync_period, c = w where the ascent begins, and g_i the gradient at
    what w is then:

        w = w - adv_optimizer(g_i)       for i = 1 ... k - 1
        w = c + optimizer(g_k)

    `chain(normalize(), sgd(rho))` as the adversary and k = 2 make the paper's: the gradient at
    w + rho g / norm(g). The adversary is one that would descend; its steps are taken in reverse.
    It sees the parameters where it is, the optimizer sees c.

    Transparent, as by default, each call of `update` takes one gradient: k calls are one step, and
    between them the parameters are perturbed: those to keep and evaluate are there at every k-th
    call only, or in `tx.eval_params(state, params)`. With `opaque_mode` one call is one step.
    Its further gradients are made by `grad_fn`, an extra argument, (params, i) -> gradients with
    i = 0 ... k - 2, of the same batch or another:

        grad_fn = jax.grad(lambda params, i: loss(params, batch))
        updates, state = tx.update(grads, state, params, grad_fn=grad_fn)

    Its calls take turns whatever becomes of them inside. A guard or an accumulation belongs around
    it. Inside, both optimizers need a guard, which give up the descent or the ascent alone; an
    accumulation in `optimizer` averages g_k of which each had an ascent of its own, back at c
    between. In opaque mode only a guard in `optimizer` sees g_k. `penalize_gradient_norm` is the
    opaque way with the paper's ascent, for any weight of g_1.

    Shapes: the transparent way keeps a copy of the parameters.
    Units: those of the optimizers' updates, which are steps: their learning rates included.

    Args:
        optimizer: The transformation that descends.
        adv_optimizer: The transformation whose reverse ascends.
        sync_period: Number of gradients in a step, at least 1, where the ascent has no part.
        reset_state: Whether the adversary's state starts anew after each step.
        opaque_mode: Whether one call makes the whole step.
        batch_axis_name: In opaque mode, the axis (or a tuple of axes) of devices over which what
            `grad_fn` returns is averaged, as g_1 was; None for none.
        keep_dtype: In opaque mode, whether the parameters that `grad_fn` sees keep their dtypes;
            those of fewer than 32 bits come in float32 otherwise, since rounding would lose the
            perturbation.

    Returns:
        The transformation, with a `SAMState`. Its update needs the parameters, and in opaque mode
        the extra argument `grad_fn`.

    Raises:
        ValueError: If an argument is outside its range, or the adversary accumulates and starts
            anew; on update, if the parameters are missing or `grad_fn` returns something else than
            gradients.
        TypeError: If a part is no transformation; on update, if `grad_fn` is missing.

    Source: Foret, Kleiner, Mobahi, Neyshabur 2020, https://arxiv.org/abs/2010.01412, Algorithm 1.
    Differs: from Optax, where with sync_period = 1 each step starts from the parameters before the
        last one.
    """
    descend, ascend = (as_transformation(part, "sam") for part in (optimizer, adv_optimizer))
    period = int(sync_period)
    if reset_state:
        _check_adversary(ascend)
    if opaque_mode:
        return from_body(
            _Opaque("sam", descend, ascend, period, reset_state, batch_axis_name, keep_dtype)
        )
    return from_body(_Transparent("sam", descend, ascend, period, reset_state))
