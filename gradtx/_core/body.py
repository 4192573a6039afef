"""Bodies: what stands behind the `init` and `update` of a transformation.

A body is a lifted rule, a sequence, branches that are merged, or a pair of functions from
elsewhere. Its plan flattens it to stages: runs of rules that fuse, and bodies that work on the
whole tree.
"""

import contextlib
import functools
from collections.abc import Callable, Generator, Hashable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from .flow import Flow
from .hints import check_extra
from .stage import FusedStage

if TYPE_CHECKING:
    from .lifted import Lifted

Purpose = Literal["gradient", "evaluation"]


class Inside(NamedTuple):
    """A state inside another one.

    Attributes:
        label: What tells it from its neighbours if the user gave it a name or it has a part of
            its own; "" for the part that a wrapper is about, and for the links of a chain.
        body: What it is a state of.
        state: The state.
    """

    label: str
    body: "Body"
    state: Any


class Group(NamedTuple):
    """Some of the leaves, which a body sends a way of their own.

    Attributes:
        label: What the user calls it; None for one that is not told from what it is in.
        body: What they are sent through; None if they rest, without a state.
        kept: For each leaf whether it is one of them.
    """

    label: Hashable
    body: "Body | None"
    kept: list[bool]


class Body:
    """One of the things a transformation can be. Its state occupies `width` slots.

    Where `any_shape`, updates may have other shapes than their parameters: it makes those shapes
    of them, as the mean over examples does, or what is inside sees to it.
    """

    name: str
    width = 1
    any_shape: ClassVar[bool] = False
    # Whether its updates are those of what is inside, or zero: then they are measured there.
    moves_as_inside: ClassVar[bool] = False
    # The fields of transformations inside whose numbers are heard, not those that it runs in
    # branches or loops; None for all.
    heard: ClassVar[tuple[str, ...] | None] = None
    # The names of the numbers that it says itself, by `flow.report`.
    reports: ClassVar[tuple[str, ...]] = ()
    # Whether it divides by the scale of a loss, and whether it goes by how large updates are.
    unscales: ClassVar[bool] = False
    absolute: bool = False
    # The extra arguments that it cannot do without, those that it can, and whether it hands all of
    # them to functions that may take any.
    needs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    takes_any: bool = False
    # Whether it goes by the dtype of each parameter.
    by_dtype: ClassVar[bool] = False
    # Whether it makes one step of several calls, so that what goes by steps must stand inside.
    gathers: ClassVar[bool] = False
    # Why nothing behind it in a chain may change its updates, if that is so.
    last_because: ClassVar[str] = ""
    # Whether updates leave it as they came, or do so if they do inside.
    passes: bool = False
    passes_as_inside: ClassVar[bool] = False

    def parts(self) -> Iterator[tuple[str, Any]]:
        """(label, transformation) of what it is made of, for printing."""
        return iter(())

    @property
    def insides(self) -> list["Body"]:
        """The bodies that it is made of."""
        return []

    def flatten_state(self, state: Any) -> list:
        """The state as one entry per slot."""
        return [state]

    def unflatten_state(self, slots: list) -> Any:
        """The inverse of `flatten_state`."""
        (state,) = slots
        return state

    def groups_of(self, flow: Flow) -> list[Group] | None:
        """The groups in which it divides the leaves, if it does.

        Those that have a body have a state, in the same order as `inner_states`. A leaf that is
        in none passes on unchanged.
        """
        del flow
        return None

    def inner_states(self, state: Any) -> list[Inside]:
        """The states inside its state, each with what it is of."""
        del state
        return []

    def with_inner_states(self, state: Any, states: list) -> Any:
        """Its state with others inside, in the order of `inner_states`."""
        del states
        return state

    def point(self, purpose: Purpose, state: Any, params: Any) -> Any:
        """The parameters at which the next gradient is taken, or those that are evaluated.

        Where several of its parts have something to say, each goes by what those before it said.
        """
        for inside in self.inner_states(state):
            params = inside.body.point(purpose, inside.state, params)
        return params

    def resting(self, flow: Flow) -> list[bool]:
        """For each leaf whether it is known to be never moved, such as those of a frozen group."""
        return [False] * len(flow.leaves)

    @property
    def keeps_zero(self) -> bool:
        """Whether its updates are 0 where all that ever comes in is 0, as far as is known."""
        return False

    @functools.cached_property
    def may_leave_out(self) -> bool:
        """Whether `left_out` may find a leaf: free of cost where there are no frozen groups."""
        return any(body.may_leave_out for body in self.insides)

    def left_out(self, flow: Flow) -> list[bool]:
        """For each leaf whether it is in a frozen group and not moved by anything behind it.

        Nothing of it is of use to anything: see `start_whole`, `run_whole` and `step_whole`.
        """
        return [False] * len(flow.leaves)

    def emit(self, plan: "Plan") -> None:
        """Append to a plan what the body does."""
        plan.whole_tree(self)

    def init(self, flow: Flow) -> Any:
        """The state for the parameters in `flow`. Only for bodies that work on the whole tree."""
        raise NotImplementedError

    def update(self, flow: Flow, state: Any) -> Any:
        """Change `flow.leaves`, return the new state. Only for whole-tree bodies."""
        raise NotImplementedError

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        """The new parameters and the new state, for whole-tree bodies at the end of a chain.

        One whose updates are not the best way to say what the parameters become overrides it.
        """
        state = self.update(flow, state)
        return flow.applied(), state

    @functools.cached_property
    def extras(self) -> tuple[set[str], set[str], bool]:
        """(needs and options, options, whether any may be taken) of it and of all inside."""
        inside = [body.extras for body in self.insides]
        options = set(self.options).union(*(some for _, some, _ in inside))
        known = {*self.needs, *self.options}.union(*(every for every, _, _ in inside))
        return known, options, self.takes_any or any(takes for _, _, takes in inside)

    def check_extra(self, owner: str, given: dict[str, Any]) -> None:
        """Raise if an extra argument is misspelt, or is one of ours that nothing here takes."""
        if given:
            known, options, takes_any = self.extras
            if not takes_any:
                check_extra(owner, given, known, options)

    @functools.cached_property
    def plan(self) -> "Plan":
        """The body as stages, made once."""
        plan = Plan()
        self.emit(plan)
        plan.close()
        return plan


