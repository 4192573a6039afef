"""The one type of the library, and the decorator that makes its constructors."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

from . import body as bodies
from . import show
from .apply import apply_updates
from .config import to_config
from .constructor import F, described
from .containers import in_containers_of, in_containers_of_state, opened, plain
from .describe import Description
from .described import reduced
from .explain import explain
from .flow import Flow
from .foreign import Foreign
from .hints import look_like_state, why_no_transformation
from .lifted import Lifted
from .rule import Rule, schedule_of

P = TypeVar("P")


@dataclasses.dataclass(frozen=True, eq=False)
class Init:
    """The `init` of a transformation made by gradtx: params -> state."""

    description: Description | None
    body: bodies.Body

    def __call__(self, params):
        return bodies.start_whole(self.body, Flow("init", params, None, {}))


@dataclasses.dataclass(frozen=True, eq=False)
class Update:
    """The `update` of a transformation made by gradtx: (updates, state) -> (updates, state)."""

    description: Description | None
    body: bodies.Body

    @property
    def label(self) -> str:
        """The constructor's name, for messages."""
        return self.description.name if self.description else self.body.name

    def __call__(self, updates, state, params=None, **extra):
        self.body.check_extra(self.label, extra)
        with _order_explained(self.label, updates=updates, params=params):
            flow = Flow(self.label, *in_containers_of_state(updates, state, params), extra)
            state = bodies.run_whole(self.body, flow, state)
        new = flow.as_given()
        return new if flow.tree is updates else in_containers_of(new, updates, params), state


@contextlib.contextmanager
def _order_explained(
    owner: str, order: str = "(updates, state, params)", **given: Any
) -> Generator[None]:
    """Say of an error inside whether a state was given in the place of something else."""
    try:
        yield
    except (TypeError, ValueError) as error:
        for name, tree in given.items():
            if look_like_state(tree):
                raise TypeError(
                    f"{owner}: the {name} look like a state of a transformation: the order is "
                    f"{order}."
                ) from error
        raise


class _Pair(NamedTuple):
    """The pair that a transformation is."""

    init: Callable[..., Any]
    update: Callable[..., Any]


