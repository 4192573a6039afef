"""Parameters of torch brought together with those here: names, order, axes."""

import dataclasses
import difflib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .._core.paths import Pattern, check_known, check_pattern, listed, matches
from ._names import Parameters
from ._torch_split import Cut, Split, check_whole, cuts_of

Place = str | Split | None
Paths = Mapping[str, Place] | Callable[[str], Place]
Transpose = Pattern | Mapping[Any, tuple[int, ...] | None]
StateDicts = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class TorchParam:
    """A parameter of torch, or the part of one that is a parameter here.

    Attributes:
        key: Which optimizer it is in, and what that one's "state" knows it by.
        name: Its name in the model, and of a part from where to where it is.
        path: Its path here, None if it has none.
        shape: Its shape here.
        axes: For each axis here which one of torch's it is; None if they are the same.
        group: The group that it is in.
        cut: Where it lies in torch's tensor, None if it is all of it.
    """

    key: tuple[int, Any]
    name: str
    path: str | None
    shape: tuple[int, ...]
    axes: tuple[int, ...] | None
    group: Mapping[str, Any]
    cut: Cut | None = None

    def here(self, x: np.ndarray) -> np.ndarray:
        """An array with the axes of torch's parameter with those of the one here."""
        if self.cut is not None and x.ndim == self.cut.ndim:
            x = self.cut.of(x)
        order = self._order
        if order is None or x.ndim != len(order):
            return x
        x = np.transpose(x, order)
        if len(order) == len(self.shape):
            return x
        return x.reshape(self.shape) if x.shape == self._merged else x

    def there(self, x: np.ndarray) -> np.ndarray:
        """The inverse of `here`."""
        order = self._order
        if order is None or self.axes is None or x.ndim != len(self.axes):
            return x
        if len(order) < len(self.axes) and x.shape == self.shape:
            x = x.reshape(self._merged)
        return np.transpose(x, np.argsort(order)) if x.ndim == len(order) else x

    @property
    def _order(self) -> tuple[int, ...] | None:
        """torch's axes in the order in which they are here."""
        return None if self.axes is None else tuple(dict.fromkeys(self.axes))

    @property
    def _merged(self) -> tuple[int, ...]:
        """The shape here with the axes that are one in torch as one."""
        there = shape_there(self.shape, self.axes)
        return tuple(there[axis] for axis in self._order or ())


