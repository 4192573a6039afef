"""Parameters of 16 bits that still move: three ways to round what a step makes of them."""

import dataclasses
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp

from .._core.apply import apply_updates
from .._core.body import Body, run, start
from .._core.composite import Sequence
from .._core.flow import Flow
from .._core.keys import as_key
from .._core.leaves import describe_leaf, path_names
from .._core.lifted import Lifted
from .._core.numerics import safe_increment
from .._core.rule import Rule
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import Wrapper, check_state, every_body, need_params
from ..typing import Clock, Count, InnerState, Key, NonNegativeInt, PerParam
from .narrow import NARROW, at_random, halved, joined, nearest, once


class StochasticRoundingState(NamedTuple):
    """Step count, the key that all rounding is drawn from, inner's state."""

    count: Clock
    rng_key: Key
    inner_state: InnerState


class KahanRoundingState(NamedTuple):
    """What rounding has taken from each parameter so far, in its dtype; inner's state."""

    lost: PerParam
    inner_state: InnerState


class SplitRoundingState(NamedTuple):
    """The lower 16 bits of each parameter, as integers; inner's state."""

    low: PerParam
    inner_state: InnerState


class _Drawn(NamedTuple):
    count: Count
    rng_key: Key


class _Lost(NamedTuple):
    lost: PerParam


class _Low(NamedTuple):
    low: PerParam


def _next_key(state, h, extra):
    t = safe_increment(state.count)
    return {"key": jax.random.fold_in(state.rng_key, t)}, state._replace(count=t)


def _result(new, p, h):
    new = new.astype(p.dtype)
    return new if h.stepping else new - p


def _round_at_random(u, state, p, h):
    new = at_random((p + u).astype(jnp.float32), h.dtype, h.key)
    return _result(new, p, h), state


def _nothing_lost(p, h):
    return {"lost": jnp.zeros_like(p, dtype=h.dtype)}


def _round_with_compensation(u, state, p, h):
    exact = once((p + (u + state.lost)).astype(jnp.float32))
    new = nearest(exact, h.dtype)
    lost = jnp.where(jnp.isfinite(exact), exact - new, jnp.zeros_like(exact))
    return _result(new, p, h), state._replace(lost=lost.astype(p.dtype))


def _no_low_bits(p, h):
    return {"low": jnp.zeros_like(p, dtype=jnp.uint16)}


def _round_in_halves(u, state, p, h):
    upper, low = halved(once((p + u).astype(jnp.float32)))
    old = halved(p.astype(jnp.float32))[0].astype(p.dtype)
    return _result(upper, old, h), state._replace(low=low)


class _Method(NamedTuple):
    rule: Rule
    state: Any
    dtypes: tuple[str, ...]


_METHODS = {
    "stochastic": _Method(
        Rule(
            _round_at_random,
            state=_Drawn,
            shared=_next_key,
            params=True,
            per_leaf="dtype",
            random=True,
        ),
        StochasticRoundingState,
        NARROW,
    ),
    "kahan": _Method(
        Rule(
            _round_with_compensation,
            state=_Lost,
            init=_nothing_lost,
            params=True,
            per_leaf="dtype",
        ),
        KahanRoundingState,
        NARROW,
    ),
    "split": _Method(
        Rule(_round_in_halves, state=_Low, init=_no_low_bits, params=True, per_leaf="dtype"),
        SplitRoundingState,
        ("bfloat16",),
    ),
}


