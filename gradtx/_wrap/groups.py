"""Groups of leaves: a transformation of some of them, or another one for each group."""

import dataclasses
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple

import jax

from .._core import leaves
from .._core.arguments import as_flag, is_function
from .._core.body import Body, Inside, Purpose, run, start, step
from .._core.flow import Flow
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import Wrapper, check_state
from .._parts.zero import set_to_zero
from ..typing import InnerState


class MaskedState(NamedTuple):
    """The state of the wrapped transformation, with None for the leaves that are left out."""

    inner_state: InnerState


# Optax has a node of this name where a leaf is left out; here there is None.
MaskedNode: type[None] = type(None)


class PartitionState(NamedTuple):
    """{label: MaskedState}, the state of each group's transformation."""

    inner_states: InnerState


@dataclasses.dataclass(eq=False)
class _Masked(Wrapper):
    """A transformation of some of the leaves.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
        mask: Tree of booleans, prefix of one, or function from the parameters to one.
        mask_extras: Whether extra arguments like the updates are masked, too.
    """

    inner: Any
    mask: Any
    mask_extras: bool

    def point(self, purpose: Purpose, state: Any, params: Any) -> Any:
        flow = Flow(self.name, params, params, {})
        (inside,) = self.inner_states(state)
        kept = flow.mask(self.name, self.mask)
        column = _joined(flow, kept, _points(flow, kept, inside, purpose), flow.params or [])
        return flow.treedef.unflatten(column)

    def init(self, flow: Flow) -> Any:
        branch = flow.restricted(flow.mask(self.name, self.mask))
        return MaskedState(start(self.inner.update.body, branch))

    def update(self, flow: Flow, state: Any) -> Any:
        state = check_state(self.name, MaskedState, state)
        kept = flow.mask(self.name, self.mask)
        return MaskedState(
            _update_some(self.inner.update.body, flow, kept, state.inner_state, self.mask_extras)
        )

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        state = check_state(self.name, MaskedState, state)
        kept = flow.mask(self.name, self.mask)
        made, new = _step_some(
            self.inner.update.body, flow, kept, state.inner_state, self.mask_extras
        )
        rest = flow.restricted([not keep for keep in kept]).applied()
        params = _joined(flow, kept, made, flow.treedef.flatten_up_to(rest))
        return flow.treedef.unflatten(params), MaskedState(new)


@dataclasses.dataclass(eq=False)
class _Partition(Wrapper):
    """A transformation for each group of leaves.

    Attributes:
        name: The constructor's name.
        transforms: The transformations by label.
        labels: Tree of labels, prefix of one, or function from the parameters to one.
        mask_extras: Whether extra arguments like the updates are masked, too.
    """

    transforms: dict[Hashable, Any]
    labels: Any
    mask_extras: bool

    @property
    def children(self) -> tuple[Any, ...]:
        return tuple(self.transforms.values())

    def with_children(self, children: tuple[Any, ...]) -> Body:
        transforms = dict(zip(self.transforms, children, strict=True))
        return dataclasses.replace(self, transforms=transforms)

    def parts(self) -> Iterator[tuple[str, Any]]:
        return iter([(str(label), tx) for label, tx in self.transforms.items()])

    def inner_states(self, state: Any) -> list[Inside]:
        states = self._states(state)
        return [
            Inside(str(label), tx.update.body, states[label].inner_state)
            for label, tx in self.transforms.items()
        ]

    def with_inner_states(self, state: Any, states: list) -> Any:
        del state
        pairs = zip(self.transforms, states, strict=True)
        return PartitionState({label: MaskedState(inner) for label, inner in pairs})

    def point(self, purpose: Purpose, state: Any, params: Any) -> Any:
        flow = Flow(self.name, params, params, {})
        column = flow.params or []
        groups = zip(self._groups(flow), self.inner_states(state), strict=True)
        for (_, _, kept), inside in groups:
            column = _joined(flow, kept, _points(flow, kept, inside, purpose), column)
        return flow.treedef.unflatten(column)

    def init(self, flow: Flow) -> Any:
        return PartitionState(
            {
                label: MaskedState(start(body, flow.restricted(kept)))
                for label, body, kept in self._groups(flow)
            }
        )

    def update(self, flow: Flow, state: Any) -> Any:
        states, new = self._states(state), {}
        for label, body, kept in self._groups(flow):
            new[label] = MaskedState(
                _update_some(body, flow, kept, states[label].inner_state, self.mask_extras)
            )
        return PartitionState(new)

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        states, new, params = self._states(state), {}, list(flow.params or ())
        for label, body, kept in self._groups(flow):
            made, inner = _step_some(body, flow, kept, states[label].inner_state, self.mask_extras)
            new[label] = MaskedState(inner)
            params = _joined(flow, kept, made, params)
        return flow.treedef.unflatten(params), PartitionState(new)

    def _groups(self, flow: Flow) -> list[tuple[Hashable, Body, list[bool]]]:
        """(label, body, which of the leaves) of each group."""
        labels = flow.spread(self.name, "`param_labels`", "labels", self.labels)
        for index, label in enumerate(labels):
            if flow.trainable[index] and label not in self.transforms:
                raise ValueError(
                    f"{self.name}: the label at {leaves.path_names(flow.tree)[index]} must be a "
                    f"key of `transforms`, {list(self.transforms)}, but is {label!r}."
                )
        return [
            (
                label,
                tx.update.body,
                [on and of == label for on, of in zip(flow.trainable, labels, strict=True)],
            )
            for label, tx in self.transforms.items()
        ]

    def _states(self, state: Any) -> dict:
        states = check_state(self.name, PartitionState, state).inner_states
        if set(states) != set(self.transforms):
            raise ValueError(
                f"{self.name}: its state must have the labels {list(self.transforms)}, but has "
                f"{list(states)}. Was the state made by init() of another optimizer?"
            )
        return states


