"""States given back to torch.optim, without torch: its state_dicts are dicts."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from .._core.leaves import is_abstract
from .._core.transformation import as_transformation
from ._carry import check_choices, check_differences
from ._names import Entry, Parameters, entries_of, named
from ._report import Report, some
from ._torch_numbers import differences
from ._torch_params import Paths, TorchParam, Transpose, torch_params
from ._torch_rules import Part, kind_of, momentum_scale, parts_of


def to_torch(
    tx: Any,
    state: Any,
    params: Any,
    state_dict: Mapping[str, Any],
    *,
    tensor: Callable[[np.ndarray], Any],
    names: Sequence[Any] | None = None,
    paths: Paths | None = None,
    transpose: Transpose | None = None,
    missing: Literal["raise", "init"] = "raise",
    extra: Literal["raise", "drop"] = "raise",
    steps: int | None = None,
) -> tuple[dict[str, Any], Report]:
    """Fill the state_dict of an optimizer of torch.optim: the way back of `from_torch`.

    Args:
        tx: The transformation, of gradtx.
        state: Its state.
        params: The parameters, for their paths and shapes.
        state_dict: What `optimizer.state_dict()` returns, before its first step or later. Its
            groups stay as they are, and say what is needed.
        tensor: Makes a tensor of an array of NumPy: `torch.tensor`.
        names: As for `from_torch`.
        paths: As for `from_torch`.
        transpose: As for `from_torch`.
        missing: What to do about parameters of which an array that torch needs is not here: an
            error, or leave them without state, so that torch starts them at its next step.
        extra: What to do about arrays here that torch has no place for: an error, or drop them.
        steps: Number of steps that were done, if nothing in the state counts them, or not all
            alike.

    Returns:
        A dict for `optimizer.load_state_dict`, which puts the tensors into the parameters' dtype
        and device, and a `Report`: by gradtx's names for what was taken or has no place, by
        "parameter/key" for what torch lacks.

    Raises:
        ValueError: As for `from_torch`, and if the number of steps is needed and not known.
    """
    owner = "to_torch"
    tx = as_transformation(tx, owner)
    check_choices(owner, missing, extra)
    torchs = torch_params(owner, params, state_dict, names, paths, transpose)
    tree = named(owner, tx.update.body, state)
    parts = parts_of(tx.update.body, tree)
    entries = entries_of(tree)
    if any(is_abstract(entry.value) for entry in entries):
        raise ValueError("to_torch: the state must have arrays, but is only described.")
    known = Parameters(params)
    writer = _Writer(torchs)
    for part in parts:
        writer.write(part, known)
    number = _steps_here(entries, steps)
    filled: dict[Any, dict[str, Any]] = {}
    lacking: list[str] = []
    without: list[str] = []
    for param in torchs:
        kept = writer.found.get(param.name, {})
        needed = _needed(kind_of(owner, param.group)[1], kept, param, known)
        absent = [key for key in needed if key != "step" and key not in kept]
        if not kept:
            without += [param.name] if needed else []
            continue
        lacking += [f"{param.name}/{key}" for key in absent]
        if absent:
            continue
        if "step" in needed:
            kept = kept | {"step": _checked_steps(number)}
        writer.placed |= {(param.name, key) for key in needed}
        filled[param.key] = {key: tensor(_own(kept[key])) for key in needed}
    report = Report(
        restored=tuple(n for n, place in writer.places.items() if place in writer.placed),
        missing=tuple(lacking),
        extra=tuple(
            entry.name
            for entry in entries
            if not entry.counts_steps and writer.places.get(entry.name) not in writer.placed
        ),
        hints=(
            *([f"Without state: {', '.join(some(without))}."] if without else []),
            *differences(parts, list(state_dict["param_groups"]), number),
        ),
    )
    check_differences(owner, report, missing, extra)
    groups = copy.deepcopy(list(state_dict["param_groups"]))
    return dict(state_dict) | {"state": filled, "param_groups": groups}, report


class _Writer:
    """The arrays of a state by torch's parameters and keys."""

    def __init__(self, torchs: list[TorchParam]):
        self.torchs = torchs
        self.by_path = {param.path: param for param in torchs if param.path is not None}
        self.found: dict[str, dict[str, np.ndarray]] = {}
        self.places: dict[str, tuple[str, str]] = {}
        self.placed: set[tuple[str, str]] = set()

    def write(self, part: Part, known: Parameters) -> None:
        """Write what the state of a rule has."""
        for entry in part.entries if part.kin is not None else ():
            field = entry.path.split("/")[0]
            key = part.kin.fields.get(field) if part.kin is not None else None
            if key is None:
                continue
            found = known.of(entry)
            if found is None:
                for param in self.by_path.values():
                    self._put(entry, param, key, np.asarray(entry.value))
            elif (param := self.by_path.get(found[0])) is not None:
                value = param.there(np.asarray(entry.value))
                if key == "momentum_buffer":
                    value = value / momentum_scale("to_torch", part, param.group)
                if field in ("v_row", "v_col"):
                    key = "row_var" if value.shape[-1] == 1 else "col_var"
                self._put(entry, param, key, value)

    def _put(self, entry: Entry, param: TorchParam, key: str, value: np.ndarray) -> None:
        self.found.setdefault(param.name, {})[key] = value
        self.places[entry.name] = (param.name, key)


def _needed(
    kept: tuple[str, ...], found: Mapping[str, Any], param: TorchParam, known: Parameters
) -> list[str]:
    """What torch keeps for this parameter; nothing for those that are not here."""
    if param.path is None:
        return []
    if "row_var" not in kept:
        return list(kept)
    shapes = dict(known.shapes)
    factored = len(shapes[param.path]) >= 2
    absent = {"variance"} if factored else {"row_var", "col_var"}
    return [key for key in kept if key not in absent]


def _steps_here(entries: list[Entry], steps: int | None) -> int | None:
    if steps is not None:
        return steps
    known = {int(entry.value) for entry in entries if entry.counts_steps and not entry.value.ndim}
    return known.pop() if len(known) == 1 else None


def _checked_steps(number: int | None) -> np.ndarray:
    if number is None:
        raise ValueError(
            "to_torch: torch counts steps for each parameter, but the state has no count, or such "
            "that differ. Give the number: steps=n."
        )
    return np.asarray(number, np.float32)


def _own(x: np.ndarray) -> np.ndarray:
    """An array that torch can take: of its own, in C order, no narrower than float32."""
    narrow = x.dtype.itemsize < 4 and x.dtype.kind not in "iub"
    return np.array(x, dtype=np.float32 if narrow else x.dtype, order="C", copy=True)