@dataclasses.dataclass(eq=False)
class _WithRounding(Wrapper):
    """A transformation whose parameters of 16 bits are rounded with care.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
        method: How.
        key: What random numbers are drawn from, or None.
    """

    inner: Any
    method: str
    key: jax.Array | None
    by_dtype: ClassVar[bool] = True
    rests_as_inside: ClassVar[bool] = True
    last_because: ClassVar[str] = "it rounds the parameters that its own updates lead to"

    def init(self, flow: Flow) -> Any:
        how = _METHODS[self.method]
        rounding = start(self._rule(flow, self._narrow(flow, flow.leaves), False), flow)
        return how.state(*rounding, start(self.inner.update.body, flow))

    def update(self, flow: Flow, state: Any) -> Any:
        _, new = self._run(flow, state, stepping=False)
        return new

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        flow.casting = True
        narrow, new = self._run(flow, state, stepping=True)
        pairs = list(zip(flow.leaves, narrow, strict=True))
        changes = flow.treedef.unflatten([None if name else u for u, name in pairs])
        others = flow.treedef.flatten_up_to(apply_updates(flow.params_tree, changes))
        params = [u if name else p for (u, name), p in zip(pairs, others, strict=True)]
        return flow.treedef.unflatten(params), new

    def _run(self, flow: Flow, state: Any, stepping: bool) -> tuple[list, Any]:
        """The formats of the narrow parameters, None for others, and the state.

        The updates are then the new narrow parameters if stepping, else what leads to them.
        """
        need_params(self.name, flow)
        how = _METHODS[self.method]
        state = check_state(self.name, how.state, state)
        narrow = self._narrow(flow, flow.param_arrays)
        rounding = how.rule.state(*state[:-1])
        branch = flow.branch()
        if self.method == "split":
            branch = flow.branch(params=self._masters(flow, narrow, rounding.low))
        if stepping:
            dtypes = zip(narrow, flow.dtypes, strict=True)
            branch.dtypes = [jnp.dtype(name) if name else d for name, d in dtypes]
        body = Sequence(self.name, (self.inner, from_body(self._rule(flow, narrow, stepping))))
        states = (state.inner_state, rounding)
        inner, new = run(body, branch, states, outermost=flow.casting)
        if self.method == "stochastic" and branch.taken is not True:
            new = new._replace(count=jnp.where(branch.taken, new.count, rounding.count))
        flow.leaves, flow.taken = branch.leaves, branch.taken
        return narrow, how.state(*new, inner)

    def _rule(self, flow: Flow, narrow: list, stepping: bool) -> Body:
        where = flow.treedef.unflatten(narrow)
        key = {} if self.key is None else {"rng_key": self.key}
        rule = _METHODS[self.method].rule
        # A function, because a tree of one leaf that is None would say that it applies to all.
        return Lifted(self.name, rule, {}, {"stepping": stepping}, {}, lambda params: where, key)

    def _narrow(self, flow: Flow, params: list) -> list[str | None]:
        """The format of each narrow parameter, None for all other leaves."""
        pairs = zip(params, flow.trainable, strict=True)
        names = [jnp.dtype(p.dtype).name if on else None for p, on in pairs]
        for index, name in enumerate(names):
            if name in NARROW and name not in _METHODS[self.method].dtypes:
                raise ValueError(
                    f"{self.name}: the parameter at {path_names(flow.tree)[index]} is "
                    f'{describe_leaf(params[index])}, but "split" needs bfloat16, which is the '
                    'upper half of float32; float16 is not. Use "kahan" or "stochastic".'
                )
        return [name if name in NARROW else None for name in names]

    def _masters(self, flow: Flow, narrow: list, low: Any) -> list:
        """The parameters with their lower bits, in float32."""
        column = flow.column(low, self.name, "low")
        for index, (bits, name) in enumerate(zip(column, narrow, strict=True)):
            if name and getattr(bits, "shape", None) != flow.param_arrays[index].shape:
                raise ValueError(
                    f"{self.name}: the state must hold the lower bits of the parameter at "
                    f"{path_names(flow.tree)[index]}, {describe_leaf(flow.param_arrays[index])}, "
                    f"but has {describe_leaf(bits)} there. Was the state made by init() of "
                    "parameters of other dtypes?"
                )
        given = zip(flow.params or [], flow.param_arrays, narrow, column, strict=True)
        return [joined(x, bits) if name else p for p, x, name, bits in given]


