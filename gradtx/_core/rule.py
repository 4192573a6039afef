"""Rules: the formula of a transformation, written for one array."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from .arguments import concrete_number, is_function
from .live import Exact, exact_of
from .numerics import safe_increment
from .state import EmptyState, Field, fields_of


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a transformation does to one array. The library lifts it to trees.

    Inside a rule every per-parameter field of `state` is one array, in the dtype of the
    arithmetic (float32 or wider), whatever it is stored in. `h` holds the hyperparameters and
    whatever `shared` and `conclude` returned, as scalars of that dtype. Every function must be
    pure and should be defined at module level, so that all instances share one trace.

    Attributes:
        update: (g, state, p, h) -> (update, state). The formula.
        state: NamedTuple class, its fields annotated with what they hold. Without `init` a
            per-parameter field starts at zero.
        init: (p, h) -> {field: array} for the per-parameter fields that do not start at zero.
        shared: (state, h, extra) -> ({name: scalar}, state). Runs once per step, before any
            array: counts, bias corrections. Sees only the fields of the whole tree. Without it
            a field `count` counts the steps.
        accumulate: (g, state, p, h) -> state. Runs before `measure` and `update`, which then see
            the new state as it is stored, rounded to the stored dtype.
        measure: (g, state, p, h) -> {name: real scalar}. Numbers that are combined over all
            arrays, by sum or, for the names in `maxima`, by maximum; inside `jax.shard_map` over
            all shards of an array, too. So they must themselves be such sums or maxima over
            entries, by `jnp.sum` and `jnp.max`.
        conclude: (totals, state, h) -> ({name: scalar}, state). Runs once per step on the
            combined measures, which `totals` has by their names. They are 0 for a tree without
            arrays.
        maxima: Names of measures that are combined by maximum.
        everywhere: Whether inside a group of leaves the measures are combined over the leaves of
            all groups, as they came to them; None to have that decided by what made the groups.
        reports: (name, what of `h`) of the numbers that a rule has to say to those who ask, such
            as ("clip_scale", "factor").
        point: (p, state) -> p. Where the next gradient is taken, if not at p.
        absolute: Whether it goes by how large the updates are, in units of the gradient, as a clip
            does: then they must not be those of a loss times a scale.
        still: Whether u is 0 whatever comes in, so that the parameter rests.
        passes: Whether u is what comes in.
        keeps_zero: Whether u is 0 wherever what comes in is 0, as in a scale or a clip.
        params: Whether `update`, `accumulate` or `measure` read the parameter p.
        extras: Names of the extra arguments of `update` that `shared` reads.
        defaults: (name, number) for those of the `extras` that may be left out.
        trees: Names of the extra arguments that are trees like the params. Every function that
            sees an array has the one of its leaf as `h.<name>`, in the dtype of the arithmetic.
        clock: Name of the count at whose value schedules are evaluated.
        per_leaf: Name under which every function that sees an array reads from `h` what `where`,
            given to `lift`, has for its leaf: then a tree of hashable values, None for a leaf
            that the rule does not apply to.
        random: Whether `update` uses `h.key`. `shared` must return a "key"; every array gets
            its own, folded from the path of its leaf, the same on one device and on many.
    """

    update: Callable
    state: type = EmptyState
    init: Callable | None = None
    shared: Callable | None = None
    accumulate: Callable | None = None
    measure: Callable | None = None
    conclude: Callable | None = None
    maxima: tuple[str, ...] = ()
    everywhere: bool | None = False
    reports: tuple[tuple[str, str], ...] = ()
    point: Callable | None = None
    absolute: bool = False
    still: bool = False
    passes: bool = False
    keeps_zero: bool = False
    params: bool = False
    extras: tuple[str, ...] = ()
    defaults: tuple[tuple[str, float], ...] = ()
    trees: tuple[str, ...] = ()
    clock: str = "count"
    per_leaf: str | None = None
    random: bool = False

    def __post_init__(self) -> None:
        fields = fields_of(self.state)  # raises if a field does not say what it holds
        for name, field in fields.items():
            if field.kind == "inner":
                raise TypeError(
                    f"Rule: a rule wraps nothing, but its state has an InnerState, `{name}`."
                )
        if self.shared is None and "count" in fields:
            object.__setattr__(self, "shared", _count_step)
        if (self.measure is None) != (self.conclude is None):
            raise TypeError("Rule: `measure` and `conclude` belong together: give both or none.")

    @property
    def fields(self) -> dict[str, Field]:
        """What each field of the state holds."""
        return fields_of(self.state)

    @property
    def per_param_fields(self) -> tuple[str, ...]:
        """Names of the fields with one entry for each parameter."""
        return tuple(name for name, field in self.fields.items() if field.per_param)

    @property
    def counts_for_schedules(self) -> bool:
        """Whether its count is nothing but the clock of schedules."""
        return self.shared is _count_step and self.conclude is None


def _count_step(state, h, extra):
    return {}, state._replace(count=safe_increment(state.count))


@dataclasses.dataclass(frozen=True, eq=False)
class DecayNumber:
    """A decay b together with 1 - b and log b, which lose their digits if taken in float32.

    Attributes:
        value: b, or a schedule of it.
        exact: The others where b is an array that was made of a number; else None.
    """

    value: Any
    exact: Exact | None = None


def as_decay(b: Any) -> DecayNumber:
    """Mark a hyperparameter as a decay: a rule then sees h.b, h.one_minus_b and h.log_b.

    In float32 `1 - b2` is 1.4e-3 off at b2 = 0.99999 and `1 - b2**t` 2e-5 off. So both are
    taken from b on the host in float64.

    Args:
        b: Number in [0, 1), traced value, or schedule of such.
    """
    return DecayNumber(b, exact_of(b))


def expand(name: str, value: Any) -> dict[str, Any]:
    """A hyperparameter as the named numbers that a rule sees: floats where they are known."""
    if not isinstance(value, DecayNumber):
        return {name: _known(value)}
    b = value.value
    if value.exact is not None:
        named = {name: b, f"one_minus_{name}": value.exact[0], f"log_{name}": value.exact[1]}
        return {key: _known(x) for key, x in named.items()}
    number = concrete_number(b)
    if number is None:
        b = jnp.asarray(b)
        positive = b > 0  # the derivative of log at 0 would be nan times 0
        log = jnp.where(positive, jnp.log(jnp.where(positive, b, 1)), -jnp.inf)
        return {name: b, f"one_minus_{name}": 1 - b, f"log_{name}": log}
    log = math.log(number) if number > 0 else -math.inf
    return {name: number, f"one_minus_{name}": 1.0 - number, f"log_{name}": log}


def _known(value: Any) -> Any:
    number = concrete_number(value)
    return value if number is None else number


def schedule_of(value: Any) -> Callable | None:
    """The schedule that a hyperparameter follows, if it follows one."""
    inner = value.value if isinstance(value, DecayNumber) else value
    return inner if is_function(inner) else None


def at_step(value: Any, count: Any) -> Any:
    """A scheduled hyperparameter at a step (0 first)."""
    if isinstance(value, DecayNumber):
        return as_decay(value.value(count))
    return value(count)
