"""Norms of the updates and of the parameters, taken where a step has both at hand.

XLA on CPU writes down whatever goes both into a sum and into an array, and it copies a parameter
that a sum still needs when it is overwritten. So the last function of a step first runs once for
the sums alone, behind a barrier, and then again for its results, which depend on the sums: the
first pass writes nothing, and what the second overwrites nobody reads any more.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .numerics import abs2, widened

UPDATE, PARAM = "squares of the updates", "squares of the parameters"


# {number of a group: terms of the sum over it}
SumsByPlace = dict[int, list[jax.Array]]


@dataclasses.dataclass(frozen=True)
class Meter:
    """What is to be measured of the last step of a transformation, and what was.

    Attributes:
        names: Of `UPDATE` and `PARAM` what is asked for.
        places: For each leaf the number of its group.
        done: The leaves that were measured.
        sums: What was measured of them, by name.
    """

    names: frozenset[str]
    places: list[int]
    done: set[int] = dataclasses.field(default_factory=set)
    sums: dict[str, SumsByPlace] = dataclasses.field(default_factory=dict)

    def anew(self) -> "Meter":
        """One that asks for the same, for a branch: what is measured there has to come out."""
        return Meter(self.names, self.places)

    def add(self, sums: dict[str, SumsByPlace], done: Iterable[int]) -> None:
        """Keep what was measured of some more leaves."""
        self.done.update(done)
        for name, by_place in sums.items():
            kept = self.sums.setdefault(name, {})
            for place, terms in by_place.items():
                kept.setdefault(place, []).extend(terms)


def metered(function: Callable, names: frozenset[str]) -> Callable:
    """A leaf function that measures, too.

    Args:
        function: See `Program.leaf`.
        names: What to measure.

    Returns:
        The function of the arguments and the parameter, which returns {name: sum of squares}
        behind the results.
    """

    def with_sums(numbers, keys, leaf_id, g, p, states, trees, param):
        read, sums = apart((g, p, states, param)), {}
        if UPDATE in names:
            u = function(numbers, keys, leaf_id, *read[:3], trees)[0]
            sums[UPDATE] = costly_square_sum(read[0] if u is None else u)
        if PARAM in names:
            sums[PARAM] = jnp.sum(abs2(widened(read[3])))
        if numbers is None:
            g = _after(g, sums)
        else:
            numbers = _after(numbers, sums)
        return *function(numbers, keys, leaf_id, g, p, states, trees), sums

    return with_sums


def apart(tree: Any) -> Any:
    """Arrays that XLA takes for others, so that it shares no work with what else is made of them.

    Nothing is to be differentiated through what is measured of them.
    """
    return lax.optimization_barrier(jax.tree.map(lax.stop_gradient, tree))


def _after(x: Any, sums: dict[str, jax.Array]) -> jax.Array:
    """x once the sums are known. They are not below 0, but XLA does not know that."""
    x = jnp.asarray(x)
    for total in sums.values():
        x = jnp.where(total < 0, jnp.zeros_like(x), x)
    return x


def costly_square_sum(x: jax.Array) -> jax.Array:
    """The sum of |x|^2 of an array that is computed for it alone, in float32 or wider."""
    squares = abs2(widened(x))
    on_a_mesh = not jax.sharding.get_abstract_mesh().empty
    if on_a_mesh or not squares.size:
        return jnp.sum(squares)
    return lax.platform_dependent(squares, cpu=_sum_in_one_loop, default=jnp.sum)


# Of so many rows of so many entries each XLA on CPU makes one without a loop, in vectors.
_ROWS, _WIDTH = 8, 16


def _sum_in_one_loop(squares: jax.Array) -> jax.Array:
    # A sum alone XLA gives to a library, and may first write down what is costly to compute. Two
    # reductions at once it makes itself, and computes in their loop what they are of. The largest
    # is no more than the sum: it only must not be left out.
    short = -squares.size % (_ROWS * _WIDTH)
    squares = jnp.pad(squares.reshape(-1), (0, short)) if short else squares
    zero = jnp.zeros([], squares.dtype)
    rows = squares.reshape(-1, _ROWS, _WIDTH)
    both = lax.reduce((rows, rows), (zero, zero), _add_and_compare, (1,))
    return jnp.sum(lax.optimization_barrier(jnp.maximum(*both)))


def _add_and_compare(old: Any, new: Any) -> list:
    return [old[0] + new[0], jnp.maximum(old[1], new[1])]
