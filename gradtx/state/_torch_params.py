"""Parameters of torch brought together with those here: names, order, axes."""

import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .._core.paths import Pattern, check_known, check_pattern, listed, matches
from ._names import Parameters

Paths = Mapping[str, str | None] | Callable[[str], str | None]
Transpose = Pattern | Mapping[Any, tuple[int, ...] | None]


@dataclasses.dataclass(frozen=True, eq=False)
class TorchParam:
    """A parameter of torch.

    Attributes:
        key: What `state_dict["state"]` knows it by.
        name: Its name in the model.
        path: Its path here, None if it has none.
        axes: For each axis here which one of torch's it is; None if they are the same.
        group: The group that it is in.
    """

    key: Any
    name: str
    path: str | None
    axes: tuple[int, ...] | None
    group: Mapping[str, Any]

    def here(self, x: np.ndarray) -> np.ndarray:
        """An array with the axes of torch's parameter with those of the one here."""
        return x if self.axes is None or x.ndim != len(self.axes) else np.transpose(x, self.axes)

    def there(self, x: np.ndarray) -> np.ndarray:
        """The inverse of `here`."""
        if self.axes is None or x.ndim != len(self.axes):
            return x
        return np.transpose(x, np.argsort(self.axes))


def torch_params(
    owner: str, params: Any, state_dict: Any, names: Any, paths: Any, transpose: Any
) -> list[TorchParam]:
    """The parameters of an optimizer of torch, in its order.

    Raises:
        ValueError: If they have no names, or one has no path here, or two have the same.
        TypeError: If what was given is no state_dict.
    """
    check_dict(owner, state_dict)
    keys = [(key, group) for group in state_dict["param_groups"] for key in group["params"]]
    named = _names(owner, [key for key, _ in keys], state_dict["param_groups"], names)
    known = dict(Parameters(params).by_keys.values())
    found = _paths(owner, named, paths, known)
    axes = _axes(owner, transpose, {path: known[path] for path in found if path is not None})
    return [
        TorchParam(key, name, path, None if path is None else axes[path], group)
        for (key, group), name, path in zip(keys, named, found, strict=True)
    ]


def check_dict(owner: str, state_dict: Any) -> None:
    """Raise unless this is what `state_dict()` of an optimizer returns."""
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
        raise ValueError(
            f"{owner}: the parameters in `state_dict` have numbers, not names. Give `names`, in "
            "the order in which the optimizer got them: [name for name, _ in "
            "model.named_parameters()]."
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
    unknown = {path: n for n, path in zip(names, found, strict=True) if path not in (None, *known)}
    if unknown:
        path, name = next(iter(unknown.items()))
        more = f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise ValueError(
            f"{owner}: torch's {name!r} would be {path!r}{more}, but there is no such parameter."
            f"{_near(str(path), list(known))} Say by `paths` what it is here, None for nothing. "
            f"The parameters here are {listed(list(known))}."
        )
    by_path: dict[str, str] = {}
    for name, path in zip(names, found, strict=True):
        if path is not None and by_path.setdefault(path, name) != name:
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
    if sorted(axes) != list(range(ndim)):
        raise ValueError(
            f"{owner}: {path} has {ndim} axes, but `transpose` gives it {tuple(axes)}."
        )
    return tuple(axes)


def arrays_of(state_dict: Mapping[str, Any], param: TorchParam) -> dict[str, np.ndarray]:
    """What torch keeps for a parameter, as arrays of NumPy."""
    state = state_dict["state"]
    kept = state.get(param.key, state.get(str(param.key), {}))
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
