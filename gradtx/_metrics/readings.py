"""What metrics are read from: sums over arrays, groups of leaves, what parts say of themselves."""

import collections
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .._core.body import Body
from .._core.flow import Flow, Report
from .._core.fuse import cleared_with_caches, total
from .._core.leaves import as_array
from .._core.lifted import Lifted
from .._core.meter import PARAM, UPDATE, Meter, SumsByPlace, apart
from .._core.numerics import abs2, divide, residue, root, widened
from .._core.reduce import axes_of, over_shards
from .._core.stage import FusedStage
from .._core.wrap import need_params

# Measured here, whatever is inside; the rest is said by what is inside.
MEASURED = (
    "grad_norm",
    "update_norm",
    "param_norm",
    "update_ratio",
    "skipped_steps",
    "nonfinite_leaves",
)
_OF_EACH_CALL = ("grad_norm", "nonfinite_leaves")
OF_ALL = ("skipped_steps",)


class Places:
    """The groups that the leaves belong to.

    Attributes:
        names: Their names; the first is "", for leaves of none.
        of: For each leaf the number of its group.
        within: {name: the numbers of that group and of those inside it}.
    """

    def __init__(self, size: int):
        self.names, self.of = [""], [0] * size
        self.within: dict[str, set[int]] = {}
        self._labels: dict[str, tuple[Hashable, ...]] = {}

    def put(self, index: int, labels: tuple[Hashable, ...]) -> None:
        """Say which group a leaf belongs to; the first one is its own, others are around that."""
        name = "/".join(map(str, labels))
        known = self._labels.setdefault(name, labels)
        if known != labels:
            raise ValueError(
                f"with_metrics: two groups would have the numbers of {name!r}: {list(known)} and "
                f"{list(labels)}, each from the outermost group to the one inside. Give one of "
                "them another name."
            )
        if name not in self.names:
            self.names.append(name)
        if self.of[index] == 0:
            self.of[index] = self.names.index(name)
        self.within.setdefault(name, set()).add(self.of[index])


def places_of(body: Body, flow: Flow) -> Places:
    """The groups in which the first body with any divides the leaves, and groups inside these."""
    places = Places(len(flow.leaves))
    _divide(body, flow, (), places)
    return places


def _divide(body: Body, flow: Flow, inside: tuple[Hashable, ...], places: Places) -> None:
    groups = body.groups_of(flow)
    if groups is None:
        for child in body.insides:
            _divide(child, flow, inside, places)
        return
    for group in groups:
        labels = inside if group.label is None else (*inside, group.label)
        if group.body is not None:
            _divide(group.body, flow.restricted(group.kept), labels, places)
        for index, keep in enumerate(group.kept):
            if keep and labels:
                places.put(index, labels)


def _named(body: Body, fields: Iterable[str]) -> Iterable[Body]:
    return [getattr(body, field).update.body for field in fields]


def said_by(body: Body, flow: Flow | None) -> dict[str, str]:
    """The names of the numbers that the parts of a body say, by the keys that they get.

    Args:
        body: The body.
        flow: The parameters, by which groups are found; None to leave out which groups say them.
    """
    said = list(_said(body, flow, ()))
    return dict(zip(_keys(said), [name for name, _ in said], strict=True))


def by_key(reports: list[Report]) -> dict[str, Report]:
    """What was said, by the keys that `said_by` gives it."""
    return dict(zip(_keys([(x.name, x.group) for x in reports]), reports, strict=True))


def _keys(said: list[tuple[str, tuple[str, ...]]]) -> list[str]:
    """A key for each (name, group): of several that are alike the later ones have a number."""
    times, keys = collections.Counter(), []
    for name, group in said:
        key = "/".join((name, *group))
        times[key] += 1
        keys.append(key if times[key] == 1 else f"{key}#{times[key]}")
    return keys


