"""Groups of leaves: a transformation of some of them, or another one for each group."""

import dataclasses
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple

import jax

from .._core import leaves, masks
from .._core.arguments import as_flag, is_function
from .._core.body import Body, Group, Inside
from .._core.flow import Flow
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import check_state
from .._parts.zero import set_to_zero
from ..typing import InnerState
from .routed import Routed


class MaskedState(NamedTuple):
    """The state of the wrapped transformation, with None for the leaves that are left out."""

    inner_state: InnerState


# Optax has a node of this name where a leaf is left out; here there is None.
MaskedNode: type[None] = type(None)


class PartitionState(NamedTuple):
    """{label: MaskedState}, the state of each group's transformation."""

    inner_states: InnerState


@dataclasses.dataclass(eq=False)
class _Masked(Routed):
    """A transformation of some of the leaves.

    Attributes:
        name: The constructor's name.
        mask_extras: Whether extra arguments like the updates are masked, too.
        inner: The transformation.
        mask: Tree of booleans, prefix of one, or function from the parameters to one.
    """

    inner: Any
    mask: Any

    def groups_of(self, flow: Flow) -> list[Group]:
        return [
            Group(
                None,
                self.inner.update.body,
                masks.over_leaves(flow, self.name, self.mask, flow.present),
            )
        ]

    def inner_states(self, state: Any) -> list[Inside]:
        state = check_state(self.name, MaskedState, state)
        return [Inside("", self.inner.update.body, state.inner_state)]

    def with_inner_states(self, state: Any, states: list) -> Any:
        del state
        return MaskedState(states[0])


@dataclasses.dataclass(eq=False)
class _Partition(Routed):
    """A transformation for each group of leaves.

    Attributes:
        name: The constructor's name.
        mask_extras: Whether extra arguments like the updates are masked, too.
        transforms: The transformations by label.
        labels: Tree of labels, prefix of one, or function from the parameters to one.
    """

    transforms: dict[Hashable, Any]
    labels: Any

    @property
    def children(self) -> tuple[Any, ...]:
        return tuple(self.transforms.values())

    def with_children(self, children: tuple[Any, ...]) -> Body:
        transforms = dict(zip(self.transforms, children, strict=True))
        return dataclasses.replace(self, transforms=transforms)

    def parts(self) -> Iterator[tuple[str, Any]]:
        return iter([(str(label), tx) for label, tx in self.transforms.items()])

    def inner_states(self, state: Any) -> list[Inside]:
        states = check_state(self.name, PartitionState, state).inner_states
        if set(states) != set(self.transforms):
            raise ValueError(
                f"{self.name}: its state must have the labels {list(self.transforms)}, but has "
                f"{list(states)}. Was the state made by init() of another optimizer?"
            )
        return [
            Inside(str(label), tx.update.body, states[label].inner_state)
            for label, tx in self.transforms.items()
        ]

    def with_inner_states(self, state: Any, states: list) -> Any:
        del state
        pairs = zip(self.transforms, states, strict=True)
        return PartitionState({label: MaskedState(inner) for label, inner in pairs})

    def groups_of(self, flow: Flow) -> list[Group]:
        labels = masks.spread(flow, self.name, "`param_labels`", "labels", self.labels)
        for index, label in enumerate(labels):
            if flow.trainable[index] and label not in self.transforms:
                raise ValueError(
                    f"{self.name}: the label at {leaves.path_names(flow.tree)[index]} must be a "
                    f"key of `transforms`, {list(self.transforms)}, but is {label!r}."
                )
        return [
            Group(
                label,
                tx.update.body,
                [on and of == label for on, of in zip(flow.present, labels, strict=True)],
            )
            for label, tx in self.transforms.items()
        ]


@transformation
def masked(
    inner: Any, mask: Any, *, mask_compatible_extra_args: bool = False
) -> GradientTransformation:
    """Transform some of the leaves, and pass the others on unchanged.

    u = inner(g) where the mask is True, u = g elsewhere: so what is left out of a whole optimizer
    is still moved, by its gradient. `partition` and `selective_transform` are for parameters that
    shall rest.

    `inner` sees the leaves of its own and None in the place of all others: norms and other numbers
    of the whole tree are over its leaves. Its state has None there, too. Only a
    `clip_by_global_norm` that says scope="all" counts the leaves that are left out.

    Shapes: any.
    Units: those of inner.

    Args:
        inner: The transformation.
        mask: Tree of booleans like the parameters, a prefix of it, or a function of the parameters
            that returns one. It must be known while tracing: no traced values.
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
    made = as_transformation(inner, "masked")
    return from_body(_Masked("masked", mask_compatible_extra_args, made, mask))


@transformation
def partition(
    transforms: Mapping[Any, Any],
    param_labels: Any,
    *,
    mask_compatible_extra_args: bool = False,
) -> GradientTransformation:
    """Transform each group of leaves by a transformation of its own.

    u = transforms[label](g), with the label of the leaf. Each transformation sees the leaves of its
    group, and None in the place of all others; so a norm inside it is that of the group, but for a
    `clip_by_global_norm` that says scope="all". `groups` goes by paths, and clips over all.

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
    if without := [label for label, tx in transforms.items() if tx is None]:
        raise TypeError(
            f"partition: every part must be a transformation, but that of {without[0]!r} is None. "
            "set_to_zero() freezes a group; in `groups`, which goes by paths, None does."
        )
    made = {label: as_transformation(tx, "partition") for label, tx in transforms.items()}
    return from_body(_Partition("partition", mask_compatible_extra_args, made, param_labels))


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