class GradientTransformation(_Pair):
    """A pair of pure functions that turn gradients into updates.

    `init(params)` makes the state. `update(updates, state, params=None, **extra)` returns the
    new updates and the new state; extra arguments go to those that need them and are ignored by
    the others, but a misspelt one raises, and so do `weight` and `flush` that nothing takes.
    Constructors of gradtx return transformations that print, compare, hash, pickle and go into a
    JSON config by value; a pair of your own functions works in every chain too.

    Attributes:
        init: params -> state.
        update: (updates, state, params=None, **extra) -> (updates, state).
    """

    __slots__ = ()

    # What describes a transformation lives in `init` and `update`: a NamedTuple is a pytree, and
    # a `tree.map` over it keeps the leaves but would drop other attributes.

    @property
    def description(self) -> Description | None:
        """The constructor and the arguments that made it, if it was made by gradtx."""
        return getattr(self.update, "description", None) if _is_ours(self) else None

    def step(self, grads: Any, state: Any, params: P, **extra: Any) -> tuple[P, Any]:
        """Update and apply: (grads, state, params) -> (new params, new state).

        Args:
            grads: Gradients, a tree like the params.
            state: What `init` or the step before returned.
            params: The parameters.
            **extra: Extra arguments such as `value`, for the transformations that need them.

        Returns:
            The new parameters, in their dtypes, and the new state.
        """
        if not _is_ours(self):  # a pair of functions of the user's own, or one of them
            updates, state = self.update(grads, state, params, **extra)
            return apply_updates(params, updates), state
        update = self.update
        update.body.check_extra(update.label, extra)
        with _order_explained(update.label, updates=grads, params=params):
            flow = Flow(update.label, *in_containers_of_state(grads, state, params), extra)
            new, state = bodies.step_whole(update.body, flow, state)
        return new if flow.params_tree is params else in_containers_of(new, params), state

    def grad_params(self, state: Any, params: P) -> P:
        """The point at which the next gradient is to be taken.

        That is the parameters themselves for most. Where a transformation has it elsewhere, as
        `nesterov_lookahead` has, it is there, wherever that stands.

        Args:
            state: What `init` or the step before returned.
            params: The parameters.

        Returns:
            A tree like the parameters, in their dtypes.
        """
        return self._point("gradient", state, params)

    def eval_params(self, state: Any, params: P) -> P:
        """The parameters to be evaluated: averages, slow or unperturbed ones where there are any.

        That is the parameters themselves for most.

        Args:
            state: What `init` or the step before returned.
            params: The parameters.

        Returns:
            A tree like the parameters, in their dtypes.
        """
        return self._point("evaluation", state, params)

    def _point(self, purpose: bodies.Purpose, state: Any, params: Any) -> Any:
        if not _is_ours(self):
            return params
        with _order_explained(self.update.label, "(state, params)", params=params):
            point = self.update.body.point(purpose, opened(state), plain(params))
        return in_containers_of(point, params)

    def explain(self, params: Any) -> str:
        """A table of what is applied to each parameter, and of the state that is held for it.

        One line for each parameter, or for several that differ in the numbers of their path alone:
        path, shape, dtype, group if there are groups, bytes of the state, and what is applied by
        the names of the constructors, in order. Below that are the totals by group. Nothing is
        allocated.

        Args:
            params: The parameters, or ShapeDtypeStructs of them.

        Returns:
            The table as text.

        Raises:
            TypeError: If the pair was not made by gradtx.
        """
        if not _is_ours(self):
            raise TypeError("explain: this pair of functions was not made by gradtx.")
        return explain(self.update.body, plain(params))

    def to_config(self) -> Any:
        """The transformation as JSON types, for `gradtx.from_config`."""
        return to_config(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, tuple):
            return NotImplemented
        theirs = getattr(other, "description", None)
        if self.description is None or theirs is None:
            return tuple.__eq__(self, other)
        return self.description.key == theirs.key

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        if self.description is None:
            return tuple.__hash__(self)
        return hash(self.description.key)

    def __repr__(self) -> str:
        if self.description is not None:
            return show.written(self.description)
        return f"GradientTransformation(init={self.init!r}, update={self.update!r})"

    def __str__(self) -> str:
        return show.tree(self) if self.description is not None else repr(self)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.description is not None:
            return reduced(self.description)
        return GradientTransformation, tuple(self)

    @property
    def __class__(self) -> Any:
        # Optax hands extra arguments only to instances of its own class. Like a mock, we pass
        # for one (as `isinstance` sees it) once Optax is there, without importing it.
        optax = sys.modules.get("optax")
        if optax is not None and isinstance(object.__getattribute__(self, "update"), Update):
            return getattr(optax, "GradientTransformationExtraArgs", GradientTransformation)
        return GradientTransformation


def transformation(function: F) -> F:
    """Decorate the constructor of a transformation.

    What it returns (from `lift`, `chain` or another constructor) gets a description: it prints
    as the call that made it, and compares, hashes, pickles and goes into a config by value.
    Arguments are checked against their annotations (the types of `gradtx.typing`), and a
    misspelt one is answered with the name it resembles.

    Args:
        function: The constructor; at module level if its results shall pickle.

    Returns:
        The decorated constructor.
    """
    return described(function, with_description)


def with_description(description: Description, made: Any) -> GradientTransformation:
    """A transformation with the call that made it."""
    made = as_transformation(made, description.name)
    body, kind = made.update.body, type(made)
    if isinstance(body, Lifted) and made.update.description is None:
        body = dataclasses.replace(body, name=description.name)
    if isinstance(body, Foreign):
        kind = GradientTransformation  # it now has a name
    return kind(Init(description, body), Update(description, body))