def _update_some(body: Body, flow: Flow, kept: list[bool], state: Any, mask_extras: bool) -> Any:
    branch = _restricted(flow, kept, mask_extras)
    state = run(body, branch, state, outermost=flow.casting)
    flow.leaves = _joined(flow, kept, branch.leaves, flow.leaves)
    return state


def _step_some(
    body: Body, flow: Flow, kept: list[bool], state: Any, mask_extras: bool
) -> tuple[list, Any]:
    params, state = step(body, _restricted(flow, kept, mask_extras), state)
    return flow.treedef.flatten_up_to(params), state


def _restricted(flow: Flow, kept: list[bool], mask_extras: bool) -> Flow:
    branch = flow.restricted(kept)
    if mask_extras:
        branch.extra = {name: _masked_like(flow, kept, x) for name, x in flow.extra.items()}
    return branch


def _masked_like(flow: Flow, kept: list[bool], x: Any) -> Any:
    column, treedef = leaves.flatten(x)
    if treedef != flow.treedef:
        return x
    return treedef.unflatten([v if keep else None for v, keep in zip(column, kept, strict=True)])


def _points(flow: Flow, kept: list[bool], inside: Inside, purpose: Purpose) -> list:
    """The point of some of the parameters in the order of all, None for the others."""
    point = inside.body.point(purpose, inside.state, flow.restricted(kept).params_tree)
    return flow.treedef.flatten_up_to(point)


def _joined(flow: Flow, kept: list[bool], made: list, others: list) -> list:
    return [m if keep else o for m, o, keep in zip(made, others, kept, strict=True)]


@transformation
def masked(
    inner: Any, mask: Any, *, mask_compatible_extra_args: bool = False
) -> GradientTransformation:
    """Transform some of the leaves, and pass the others on unchanged.

    u = inner(g) where the mask is True, u = g elsewhere: so what is left out of a whole optimizer
    is still moved, by its gradient. `partition` and `selective_transform` are for parameters that
    shall rest.

    `inner` sees the leaves of its own and None in the place of all others: norms and other numbers
    of the whole tree are over its leaves. Its state has None there, too.

    Shapes: any.
    Units: those of inner.

    Args:
        inner: The transformation.
        mask: Tree of booleans like the parameters, a prefix of it, or a function of the parameters
            that returns one. It must be known while tracing: no arrays.
        mask_compatible_extra_args: Whether extra arguments that are trees like the updates get
            None in those places as well. Rules of gradtx do not need it; a pair of functions may.

    Returns:
        The transformation, with a `MaskedState`.

    Raises:
        TypeError: If `inner` is no transformation; on init and update, if a leaf of the mask is no
            boolean.
        ValueError: On init and update, if the mask does not have the structure of the parameters
            or of the top of it.
    """
    return from_body(
        _Masked("masked", as_transformation(inner, "masked"), mask, mask_compatible_extra_args)
    )