def _said(
    body: Body, flow: Flow | None, inside: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    if isinstance(body, Lifted):
        names: Iterable[str] = [name for name, _ in body.rule.reports]
    else:
        names = body.reports
    yield from ((name, inside) for name in names)
    groups = None if flow is None else body.groups_of(flow)
    if groups is None:
        heard = body.heard
        children = body.insides if heard is None else _named(body, heard)
        for child in children:
            yield from _said(child, flow, inside)
        return
    for group in groups:
        if group.body is not None and flow is not None:
            label = () if group.label is None else (str(group.label),)
            yield from _said(group.body, flow.restricted(group.kept), (*inside, *label))


def measures_first(body: Body) -> bool:
    """Whether the first thing a body does is to measure the updates, as a clip does."""
    stage = body.plan.stages[0] if body.plan.stages else None
    return isinstance(stage, FusedStage) and stage.runs[0] == (("begin", 0),)


@jax.jit
def square_sum(x: jax.Array) -> jax.Array:
    """The sum of |x|^2, in float32 or wider, which XLA shares with whoever else takes it."""
    return jnp.sum(abs2(widened(x)))


@jax.jit
def square_sum_apart(x: jax.Array) -> jax.Array:
    """The sum of |x|^2, in float32 or wider, on a way of its own through x."""
    return jnp.sum(abs2(widened(apart(x))))


@jax.jit
def change_square_sum(new: jax.Array, old: jax.Array) -> jax.Array:
    """The sum of |new - old|^2, in float32 or wider."""
    new, old = apart((new, old))
    return jnp.sum(abs2(widened(new) - widened(old)))


@jax.jit
def _not_finite(x: jax.Array) -> jax.Array:
    return residue(widened(apart(x)))


def sums_by_place(
    flow: Flow, which: Iterable[int], places: list[int], measure: Callable[[int], jax.Array]
) -> SumsByPlace:
    """The sum over the arrays of each group of a number of each array.

    Args:
        flow: The updates, for how arrays are split over devices.
        which: Which of the leaves.
        places: For each leaf the number of its group.
        measure: Position of a leaf -> real scalar that is a sum over entries.
    """
    found: dict[int, list] = {}
    for i in which:
        found.setdefault(places[i], []).append((flow.splits[i], {"sum": measure(i)}))
    dtype = jnp.result_type(float)
    return {place: [total(measured, (), dtype)["sum"]] for place, measured in found.items()}


def nonfinite_by_place(flow: Flow, places: list[int]) -> SumsByPlace:
    """How many arrays of each group have an entry that is inf or nan."""
    found: SumsByPlace = {}
    for i, on in enumerate(flow.trainable):
        if on:
            rest = over_shards(_not_finite(as_array(flow.leaves[i])), axes_of(flow.splits[i]))
            found.setdefault(places[i], []).append((rest != 0).astype(jnp.float32))
    return {place: [sum(bad[1:], start=bad[0])] for place, bad in found.items()}


class Reading:
    """What is read in one update."""

    def __init__(self, body: Any, flow: Flow):
        """Read what has to be read before, and listen."""
        self.body, asked = body, set(body.names)
        if asked & {"param_norm", "update_ratio"}:
            need_params(f"{body.name}: `param_norm`", flow)
        inner = body.inner.update.body
        self.places = places_of(inner, flow) if body.per_group else Places(len(flow.leaves))
        of, leaves = self.places.of, [i for i, on in enumerate(flow.trainable) if on]
        self.leaves, self.before = leaves, {}
        if "grad_norm" in asked:
            measure = square_sum if measures_first(inner) else square_sum_apart
            grads = list(flow.leaves)
            self.before["grad_norm"] = sums_by_place(flow, leaves, of, lambda i: measure(grads[i]))
        if "nonfinite_leaves" in asked:
            self.before["nonfinite_leaves"] = nonfinite_by_place(flow, of)
        wanted = {UPDATE: {"update_norm", "update_ratio"}, PARAM: {"param_norm", "update_ratio"}}
        names = frozenset(name for name, of_it in wanted.items() if asked & of_it)
        self.outer = flow.reports, flow.meter, flow.group
        flow.reports, flow.group = [], ()
        flow.meter = Meter(names, self.places.of) if names else None
        self.meter = flow.meter

    def finish(self, flow: Flow, change: Any) -> dict[str, Report]:
        """Stop listening, and measure what was not; returns what was said by its key."""
        said = flow.reports or []
        flow.reports, flow.meter, flow.group = self.outer
        if self.meter is not None:
            rest = [i for i in self.leaves if i not in self.meter.done]
            kept = flow.param_arrays
            ways = {UPDATE: change, PARAM: lambda i: square_sum_apart(kept[i])}
            for name in self.meter.names:
                self.meter.add({name: sums_by_place(flow, rest, self.places.of, ways[name])}, rest)
        if flow.reports is not None:  # those around hear it, too
            flow.reports += [x._replace(group=(*flow.group, *x.group)) for x in said]
        return by_key(said)

    def values(self, flow: Flow, old: dict, said: dict[str, Report]) -> dict:
        """The new numbers in the order of the old ones."""
        taken = flow.taken
        new = {}
        for key, before in old.items():
            name, _, group = key.partition("/")
            if name == "skipped_steps":
                skipped = jnp.zeros([]) if taken is True else jnp.logical_not(taken)
                value, when = before + skipped.astype(jnp.float32), True
            elif name in MEASURED:
                value = self._measured(name, group)
                when = True if name in _OF_EACH_CALL else taken
            elif key in said:
                value, when = said[key].value, said[key].when
            else:
                raise ValueError(
                    f"{self.body.name}: nobody says {key!r} in this step. What is said is "
                    f"{sorted(said)}. Was the state made by init() of another optimizer?"
                )
            value = lax.stop_gradient(jnp.asarray(value).astype(jnp.float32))
            new[key] = value if when is True else jnp.where(when, value, before)
        return new

    def _measured(self, name: str, group: str) -> jax.Array:
        if name == "nonfinite_leaves":
            return self._sum(self.before[name], group)
        if name == "grad_norm":
            return root(self._sum(self.before[name], group))
        if name == "update_ratio":
            return divide(self._size(UPDATE, group), self._size(PARAM, group))
        return self._size(UPDATE if name == "update_norm" else PARAM, group)

    def _size(self, what: str, group: str) -> jax.Array:
        return root(self._sum({} if self.meter is None else self.meter.sums.get(what, {}), group))

    def _sum(self, by_place: SumsByPlace, group: str) -> jax.Array:
        """The sum over all groups, or over one and those inside it."""
        found: list[jax.Array] = []
        for place, terms in by_place.items():
            if not group or place in self.places.within[group]:
                found += terms
        return sum(found[1:], start=found[0]) if found else jnp.zeros([])


for _compiled in (square_sum, square_sum_apart, change_square_sum, _not_finite):
    cleared_with_caches(_compiled.clear_cache)  # pyright: ignore[reportAttributeAccessIssue]
