"""Local steps with an outer optimizer: replicas train alone and meet now and then."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .._core import body as bodies
from .._core import leaves
from .._core.apply import apply_updates
from .._core.combine import chain, identity
from .._core.flow import Flow
from .._core.numerics import safe_increment, widened
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import Wrapper, check_state, first_count, need_params
from .._optimizers.sgd import sgd
from .._wrap.common import like
from ..typing import Count, InnerState, PerParam, PositiveInt
from ._axes import agreed, axis_names, axis_size, vary_like
from ._exchange import mean_over
from ._fragments import count_or_tree, fragments_of

_OUTER = sgd(0.7, momentum=0.9, nesterov=True)


class DilocoState(NamedTuple):
    """Step count, the parameters all replicas last agreed on, and the states of the parts.

    `inner_state` and `exchange_state` are each replica's own, the rest is the same on all. The
    states of exchange and outer optimizer are tuples with one entry a fragment.
    """

    count: Count
    anchor: PerParam
    inner_state: InnerState
    exchange_state: InnerState
    outer_state: InnerState

    @staticmethod
    def layout(each: Any, shared: Any) -> "DilocoState":
        """A value for every field: `each` where replicas have their own, `shared` elsewhere.

        Args:
            each: For what differs between the replicas: `0` for the axes of `jax.vmap`,
                `PartitionSpec("replica")` for the specs of `jax.shard_map`.
            shared: For what they have in common: `None`, or `PartitionSpec()`.

        Returns:
            A tree that fits on top of the state.
        """
        return DilocoState(shared, shared, each, each, shared)

    def map_each(self, function: Callable[[Any], Any]) -> "DilocoState":
        """The state with a function applied to every array that is a replica's own.

        Args:
            function: array -> array, such as `lambda x: x[0]` inside a `shard_map` whose arrays
                have a leading axis of replicas.
        """
        inner, exchange = jax.tree.map(function, (self.inner_state, self.exchange_state))
        return self._replace(inner_state=inner, exchange_state=exchange)


@transformation
def diloco(
    inner: Any,
    outer: Any = _OUTER,
    every: PositiveInt = 50,
    axis: Any = "replica",
    fragments: Any = 1,
    exchange: Any | None = None,
) -> GradientTransformation:
    """Train replicas on their own gradients, and bring them together every so many steps.

    On each of n replicas, for each array w_r, with the anchor a = w_r at the start, at step
    t = 1, 2, ...:

        w_r = inner step of w_r with the gradient of replica r
        where t mod every = 0:
            d = mean over r of (a - w_r)
            a = outer step of a with the gradient d
            w_r = a

    Nothing is sent in the other steps. With the outer optimizer `sgd(1.0)` it is local SGD:
    replicas continue from their mean. With K `fragments` of the tree each fragment k = 1, ..., K
    goes through this every `every` steps, at t mod every = floor(k every / K) mod every, so that
    less is sent at once; each has an outer state of its own.

    The axis must be bound where the update is called: inside `jax.shard_map`, or inside
    `jax.vmap(..., axis_name="replica")`, whose `spmd_axis_name` spreads the replicas over a mesh.
    The count, the anchor and the outer state are the same on all replicas: `DilocoState.layout`
    makes the axes or specs that say so. If the count is mapped over nevertheless, its largest
    value is taken over the replicas at every step, one number.

    `step` gives all replicas the same bits after a synchronisation, the anchor rounded to the
    parameter's dtype. `update` can only return the difference to it, which may be off by a
    rounding.

    Shapes: the anchor is shaped like the parameters, in float32 or wider.
    Units: those of the inner updates; the outer gradient is in units of the parameters, so that
        an outer learning rate has none.

    Args:
        inner: Transformation that makes the steps of a replica. It gets the extra arguments.
        outer: Transformation that moves the anchor.
        every: Steps between two synchronisations of an array, at least 1 (H in the paper).
        axis: Name of the axis that the replicas are along, or a tuple of names; None for one
            replica alone, which is Lookahead.
        fragments: How many fragments of about equal size the leaves are put into, in
            [1, every]; or the fragment of each leaf, 0, 1, ... without gaps, as a tree of
            integers like the params (or the top of it), or as a function params -> such a tree.
        exchange: Transformation that turns the outer gradients of the replicas into one that is
            the same on all, such as `int8_mean_over("replica")`; None for their mean.

    Returns:
        The transformation, with a `DilocoState`. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range; by update, if the axis is not bound or
            the parameters are not given.
        TypeError: If a part is no transformation or `axis` no name.

    Source: Douillard et al. 2023, https://arxiv.org/abs/2311.08105, Algorithm 1; local SGD: Stich
        2018, https://arxiv.org/abs/1805.09767; fragments: Douillard et al. 2025,
        https://arxiv.org/abs/2501.18512.
    Differs: of the paper on fragments, training does not go on while a fragment is on its way,
        so that nothing has to be mixed; what is sent is float32 unless `exchange` says
        otherwise; a fragment is made of whole leaves.
    """
    names = () if axis is None else axis_names("diloco", axis)
    fragments = count_or_tree("diloco", fragments, every)
    if exchange is None:
        exchange = mean_over(names) if names else identity()
    inner, exchange, outer = (as_transformation(x, "diloco") for x in (inner, exchange, outer))
    return from_body(_Diloco("diloco", inner, exchange, outer, every, names, fragments))


@dataclasses.dataclass(eq=False)
class _Diloco(Wrapper):
    inner: GradientTransformation
    exchange: GradientTransformation
    outer: GradientTransformation
    every: int
    axes: tuple[str, ...]
    fragments: Any
    inside: ClassVar[tuple[str, ...]] = ("inner", "exchange", "outer")
    heard: ClassVar[tuple[str, ...]] = ("inner",)

    @functools.cached_property
    def _meeting(self) -> bodies.Body:
        """What happens to the outer gradient: exchange, then the outer optimizer."""
        return chain(self.exchange, self.outer).update.body

    def inner_states(self, state: Any) -> list[bodies.Inside]:
        body, exchange, outer = (child.update.body for child in self.children)
        exchanges = enumerate(state.exchange_state)
        outers = enumerate(state.outer_state)
        return [
            bodies.Inside("", body, state.inner_state),
            *(bodies.Inside(f"exchange/{k}", exchange, s) for k, s in exchanges),
            *(bodies.Inside(f"outer/{k}", outer, s) for k, s in outers),
        ]

    def with_inner_states(self, state: Any, states: list) -> DilocoState:
        inner, *rest = states
        half = len(rest) // 2
        return state._replace(
            inner_state=inner, exchange_state=tuple(rest[:half]), outer_state=tuple(rest[half:])
        )

    def point(self, purpose: bodies.Purpose, state: Any, params: Any) -> Any:
        """Gradients are a replica's own; evaluated is the anchor, on which all agree."""
        if purpose == "gradient":
            return self.inner.update.body.point(purpose, state.inner_state, params)
        given, treedef = leaves.flatten(params)
        anchor = treedef.flatten_up_to(state.anchor)
        return treedef.unflatten([like(p, x) for p, x in zip(given, anchor, strict=True)])

    def init(self, flow: Flow) -> DilocoState:
        make: Any = jax.eval_shape if flow.is_abstract else _call
        trained = zip(flow.leaves, flow.trainable, strict=True)
        anchor = [make(_anchor, p) if on else None for p, on in trained]
        number, count = fragments_of(self.name, self.fragments, flow)
        self._check_count(count)
        parts = [
            bodies.start(self._meeting, self._part(flow, members, {i: anchor[i] for i in members}))
            for members in _members(flow, number, count)
        ]
        return DilocoState(
            count=first_count(flow),
            anchor=flow.treedef.unflatten(anchor),
            inner_state=bodies.start(self._stepping, flow.branch()),
            exchange_state=tuple(exchange for exchange, _ in parts),
            outer_state=tuple(outer for _, outer in parts),
        )

    def update(self, flow: Flow, state: Any) -> DilocoState:
        self._check(flow, state)
        branch = flow.branch()
        inner_state = bodies.run(self._stepping, branch, state.inner_state)

        def moved(i, u):
            return apply_updates(flow.param_arrays[i], u.astype(flow.dtypes[i]))

        def landed(i, u, anchor):
            return (anchor - widened(flow.param_arrays[i])).astype(u.dtype)

        flow.leaves, state = self._meet(flow, state, branch.leaves, moved, landed)
        return state._replace(inner_state=inner_state)

    def step(self, flow: Flow, state: Any) -> tuple[Any, DilocoState]:
        self._check(flow, state)
        params, inner_state = bodies.step(self._stepping, flow.branch(), state.inner_state)
        out = flow.treedef.flatten_up_to(params)

        def moved(i, p):
            return p

        def landed(i, p, anchor):
            return anchor.astype(p.dtype)

        out, state = self._meet(flow, state, out, moved, landed)
        return flow.treedef.unflatten(out), state._replace(inner_state=inner_state)

    @property
    def _stepping(self) -> bodies.Body:
        return self.inner.update.body

    def _meet(
        self, flow: Flow, state: DilocoState, out: list, moved: Callable, landed: Callable
    ) -> tuple[list, DilocoState]:
        """Synchronise what is due.

        Args:
            flow: The gradients.
            state: The state before the step.
            out: What the inner step returned for each leaf: a parameter or an update.
            moved: (index, entry of out) -> the parameter after the inner step.
            landed: (index, entry of out, new anchor) -> the entry of out that leads there.
        """
        number, count = fragments_of(self.name, self.fragments, flow)
        self._check_count(count, len(state.outer_state))
        anchor, out = flow.column(state.anchor, self.name, "anchor"), list(out)
        meeting = list(zip(state.exchange_state, state.outer_state, strict=True))
        t = safe_increment(agreed(state.count, self.axes))
        for k, members in enumerate(_members(flow, number, count)):

            def synchronise(carry, members=members):
                new = self._synchronise(flow, members, carry, moved, landed)
                return jax.tree.map(vary_like, new, carry)

            carry = {i: out[i] for i in members}, {i: anchor[i] for i in members}, meeting[k]
            phase = (k + 1) * self.every // count % self.every
            arrived, anchors, meeting[k] = lax.cond(
                t % self.every == phase, synchronise, _keep, carry
            )
            for i in members:
                out[i], anchor[i] = arrived[i], anchors[i]
        return out, state._replace(
            count=safe_increment(state.count),
            anchor=flow.treedef.unflatten(anchor),
            exchange_state=tuple(exchange for exchange, _ in meeting),
            outer_state=tuple(outer for _, outer in meeting),
        )

    def _synchronise(self, flow, members, carry, moved, landed) -> tuple[dict, dict, Any]:
        out, anchor, state = carry
        gradient = {i: anchor[i] - widened(moved(i, out[i])) for i in members}
        part = self._part(flow, members, gradient, anchor)
        tree, state = bodies.step(self._meeting, part, state)
        column = flow.treedef.flatten_up_to(tree)
        new = {i: column[i] for i in members}
        return {i: landed(i, out[i], new[i]) for i in members}, new, state

    def _part(self, flow: Flow, members: list[int], values: dict, params: Any = None) -> Flow:
        """A flow of one fragment: a tree that has None for all other leaves."""
        at = None if params is None else _only(flow, params)
        part = Flow(self.name, _only(flow, values), at, {})
        part.splits = flow.splits
        if flow.whole is not None:
            shapes = flow.treedef.flatten_up_to(flow.whole)
            part.whole = _only(flow, {i: shapes[i] for i in members})
        return part

    def _check(self, flow: Flow, state: Any) -> None:
        need_params(self.name, flow)
        check_state(self.name, DilocoState, state)
        if self.axes:
            axis_size("diloco", self.axes, " Give axis=None to train one replica alone.")

    def _check_count(self, count: int, there: int | None = None) -> None:
        if count > self.every:
            raise ValueError(
                f"diloco: there may be at most one fragment a step, every = {self.every}, but "
                f"`fragments` makes {count}."
            )
        if there not in (None, count):
            raise ValueError(
                f"diloco: the state must have {count} outer states, one a fragment, but has "
                f"{there}. Was the state made by init() with other `fragments`?"
            )


def _members(flow: Flow, number: list, count: int) -> list[list[int]]:
    trained = [(i, n) for i, n in enumerate(number) if flow.trainable[i]]
    return [[i for i, n in trained if n == k] for k in range(count)]


def _only(flow: Flow, values: dict) -> Any:
    return flow.treedef.unflatten([values.get(i) for i in range(len(flow.leaves))])


def _anchor(p: jax.Array) -> jax.Array:
    return jnp.copy(widened(p))  # in a buffer of its own


def _keep(carry: Any) -> Any:
    return carry


def _call(function: Callable, *args: Any) -> Any:
    return function(*args)