class Plan:
    """A body as a list of stages."""

    def __init__(self):
        self.stages: list[FusedStage | Body] = []
        self._ops: list = []
        self._rules: list[Lifted] = []

    @property
    def leafwise(self) -> FusedStage | None:
        """The one stage it is made of, if it needs no whole-tree number; else None."""
        if not self.stages:
            return FusedStage((), ())
        stage = self.stages[0]
        fuses = len(self.stages) == 1 and isinstance(stage, FusedStage) and len(stage.runs) == 1
        return stage if fuses else None  # type: ignore[return-value]

    def rule(self, lifted: "Lifted") -> None:
        """Append a rule."""
        self._ops.append(("rule", len(self._rules)))
        self._rules.append(lifted)

    def merge(self, function: Callable, branches: list[FusedStage]) -> None:
        """Append leafwise branches and their merge."""
        ops = []
        for branch in branches:
            ops.append(_shifted(branch.ops, len(self._rules)))
            self._rules += branch.rules
        self._ops.append(("merge", function, tuple(ops)))

    def whole_tree(self, body: Body) -> None:
        """Append a body that works on the whole tree."""
        self.close()
        self.stages.append(body)

    def close(self) -> None:
        """End the run of fusing rules."""
        if self._ops:
            self.stages.append(FusedStage(tuple(self._ops), tuple(self._rules)))
        self._ops, self._rules = [], []


def _shifted(ops: tuple, by: int) -> tuple:
    return tuple(
        ("merge", op[1], tuple(_shifted(branch, by) for branch in op[2]))
        if op[0] == "merge"
        else (op[0], op[1] + by)
        for op in ops
    )


def start(body: Body, flow: Flow) -> Any:
    """The state of a body for the parameters that the flow carries."""
    slots: list = []
    for stage in body.plan.stages:
        slots += stage.init(flow) if isinstance(stage, FusedStage) else [stage.init(flow)]
    return body.unflatten_state(slots)


