"""Bodies that send each group of leaves through a transformation of its own."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

from .._core.body import Body, Group, Purpose, run, start, step
from .._core.flow import Flow
from .._core.foreign import masked_like
from .._core.outside import group_of
from .._core.wrap import Wrapper


@dataclasses.dataclass(eq=False)
class Routed(Wrapper):
    """A transformation for each group of leaves; in each the other leaves are None.

    A subclass says which groups there are, in `groups_of`, and how their states stand in its own,
    in `inner_states` and `with_inner_states`.

    Attributes:
        name: The constructor's name.
        mask_extras: Whether extra arguments like the updates are divided, too.
        counts: Whether a number over the whole tree is one over all groups if a rule does not say
            what it wants; None for what holds around it.
    """

    mask_extras: bool
    counts: ClassVar[bool | None] = False
    moves_as_inside: ClassVar[bool] = True

    def groups_of(self, flow: Flow) -> list[Group]:
        raise NotImplementedError

    def point(self, purpose: Purpose, state: Any, params: Any) -> Any:
        flow = Flow(self.name, params, params, {})
        column = list(flow.params or ())
        for group, inside in zip(self._moving(flow), self.inner_states(state), strict=True):
            branch = flow.restricted(group.kept)
            point = inside.body.point(purpose, inside.state, branch.params_tree)
            column = _joined(group, flow.treedef.flatten_up_to(point), column)
        return flow.treedef.unflatten(column)

    def resting(self, flow: Flow) -> list[bool]:
        return self._of_each_group(flow, lambda body, part: body.resting(part))

    def left_out(self, flow: Flow) -> list[bool]:
        return self._of_each_group(flow, lambda body, part: body.left_out(part))

    def _of_each_group(self, flow: Flow, ask: Callable[[Body, Flow], list[bool]]) -> list[bool]:
        """What the bodies of the groups say of their leaves; True for those that rest."""
        column = [False] * len(flow.leaves)
        for group in self.groups_of(flow):
            body, part = group.body, flow.restricted(group.kept)
            column = _joined(group, group.kept if body is None else ask(body, part), column)
        return column

    def init(self, flow: Flow) -> Any:
        dropped = _dropped_in(self.groups_of(flow), flow)
        moving = self._moving(flow)
        states = [start(g.body, _flow_of(g, flow, dropped, self.counts)) for g in moving]
        return self.with_inner_states(None, states)

    def update(self, flow: Flow, state: Any) -> Any:
        divided, new = _Divided(self, flow, state), []
        rows = enumerate(zip(flow.leaves, flow.trainable, divided.rests, strict=True))
        column = [flow.zero(i) if on and rests else g for i, (g, on, rests) in rows]
        for group, branch, inner in divided.parts:
            new.append(run(group.body, branch, inner, outermost=flow.casting))
            column = _joined(group, branch.leaves, column)
        divided.tell()
        flow.leaves = column
        return self.with_inner_states(None, new)

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        divided, new = _Divided(self, flow, state), []
        column = list(flow.params or ())
        if any(divided.passes):
            passed = flow.treedef.flatten_up_to(flow.restricted(divided.passes).applied())
            rows = zip(passed, column, divided.passes, strict=True)
            column = [x if on else p for x, p, on in rows]
        for group, branch, inner in divided.parts:
            made, inner = step(group.body, branch, inner)
            new.append(inner)
            column = _joined(group, flow.treedef.flatten_up_to(made), column)
        divided.tell()
        return flow.treedef.unflatten(column), self.with_inner_states(None, new)

    def _moving(self, flow: Flow) -> list[Any]:
        """The groups that do not rest."""
        return [group for group in self.groups_of(flow) if group.body is not None]


class _Divided:
    """A flow divided in groups.

    Attributes:
        flow: The flow.
        rests: The leaves that rest.
        dropped: Those, and those that rest in a group by groups inside of it.
        passes: Those that are in no group, and pass on unchanged.
        parts: (group, its flow, its state) of the others; all flows are of what came.
    """

    def __init__(self, body: Routed, flow: Flow, state: Any):
        groups, insides = body.groups_of(flow), body.inner_states(state)
        moving: list[Any] = [group for group in groups if group.body is not None]
        self.flow = flow
        self.dropped = _dropped_in(groups, flow)
        self.rests = _in_any([group for group in groups if group.body is None], flow)
        grouped = _in_any(groups, flow)
        self.passes = [on and not g for on, g in zip(flow.trainable, grouped, strict=True)]
        self.parts = [
            (group, self._part(body, group), inside.state)
            for group, inside in zip(moving, insides, strict=True)
        ]

    def _part(self, body: Routed, group: Group) -> Flow:
        flow = self.flow
        part = _flow_of(group, flow, self.dropped, body.counts)
        if body.mask_extras:
            extra = flow.extra.items()
            part.extra = {key: masked_like(flow, group.kept, x) for key, x in extra}
        return part

    def tell(self) -> None:
        """Let the flow know whether any of the parameters are moved, and who added noise."""
        flow = self.flow
        passing = [flow.branch()] if any(self.passes) else []
        flow.hear_of([*(part for _, part, _ in self.parts), *passing])


def _flow_of(group: Group, flow: Flow, dropped: list[bool], counts: bool | None) -> Flow:
    rows = zip(flow.trainable, group.kept, dropped, strict=True)
    others = [on and not (kept or gone) for on, kept, gone in rows]
    name = None if group.label is None else str(group.label)
    return group_of(flow, group.kept, others, name, counts)


def _dropped_in(groups: list[Group], flow: Flow) -> list[bool]:
    """The leaves whose gradients go nowhere, so that a number over all groups leaves them out.

    That is not `Body.resting`, which asks what becomes of the parameter: weight decay behind the
    groups may still move it, and with `set_to_zero` it rests, but its gradient counts.
    """
    columns = [
        group.kept if group.body is None else _dropped(group.body, flow.restricted(group.kept))
        for group in groups
    ]
    return _any_of(columns, flow)


def _dropped(body: Body, flow: Flow) -> list[bool]:
    """Those of the groups in a body, as far as it is a chain or moves as what is inside."""
    groups = body.groups_of(flow)
    if groups is not None:
        return _dropped_in(groups, flow)
    through = body.moves_as_inside or not isinstance(body, Wrapper)
    inside = body.insides if through else []
    return _any_of([_dropped(part, flow) for part in inside], flow)


def _joined(group: Group, made: list, others: list) -> list:
    return [m if keep else o for m, o, keep in zip(made, others, group.kept, strict=True)]


def _in_any(groups: list[Group], flow: Flow) -> list[bool]:
    return _any_of([group.kept for group in groups], flow)


def _any_of(columns: list[list[bool]], flow: Flow) -> list[bool]:
    return [any(flags) for flags in zip([False] * len(flow.leaves), *columns, strict=True)]