@transformation
def partition(
    transforms: Mapping[Any, Any],
    param_labels: Any,
    *,
    mask_compatible_extra_args: bool = False,
) -> GradientTransformation:
    """Transform each group of leaves by a transformation of its own.

    u = transforms[label](g), with the label of the leaf. Each transformation sees the leaves of its
    group, and None in the place of all others; so a norm inside it is that of the group.

    Shapes: any.
    Units: those of each transformation.

    Args:
        transforms: The transformations by label. Labels are hashable: strings, numbers, members
            of an enumeration.
        param_labels: Tree of labels like the parameters, a prefix of it, or a function of the
            parameters that returns one.
        mask_compatible_extra_args: As for `masked`.

    Returns:
        The transformation, with a `PartitionState`.

    Raises:
        TypeError: If `transforms` is no mapping, or a part of it no transformation.
        ValueError: On init and update, if a leaf has a label that no transformation has, or the
            labels do not have the structure of the parameters or of the top of it.

    Example:
        >>> import jax.numpy as jnp, gradtx as gx
        >>> params = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
        >>> tx = gx.partition({"w": gx.adamw(1e-3), "b": gx.sgd(0.1)}, {"w": "w", "b": "b"})
        >>> print(tx)
        partition(param_labels={'w': 'w', 'b': 'b'})
        ├── w: adamw(learning_rate=0.001)
        │   ├── scale_by_adam(b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0)
        │   ├── add_decayed_weights(weight_decay=0.0001)
        │   └── scale_by_learning_rate(learning_rate=0.001)
        └── b: sgd(learning_rate=0.1)
            ├── identity()
            └── scale_by_learning_rate(learning_rate=0.1)
    """
    if not isinstance(transforms, Mapping):
        raise TypeError(
            "partition: `transforms` must be a mapping from labels to transformations, but is "
            f"{transforms!r}."
        )
    made = {label: as_transformation(tx, "partition") for label, tx in transforms.items()}
    return from_body(_Partition("partition", made, param_labels, mask_compatible_extra_args))


multi_transform = partition
MultiTransformState = PartitionState


@transformation
def freeze(mask: Any) -> GradientTransformation:
    """Set the updates of some leaves to zero, so that their parameters rest.

    u = 0 where the mask is True, u = g elsewhere. At the end of a chain it holds the parameters,
    but what stands before it still keeps state for them: `selective_transform` does not.

    Shapes: any.
    Units: those of the updates.

    Args:
        mask: True to freeze all, False to freeze nothing, or a tree of booleans like the
            parameters, a prefix of it, or a function of the parameters that returns one.

    Returns:
        The transformation, with a `MaskedState`.

    Raises:
        TypeError: On init and update, if a leaf of the mask is no boolean.
        ValueError: On init and update, if the mask does not have the structure of the parameters
            or of the top of it.
    """
    return masked(set_to_zero(), mask)


@transformation
def selective_transform(optimizer: Any, *, freeze_mask: Any) -> GradientTransformation:
    """Transform the leaves that are not frozen, and hold the others.

    u = optimizer(g) where the mask is False, u = 0 where it is True. Frozen leaves have no state.

    Shapes: any.
    Units: those of the optimizer.

    Args:
        optimizer: The transformation of the leaves that are trained.
        freeze_mask: True to freeze all, False to freeze nothing, or a tree of booleans like the
            parameters, a prefix of it, or a function of the parameters that returns one.

    Returns:
        The transformation, with a `PartitionState` of the labels "train" and "freeze".

    Raises:
        TypeError: If `optimizer` is no transformation; on init and update, if a leaf of the mask
            is no boolean.
        ValueError: On init and update, if the mask does not have the structure of the parameters
            or of the top of it.
    """
    return partition({"train": optimizer, "freeze": set_to_zero()}, _TrainOrFreeze(freeze_mask))


@dataclasses.dataclass(eq=False)
class _TrainOrFreeze:
    """The labels of `selective_transform`: params -> tree of "train" and "freeze"."""

    mask: Any

    def __call__(self, params: Any) -> Any:
        mask = self.mask(params) if is_function(self.mask) else self.mask
        return jax.tree.map(self._label, mask)

    @staticmethod
    def _label(frozen: Any) -> str:
        flag = as_flag(frozen)
        if flag is None:
            raise TypeError(
                "selective_transform: the leaves of `freeze_mask` must be True or False, but one "
                f"is {leaves.describe_leaf(frozen)}."
            )
        return "freeze" if flag else "train"