def run(body: Body, flow: Flow, state: Any, outermost: bool = False) -> Any:
    """Send a flow through a body; returns the new state.

    Args:
        body: The body.
        flow: The updates; its leaves are changed.
        state: The state of the body.
        outermost: Whether the updates leave gradtx behind it, in their gradients' dtypes.
    """
    staged, new = _with_states(body, state), []
    for number, (stage, states) in enumerate(staged):
        flow.casting = outermost and number == len(staged) - 1
        new += _run_stage(stage, flow, states)
    return body.unflatten_state(new)


def step(body: Body, flow: Flow, state: Any) -> tuple[Any, Any]:
    """Send a flow through a body and apply what comes out: the new parameters and state."""
    staged, new = _with_states(body, state), []
    last = staged.pop() if staged and isinstance(staged[-1][0], Body) else None
    for number, (stage, states) in enumerate(staged):
        flow.casting = last is None and number == len(staged) - 1
        new += _run_stage(stage, flow, states)
    if last is None:
        return flow.applied(), body.unflatten_state(new)
    flow.casting = True
    _check_shapes(last[0], flow)
    with _overheard(last[0], flow):
        params, new_state = last[0].step(flow, *last[1])
    return params, body.unflatten_state([*new, new_state])


def start_whole(body: Body, flow: Flow) -> Any:
    """The state of a whole transformation: `start` for the leaves that are not left out."""
    return start(body, _taking_part(body, flow))


def run_whole(body: Body, flow: Flow, state: Any, outermost: bool = True) -> Any:
    """Send a flow through a whole transformation; what is left out gets zero. See `run`."""
    part = _taking_part(body, flow)
    state = run(body, part, state, outermost)
    if part is not flow:
        rows = enumerate(zip(part.leaves, _left_out(flow, part), strict=True))
        flow.leaves = [flow.zero(i) if out else u for i, (u, out) in rows]
        flow.taken, flow.noise_by = part.taken, part.noise_by
    return state


def step_whole(body: Body, flow: Flow, state: Any) -> tuple[Any, Any]:
    """Send a flow through a whole transformation and apply what comes out. See `step`."""
    part = _taking_part(body, flow)
    params, state = step(body, part, state)
    if part is not flow:
        columns = flow.treedef.flatten_up_to(params), flow.params or [], _left_out(flow, part)
        rows = zip(*columns, strict=True)
        params = flow.treedef.unflatten([p if out else moved for moved, p, out in rows])
    return params, state


def _taking_part(body: Body, flow: Flow) -> Flow:
    """The flow of the leaves that are not left out.

    So frozen parameters cost nothing wherever the groups stand: neither a state around them nor a
    place in norms, and their gradients need not be computed.
    """
    if not body.may_leave_out:
        return flow
    out = body.left_out(flow)
    return flow.without(out) if any(out) else flow


def _left_out(flow: Flow, part: Flow) -> list[bool]:
    return [on and not still for on, still in zip(flow.trainable, part.trainable, strict=True)]


def _with_states(body: Body, state: Any) -> list[tuple[Any, list]]:
    """The stages of a body, each with the states of what it is made of."""
    slots, at, staged = body.flatten_state(state), 0, []
    for stage in body.plan.stages:
        width = len(stage.rules) if isinstance(stage, FusedStage) else 1
        staged.append((stage, slots[at : at + width]))
        at += width
    return staged


def _run_stage(stage: "FusedStage | Body", flow: Flow, states: list) -> list:
    _check_shapes(stage, flow)
    if isinstance(stage, FusedStage):
        return stage.update(flow, states)
    with _overheard(stage, flow):
        return [stage.update(flow, *states)]


@contextlib.contextmanager
def _overheard(body: Body, flow: Flow) -> Generator[None]:
    """Inside, those who listen to the flow hear of a body what may be heard of it."""
    reports, meter = flow.reports, flow.meter
    if body.heard == ():
        flow.reports = None
    if not body.moves_as_inside:
        flow.meter = None
    try:
        yield
    finally:
        flow.reports, flow.meter = reports, meter


def _check_shapes(stage: "FusedStage | Body", flow: Flow) -> None:
    if isinstance(stage, FusedStage) or not stage.any_shape:
        flow.check_shapes()
