"""The updates on their way through a transformation."""

import functools
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from . import leaves
from .apply import apply_updates
from .containers import plain
from .hints import need_extra
from .leaves import as_array
from .meter import Meter
from .reduce import Split

if TYPE_CHECKING:
    from .outside import Outside


class Report(NamedTuple):
    """A number that a rule says of itself.

    Attributes:
        name: Its name.
        group: Names of the groups in which it was said, outermost first.
        value: The number.
        when: Whether it is one of this step: True, or a boolean scalar.
    """

    name: str
    group: tuple[str, ...]
    value: Any
    when: Any


class Flow:
    """The updates as a list of leaves, aligned with parameters and states.

    Attributes:
        owner: Name of the outermost transformation, for messages.
        tree: The updates as they were given, but for containers that hide the paths.
        params_tree: The parameters as they were given, or None; with the same exception.
        extra: The extra arguments by name.
        treedef: Structure of `tree`, in which `None` counts as a leaf.
        leaves: The updates; the stages change this list.
        params: The parameters in the order of `leaves`, or None.
        beside: In a flow of some of the leaves, the parameters that it has not; else None.
        trainable: For each leaf whether it is an array of numbers to be updated. Everything
            else (None, integers, float0, keys, functions) passes through untouched.
        dtypes: For each leaf the dtype in which its gradient came.
        splits: For each leaf the mesh axes that its axes are split over inside a
            `jax.shard_map`, or None: see `reduce.Split`.
        whole: What functions of the parameters that decide by paths or shapes are told, if not the
            parameters of this flow: inside a `jax.shard_map` ShapeDtypeStructs of their whole
            shapes, and where some are left out all of them; else None.
        casting: Whether the stage now running is the last of the outermost transformation, so
            that its updates must have those dtypes again.
        taken: Whether this is a step: False, or a boolean scalar, where a guard or an accumulation
            leaves the parameters where they are.
        noise_by: Who added noise to these updates, if somebody did; else empty.
        reports: What rules say of themselves, in order, if anybody listens; else None.
        meter: What to measure of the last stage, if anybody asks; else None.
        group: Names of the groups that these leaves are, outermost first.
        outside: For a group of leaves, what it needs for a number over all leaves; else None.
        left_out: For each leaf whether it is None here because nothing in the whole transformation
            moves it. Groups and masks are still told of it, by `whole`.
    """

    def __init__(self, owner: str, updates: Any, params: Any, extra: dict):
        updates, params = plain(updates), plain(params)
        updates = leaves.fitted(updates, params)
        given, self.treedef = leaves.flatten(updates)
        self.owner, self.tree, self.params_tree, self.extra = owner, updates, params, extra
        self.params = None
        if params is not None:
            self.params = leaves.align(
                self.treedef,
                params,
                owner=owner,
                what="the parameters",
                reference=updates,
                reference_name="the updates",
            )
        self.trainable = [leaves.is_inexact(g) for g in given]
        leaves.check_gradients(owner, given, self.params, updates)
        self.leaves = [
            as_array(g) if on else g for g, on in zip(given, self.trainable, strict=True)
        ]
        self.dtypes = [
            g.dtype if on else None for g, on in zip(self.leaves, self.trainable, strict=True)
        ]
        self.splits: list[Split | None] = [None] * len(self.leaves)
        self.whole: Any = None
        self.beside: list | None = None
        self.casting = False
        self.taken: Any = True
        self.noise_by = ""
        self.reports: list[Report] | None = None
        self.meter: Meter | None = None
        self.group: tuple[str, ...] = ()
        self.outside: Outside | None = None
        self.left_out = [False] * len(self.leaves)
        self._shapes_are_checked = False

    def check_shapes(self, of_examples: bool = False) -> None:
        """Raise, once, if an update has not the shape of its parameter.

        What reads updates calls it, not the flow itself: the gradients of single examples, with an
        axis before that, may first be sent to what makes a mean of them.
        """
        if of_examples or not self._shapes_are_checked:
            leaves.check_shapes(self.owner, self.leaves, self.params, self.tree, of_examples)
        self._shapes_are_checked = not of_examples

    @functools.cached_property
    def leaf_ids(self) -> list[np.uint32]:
        """A number per leaf that depends on its path alone."""
        return [np.uint32(zlib.crc32(path.encode())) for path in leaves.path_names(self.tree)]

    @property
    def is_abstract(self) -> bool:
        """Whether a leaf only describes an array."""
        return any(map(leaves.is_abstract, self.leaves))

    @functools.cached_property
    def param_arrays(self) -> list:
        """The parameters, Python numbers among them as arrays; None for each without parameters."""
        if self.params is None:
            return [None] * len(self.leaves)
        return [as_array(p) if on else p for p, on in zip(self.params, self.trainable, strict=True)]

    @property
    def all_params(self) -> list:
        """The parameters, also where this is a flow of some: for functions of all of them."""
        return self._with_beside(self.params or [None] * len(self.leaves))

    def all_params_at(self, point: list) -> Any:
        """The tree of all parameters with those of this flow elsewhere, for functions of them.

        Args:
            point: Parameters in the order of `leaves`; those that this flow has not are ignored.
        """
        return self.treedef.unflatten(self._with_beside(point))

    def own(self, column: list) -> list:
        """What such a function returned for all parameters, None for those that are not here."""
        if self.beside is None:
            return column
        return self._only([b is None for b in self.beside], column)

    def _with_beside(self, column: list) -> list:
        if self.beside is None:
            return column
        return [x if b is None else b for x, b in zip(column, self.beside, strict=True)]

    def out_dtype(self, index: int) -> Any:
        """The dtype the running stage must return, or None for that of its arithmetic."""
        return self.dtypes[index] if self.casting else None

    def column(self, tree: Any, owner: str, field: str) -> list:
        """A per-parameter state field as a list over the leaves."""
        return leaves.align(
            self.treedef,
            tree,
            owner=owner,
            what=f"the state field `{field}`",
            reference=self.tree,
            reference_name="the updates",
            same_containers=True,  # the new state has those of the updates
        )

    def branch(self, **changed: Any) -> "Flow":
        """A flow of the same updates that goes its own way, with other attributes if given."""
        other = object.__new__(Flow)
        other.__dict__.update(self.__dict__)
        other.leaves, other.casting = list(self.leaves), False
        if "params" in changed:
            other.__dict__.pop("param_arrays", None)
            changed["params_tree"] = self.treedef.unflatten(changed["params"])
        other.__dict__.update(changed)
        return other

    def child(self, index: int) -> "Flow":
        """A flow of one of the subtrees that the updates consist of."""
        treedefs = self.treedef.children()
        first = sum(treedef.num_leaves for treedef in treedefs[:index])
        here, treedef = slice(first, first + treedefs[index].num_leaves), treedefs[index]

        def subtree(tree: Any) -> Any:
            return treedef.unflatten(self.treedef.flatten_up_to(tree)[here])

        lists = ("leaves", "trainable", "dtypes", "splits", "left_out")
        other = self.branch(treedef=treedef, tree=subtree(self.tree), meter=None)
        other.__dict__.update({name: getattr(self, name)[here] for name in lists})
        if self.params is not None:
            other.params, other.params_tree = self.params[here], subtree(self.params_tree)
        other.whole = None if self.whole is None else subtree(self.whole)
        other.beside = None if self.beside is None else self.beside[here]
        if self.outside is not None:
            other.outside = self.outside.replaced(lambda column: column[here])
        for cached in ("leaf_ids", "param_arrays"):
            other.__dict__.pop(cached, None)
        return other

    def hear_of(self, branches: "list[Flow]") -> None:
        """Know of the ways that the updates went whether one was a step, and who added noise."""
        self.noise_by = next((b.noise_by for b in branches if b.noise_by), self.noise_by)
        taken = [branch.taken for branch in branches]
        if taken and not any(was is True for was in taken):
            self.taken = functools.reduce(lambda one, other: one | other, taken)

    def applied(self) -> Any:
        """The parameters with the updates added."""
        return apply_updates(self.params_tree, self.as_given())

    def as_given(self) -> Any:
        """The updates as a tree, in the dtypes in which the gradients came."""
        return self.treedef.unflatten(
            [
                g if d is None or g.dtype == d else g.astype(d)
                for g, d in zip(self.leaves, self.dtypes, strict=True)
            ]
        )

    def needed_tree(self, owner: str, name: str) -> list:
        """An extra argument like the params that a rule cannot do without, over the leaves."""
        column = leaves.align(
            self.treedef,
            self._needed(owner, name),
            owner=owner,
            what=f"the extra argument `{name}`",
            reference=self.tree,
            reference_name="the updates",
        )
        for index, (g, x) in enumerate(zip(self.leaves, column, strict=True)):
            if self.trainable[index] and np.shape(x) != g.shape:
                raise ValueError(
                    f"{owner}: `{name}` at {leaves.path_names(self.tree)[index]} must have the "
                    f"shape of the gradient, {leaves.describe_leaf(g)}, but is "
                    f"{leaves.describe_leaf(x)}."
                )
        return [as_array(x) if on else x for x, on in zip(column, self.trainable, strict=True)]

    def needed_extra(self, owner: str, name: str, default: float | None = None) -> jax.Array:
        """An extra argument as an array; without a default a rule cannot do without it."""
        if default is not None and name not in self.extra:
            return jnp.asarray(default)
        return jnp.asarray(self._needed(owner, name))

    def needed_function(self, owner: str, name: str) -> Callable[..., Any]:
        """An extra argument that is a function and that a body cannot do without."""
        function = self._needed(owner, name)
        if not callable(function):
            raise TypeError(
                f"{owner}: `{name}` must be a function of the parameters, but is "
                f"{leaves.describe_leaf(function)}. Was it called already?"
            )
        return function

    def need(self, owner: str, *names: str, why: str = "") -> None:
        """Raise if one of these extra arguments is missing, with all that are."""
        need_extra(owner, names, self.extra, why)

    def _needed(self, owner: str, name: str) -> Any:
        self.need(owner, name)
        return self.extra[name]

    def report(self, name: str, value: Any, when: Any = True) -> None:
        """Say a number to whoever listens; in `init` one that is not 0 before the first step.

        Args:
            name: Its name.
            value: A real number.
            when: Whether it is one of this step: True, or a boolean scalar.
        """
        if self.reports is not None:
            self.reports.append(Report(name, self.group, value, when))

    def zero(self, index: int) -> jax.Array:
        """An update of 0 as that of a leaf, of its parameter's shape where there is one."""
        g, p = self.leaves[index], self.param_arrays[index]
        # The gradients of single examples have one axis more than their parameters.
        return jnp.zeros_like(g if p is None or p.shape == g.shape else p, dtype=g.dtype)

    @property
    def present(self) -> list[bool]:
        """For each leaf whether it is to be trained here, or would be if it were not left out."""
        return [on or out for on, out in zip(self.trainable, self.left_out, strict=True)]

    def without(self, out: list[bool]) -> "Flow":
        """The flow of the leaves that are not left out."""
        part = self.restricted([not left for left in out])
        part.left_out = out
        given = self.tree if self.params_tree is None else self.params_tree
        part.whole = given if self.whole is None else self.whole
        return part

    def restricted(self, kept: list[bool]) -> "Flow":
        """A flow of some of the leaves; in the place of the others it has None everywhere."""
        tree = self._only(kept, self.treedef.flatten_up_to(self.tree))
        whole = self.whole
        if whole is not None:
            whole = self.treedef.unflatten(self._only(kept, self.treedef.flatten_up_to(whole)))
        changed = {
            "tree": self.treedef.unflatten(tree),
            "leaves": self._only(kept, self.leaves),
            "trainable": [on and keep for on, keep in zip(self.trainable, kept, strict=True)],
            "dtypes": self._only(kept, self.dtypes),
            "whole": whole,
            "left_out": [out and keep for out, keep in zip(self.left_out, kept, strict=True)],
            "outside": None,
        }
        if self.params is not None:
            changed["params"] = self._only(kept, self.params)
            changed["beside"] = self._only([not keep for keep in kept], self.all_params)
        return self.branch(**changed)

    @staticmethod
    def _only(kept: list[bool], column: list) -> list:
        return [x if keep else None for x, keep in zip(column, kept, strict=True)]