@transformation
def with_rounding(
    inner: Any,
    method: Literal["stochastic", "kahan", "split"],
    key: Any = None,
    *,
    seed: NonNegativeInt | None = None,
) -> GradientTransformation:
    """Let parameters in bfloat16 and float16 move by steps smaller than their spacing.

    A number p of bfloat16 has neighbours at p (1 +- 1/128) or nearer: a step of less than about
    p / 256 rounds back to p, and training stalls. With u = inner(g) in float32, not yet cast to the
    gradient's dtype, and round(x) the nearest number of the parameter's dtype:

        "stochastic":  p' = one of the two neighbours of p + u, at random, so that its mean is p + u
        "kahan":       p' = round(p + u + c),  c' = c + u - (p' - p)
        "split":       m' = m + u,  p' = round(m'), with m in float32 of which p is the upper half

    "stochastic" needs no memory, and each step has noise of up to half a spacing. "kahan" keeps c
    in the parameter's dtype, 8 more bits; a step of less than 1/2^17 of the parameter is lost.
    "split", for bfloat16 alone, keeps the other 16 bits of m, so that the parameters are exactly
    those of training in float32, rounded (ties away from 0): inner sees m as its parameters, too.
    It takes the 2 bytes for each parameter that "kahan" takes. (Where inner makes parameters by a
    `step` of its own, as `schedule_free` does, they agree to a rounding of float32.)

    Parameters of all other dtypes pass as without it and have no state. A step of 0 leaves its
    parameter alone. The random numbers of a leaf at a step depend on the key, the step and the path
    of the leaf alone: they are the same on one device and on many, and after a restart.

    It makes the parameters, so it stands last in a chain (what changes updates behind it is
    refused) and outermost but for accumulations, guards and groups:
    `accumulate(with_rounding(adamw(1e-3), "split"), 4)`. Prefer `step`: `update`
    returns p' - p in the gradient's dtype, which leads to p' exactly if p is 0 or p' is between
    p / 2 and 2 p, or else to within the rounding of the update to that dtype.

    Shapes: c and the lower bits are shaped like the parameters.
    Units: those of the parameters: learning rate included in tx.

    Args:
        inner: The transformation, an optimizer.
        method: "stochastic", "kahan" or "split".
        key: For "stochastic", a key of `jax.random`, or an integer to make one from; None for 0:
            give another to every run that shall round in its own way.
        seed: The same as an integer `key`; only one of them may be given.

    Returns:
        The transformation, with a `StochasticRoundingState`, `KahanRoundingState` or
        `SplitRoundingState`. Its update needs the parameters.

    Raises:
        TypeError: If `inner` is no transformation or `key` neither a key nor an integer.
        ValueError: If `method` is none of these, both `key` and `seed` are given, or one of them
            for another method than "stochastic", or another `with_rounding` is inside; on init,
            with "split", if a parameter is float16; on update, if the parameters are missing.

    Source: Gupta, Agrawal, Gopalakrishnan, Narayanan 2015, https://arxiv.org/abs/1502.02551,
    section 3.1 (stochastic rounding); Zamirai, Zhang, Aberger, De Sa 2020,
    https://arxiv.org/abs/2010.06192 (it and Kahan's summation, for weights in bfloat16); Kalamkar
    et al. 2020, https://arxiv.org/abs/2005.04680 (the two halves of float32).
    Differs: from Zamirai et al., who round each sum of "kahan" to bfloat16; from Kalamkar et al.,
        whose upper half is cut off, not rounded to nearest.
    """
    name = "with_rounding"
    if method not in _METHODS:
        raise ValueError(f"{name}: `method` must be one of {list(_METHODS)}, but is {method!r}.")
    if method != "stochastic" and not (key is None and seed is None):
        raise ValueError(f'{name}: only "stochastic" draws numbers, but {method!r} has a key.')
    if key is not None and seed is not None:
        raise ValueError(
            f"{name}: only one of `key` and `seed` may be given, but they are {key} and {seed}."
        )
    chosen = None
    if method == "stochastic":
        chosen = as_key(f"{name}: `key`", (seed or 0) if key is None else key)
    child = as_transformation(inner, name)
    if any(isinstance(body, _WithRounding) for body in every_body(child.update.body)):
        raise ValueError(
            f"{name}: there is a `{name}` inside, which has rounded the parameters already. One is "
            "enough, the outermost but for accumulations, guards and groups."
        )
    return from_body(_WithRounding(name, child, method, chosen))