def from_body(body: bodies.Body) -> GradientTransformation:
    """The transformation that a body is, still without a description."""
    return GradientTransformation(Init(None, body), Update(None, body))


def _is_ours(pair: Any) -> bool:
    """Whether both functions of a pair are those of one body: an init of one's own is not."""
    init, update = getattr(pair, "init", None), getattr(pair, "update", None)
    return isinstance(update, Update) and isinstance(init, Init) and init.body is update.body


def as_transformation(pair: Any, owner: str) -> GradientTransformation:
    """A pair of functions from anywhere as a transformation whose update has a body."""
    if _is_ours(pair):
        return pair
    functions = tuple(pair) if isinstance(pair, tuple) and len(pair) == 2 else None
    if functions is None or not all(callable(f) for f in functions):
        raise TypeError(
            f"{owner}: every part must be a transformation or a pair (init, update) of functions, "
            f"but one is {pair!r}. {why_no_transformation(owner, pair)}"
        )
    body = Foreign(functions)
    return _OpaqueTransformation(Init(None, body), Update(None, body))


class _OpaqueTransformation(GradientTransformation):
    """A pair of functions from elsewhere inside a gradtx transformation."""

    __slots__ = ()

    def __repr__(self):
        return f"<{self.update.body.name}: {self.update.body.pair!r}>"


def lift(
    rule: Rule,
    *,
    static: dict[str, Any] | None = None,
    dtypes: dict[str, Any] | None = None,
    where: Any = None,
    start: dict[str, Any] | None = None,
    **numbers: Any,
) -> GradientTransformation:
    """Lift a rule for one array to trees.

    The library does for all rules alike what concerns trees: fusion with the neighbours in a
    chain, one trace per shape, arithmetic in float32 or wider, storage dtypes, leaves that are
    no arrays, masks, messages that name a leaf.

    Args:
        rule: The rule.
        static: Arguments that decide the structure of the computation (flags, axes, functions,
            window lengths), hashable. The rule reads them from `h` like the numbers.
        dtypes: Storage dtype of a per-parameter field by its name; None for the default.
        where: Which leaves it applies to: a tree of booleans, a prefix of it, or a function of
            the parameters. The others pass unchanged and have no state. For a rule with
            `per_leaf` its leaves are what the rule is told.
        start: Start values of whole-tree fields that do not start at zero.
        **numbers: Hyperparameters: numbers, 0-d arrays, traced values, or schedules (evaluated
            at the state's `count`, or at the rule's `clock`). Wrap a decay in `as_decay`.

    Returns:
        A transformation; decorate the constructor that returns it with `transformation`.

    Raises:
        TypeError: If a number is none, a schedule is given to a rule without a `count`,
            `dtypes` or `start` name no field of the state, or a static argument does not hash.
    """
    name = rule.update.__name__
    for key, value in numbers.items():
        if isinstance(value, (bool, str)) or value is None:
            raise TypeError(f"lift: `{key}` must be a number; give {value!r} in `static`.")
        if schedule_of(value) is not None and rule.clock not in rule.fields:
            raise TypeError(
                f"lift: the schedule `{key}` needs a field `{rule.clock}` in the state."
            )
    _check_names(rule, dtypes or {}, start or {}, static or {})
    return from_body(Lifted(name, rule, numbers, static or {}, dtypes or {}, where, start or {}))


def _check_names(rule: Rule, dtypes: dict, start: dict, static: dict) -> None:
    for argument, names in (("dtypes", dtypes), ("start", start)):
        for field in names:
            if field not in rule.fields:
                raise TypeError(
                    f"lift: `{argument}` names `{field}`, but the fields of "
                    f"{rule.state.__name__} are {list(rule.fields)}."
                )
    for key, value in static.items():
        try:
            hash(value)
        except TypeError:
            raise TypeError(f"lift: `{key}` in `static` must be hashable, not {value!r}.") from None