def shape_there(shape: tuple[int, ...], axes: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape that a parameter has in torch."""
    if axes is None:
        return shape
    there = [1] * len(set(axes))
    for size, axis in zip(shape, axes, strict=True):
        there[axis] *= size
    return tuple(there)


def torch_params(
    owner: str, params: Any, dicts: list[Mapping], names: Any, paths: Any, transpose: Any
) -> list[TorchParam]:
    """The parameters of optimizers of torch in their order, the parts of one together.

    Args:
        owner: Who asks, for messages.
        params: The parameters here.
        dicts: The state_dicts, from `dicts_of`.
        names: What the caller gave; of several dicts a list for each.
        paths: What the caller gave.
        transpose: What the caller gave.

    Raises:
        ValueError: If they have no names, or one has no path here, or two have the same.
    """
    groups = [(index, group) for index, one in enumerate(dicts) for group in one["param_groups"]]
    keys = [((index, key), group) for index, group in groups for key in group["params"]]
    named = _names(owner, [key for (_, key), _ in keys], [group for _, group in groups], names)
    known = dict(Parameters(params).by_keys.values())
    found = _paths(owner, named, paths, known)
    flat = [path for place in found for path in places_in(place)]
    axes = _axes(owner, transpose, {path: known[path] for path in flat})
    shapes = {path: tuple(np.shape(known[path])) for path in flat}
    there = {path: shape_there(shapes[path], axes[path]) for path in flat}
    out: list[TorchParam] = []
    for (key, group), name, place in zip(keys, named, found, strict=True):
        if place is None:
            out.append(TorchParam(key, name, None, (), None, group))
        elif isinstance(place, str):
            out.append(TorchParam(key, name, place, shapes[place], axes[place], group))
        else:
            check_whole(owner, name, group)
            cuts = cuts_of(owner, name, place, there)
            for path, cut in zip(place.paths, cuts, strict=True):
                part = TorchParam(key, f"{name}{cut}", path, shapes[path], axes[path], group, cut)
                out.append(part)
    return out


def order_hints(torchs: list[TorchParam]) -> Iterator[str]:
    """Where names that were given in another order than that of the groups would not be noticed."""
    first = {shape: p for p in reversed(torchs) if (shape := p.shape) and p.cut is None}
    for param in torchs:
        other = first.get(param.shape)
        if other is None or param.key[0] != other.key[0] or param.group is other.group:
            continue
        yield (
            f"`names` go by the order of the groups: {other.name} is in an earlier one than "
            f"{param.name}, which has its shape. In the model's order they would be exchanged."
        )
        return


def places_in(place: Place) -> tuple[str, ...]:
    """The paths here of one parameter of torch."""
    if isinstance(place, Split):
        return tuple(place.paths)
    return () if place is None else (place,)


def dicts_of(owner: str, state_dict: Any, names: Any) -> tuple[list[Mapping], Any]:
    """The state_dicts as a list, and the names of all their parameters.

    Raises:
        ValueError: If there are several, and not as many lists of names.
        TypeError: If one is not what `state_dict()` of an optimizer returns.
    """
    if not isinstance(state_dict, (list, tuple)):
        _check_dict(owner, state_dict)
        return [state_dict], names
    if not state_dict:
        raise ValueError(f"{owner}: `state_dict` must have at least one state_dict, but is empty.")
    for one in state_dict:
        _check_dict(owner, one)
    if names is None:
        return list(state_dict), None
    lists = [*names]
    if len(lists) != len(state_dict) or any(isinstance(one, str) for one in lists):
        raise ValueError(
            f"{owner}: with {len(state_dict)} state_dicts `names` must be as many lists of names, "
            f"one for each, but has {len(lists)} entries of {type(lists[0]).__name__}."
            if lists
            else f"{owner}: `names` must be a list of names for each state_dict, but is empty."
        )
    lists = [[*one] for one in lists]
    for place, (one, given) in enumerate(zip(state_dict, lists, strict=True)):
        number = sum(len(group["params"]) for group in one["param_groups"])
        if number != len(given):
            raise ValueError(
                f"{owner}: `names` must have those of the {number} parameters of state_dict "
                f"{place}, but has {len(given)} for it. Are the lists in another order?"
            )
    return list(state_dict), [name for given in lists for name in given]


def _check_dict(owner: str, state_dict: Any) -> None:
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
        given = f"a {type(state_dict).__name__}"
        if isinstance(state_dict, Mapping):
            given = f"a dict with {listed([str(key) for key in state_dict])}"
        raise TypeError(
            f'{owner}: `state_dict` must have "state" and "param_groups", as '
            f"optimizer.state_dict() returns it, but is {given}."
        )


def _names(owner: str, keys: list, groups: Sequence[Mapping], names: Any) -> list[str]:
    if names is None and all(isinstance(key, str) for key in keys):
        return list(keys)
    if names is None and all("param_names" in group for group in groups):
        names = [name for group in groups for name in group["param_names"]]
    if names is None:
        listed_so = "[name for name, _ in model.named_parameters()]"
        if len(groups) > 1:
            listed_so = (
                "with known = {p: name for name, p in model.named_parameters()} they are [known[p] "
                'for group in optimizer.param_groups for p in group["params"]]'
            )
        raise ValueError(
            f"{owner}: the parameters in `state_dict` have numbers, not names. Give `names`, in "
            f"the order in which the optimizer got them, group by group: {listed_so}."
        )
    names = [name if isinstance(name, str) else name[0] for name in names]
    if len(names) != len(keys):
        raise ValueError(
            f"{owner}: `names` must be those of the {len(keys)} parameters of the optimizer, but "
            f"are {len(names)}. Are parameters left out of it, or shared?"
        )
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{owner}: the name {min(twice)!r} is there twice.")
    return names


def _paths(owner: str, names: list[str], paths: Any, known: Mapping[str, Any]) -> list:
    if isinstance(paths, Mapping):
        for name in paths:
            if name not in names:
                raise ValueError(
                    f"{owner}: `paths` has {name!r}, which is no parameter of torch."
                    f"{_near(name, names)} Its parameters are {listed(names)}."
                )
        found = [paths.get(name, name.replace(".", "/")) for name in names]
    else:
        found = [name.replace(".", "/") if paths is None else paths(name) for name in names]
    for name, place in zip(names, found, strict=True):
        if not (place is None or isinstance(place, (str, Split))):
            raise TypeError(
                f"{owner}: `paths` must have a path, a Split of several or None for {name!r}, but "
                f"has {place!r}."
            )
    pairs = [(n, path) for n, place in zip(names, found, strict=True) for path in places_in(place)]
    unknown = {path: n for n, path in pairs if path not in known}
    if unknown:
        path, name = next(iter(unknown.items()))
        more = f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise ValueError(
            f"{owner}: torch's {name!r} would be {path!r}{more}, but there is no such parameter."
            f"{_near(path, list(known))} Say by `paths` what it is here, None for nothing. "
            f"The parameters here are {listed(list(known))}."
        )
    by_path: dict[str, str] = {}
    for name, path in pairs:
        if by_path.setdefault(path, name) != name:
            raise ValueError(f"{owner}: {by_path[path]!r} and {name!r} of torch are both {path!r}.")
    return found


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _axes(owner: str, transpose: Any, leaves: Mapping[str, Any]) -> dict[str, Any]:
    """For each path which axes of torch's array are those here."""
    found: dict[str, Any] = dict.fromkeys(leaves)
    if transpose is None:
        return found
    rules = transpose if isinstance(transpose, Mapping) else {transpose: None}
    for pattern, axes in rules.items():
        check_pattern(f"{owner}: `transpose`", pattern)
        check_known(f"{owner}: `transpose`", pattern, list(leaves))
        for path, leaf in leaves.items():
            if found[path] is None and matches(pattern, path, leaf, owner):
                found[path] = _checked_axes(owner, path, np.ndim(leaf), axes)
    return found


def _checked_axes(owner: str, path: str, ndim: int, axes: Any) -> tuple[int, ...]:
    if axes is None:
        if ndim > 2:
            raise ValueError(
                f"{owner}: {path} has {ndim} axes, so it is not known which is which: give "
                "`transpose` as {pattern: axes}, for each axis here that of torch, such as "
                "(2, 3, 1, 0) for a kernel of a convolution."
            )
        return tuple(reversed(range(ndim)))
    axes = tuple(axes)
    runs = [axis for axis, _ in itertools.groupby(axes)]
    if len(axes) != ndim or sorted(runs) != list(range(len(runs))):
        raise ValueError(f"{owner}: {path} has {ndim} axes, but `transpose` gives it {axes}.")
    return axes


def arrays_of(dicts: list[Mapping], param: TorchParam) -> dict[str, np.ndarray]:
    """What torch keeps for a parameter, as arrays of NumPy."""
    index, key = param.key
    state = dicts[index]["state"]
    kept = state.get(key, state.get(str(key), {}))
    return {key: as_numpy(x) for key, x in kept.items() if x is not None}


def as_numpy(x: Any) -> np.ndarray:
    """A tensor of torch, or an array, as one of NumPy."""
    for method in ("full_tensor", "detach", "cpu", "resolve_conj"):
        if hasattr(x, method):
            x = getattr(x, method)()
    if str(getattr(x, "dtype", "")) == "torch.bfloat16":
        x = x.float()  # which NumPy has, and has room for it
    return np.asarray(x.numpy() if hasattr(x, "numpy") else x)


def unused(params: list[TorchParam], there: Mapping[str, Mapping], used: set) -> Iterator[str]:
    """The arrays of torch that were not taken, by "parameter/key"."""
    for param in params:
        for key in there[param.name]:
            if (param.name, key) not in used and key != "step" and param.path is not None:
                yield f"{param.name}/{key}"
