"""States given back to torch.optim, without torch: its state_dicts are dicts."""

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from .._core.leaves import is_abstract
from .._core.transformation import as_transformation
from ._carry import check_choices, check_differences
from ._names import Entry, Parameters, entries_of, named
from ._report import Report, some
from ._torch_muon import muon_differences
from ._torch_numbers import differences
from ._torch_params import Paths, StateDicts, TorchParam, Transpose, dicts_of, torch_params
from ._torch_rules import Part, kind_of, momentum_scale, parts_of, suits
from ._torch_split import joined


def to_torch(
    tx: Any,
    state: Any,
    params: Any,
    state_dict: StateDicts,
    *,
    tensor: Callable[[np.ndarray], Any],
    names: Sequence[Any] | None = None,
    paths: Paths | None = None,
    transpose: Transpose | None = None,
    missing: Literal["raise", "init"] = "raise",
    extra: Literal["raise", "drop"] = "raise",
    steps: int | None = None,
) -> tuple[Any, Report]:
    """Fill the state_dict of an optimizer of torch.optim: the way back of `from_torch`.

    Args:
        tx: The transformation, of gradtx.
        state: Its state.
        params: The parameters, for their paths and shapes.
        state_dict: What `optimizer.state_dict()` returns, before its first step or later. Its
            groups stay as they are, and say what is needed. Or a list of such, as for `from_torch`.
        tensor: Makes a tensor of an array of NumPy: `torch.tensor`.
        names: As for `from_torch`.
        paths: As for `from_torch`.
        transpose: As for `from_torch`.
        missing: What to do about parameters of which an array that torch needs is not here: an
            error, or leave them without state, so that torch starts them at its next step.
        extra: What to do about arrays here that torch has no place for: an error, or drop them.
        steps: Number of steps that were done, if a rule does not count them, and not all counts in
            the state are alike.

    Returns:
        A dict for `optimizer.load_state_dict`, which puts the tensors into the parameters' dtype
        and device, or a list of such, and a `Report`: by gradtx's names for what was taken or has
        no place, by "parameter/key" for what torch lacks.

    Raises:
        ValueError: As for `from_torch`, and if the number of steps is needed and not known.
    """
    owner = "to_torch"
    tx = as_transformation(tx, owner)
    check_choices(owner, missing, extra)
    dicts, names = dicts_of(owner, state_dict, names)
    torchs = torch_params(owner, params, dicts, names, paths, transpose)
    tree = named(owner, tx.update.body, state)
    parts = parts_of(tx.update.body, tree)
    entries = entries_of(tree)
    if any(is_abstract(entry.value) for entry in entries):
        raise ValueError("to_torch: the state must have arrays, but is only described.")
    known = Parameters(params)
    number = _steps_here(entries, steps)
    writer = _Writer(torchs, steps, number)
    for part in parts:
        writer.write(part, known)
    filled: list[dict[Any, dict[str, Any]]] = [{} for _ in dicts]
    lacking: list[str] = []
    without: list[str] = []
    for (index, key), pieces in itertools.groupby(torchs, key=lambda param: param.key):
        made, absent, empty = writer.whole(list(pieces), known)
        lacking += absent
        without += empty
        if made:
            filled[index][key] = {name: tensor(_own(x)) for name, x in made.items()}
    groups = [group for one in dicts for group in one["param_groups"]]
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
            *differences(parts, groups, number),
            *muon_differences(parts, torchs, params, number),
        ),
    )
    check_differences(owner, report, missing, extra)
    out = [
        dict(one) | {"state": state, "param_groups": copy.deepcopy(list(one["param_groups"]))}
        for one, state in zip(dicts, filled, strict=True)
    ]
    return out[0] if isinstance(state_dict, Mapping) else out, report


class _Writer:
    """The arrays of a state by torch's parameters and keys."""

    def __init__(self, torchs: list[TorchParam], steps: int | None, number: int | None):
        self.torchs, self.steps, self.number = torchs, steps, number
        self.by_path = {param.path: param for param in torchs if param.path is not None}
        self.found: dict[str, dict[str, np.ndarray]] = {}
        self.counted: dict[str, int] = {}
        self.places: dict[str, tuple[str, str]] = {}
        self.placed: set[tuple[str, str]] = set()

    def write(self, part: Part, known: Parameters) -> None:
        """Write what the state of a rule has."""
        if part.kin is None or not part.kin.fields:
            return
        counts = [int(x.value) for x in part.entries if x.counts_steps and not x.value.ndim]
        moved = dict.fromkeys(place[0] for x in part.entries if (place := known.of(x)))
        for entry in part.entries:
            field = entry.path.split("/")[0]
            found = known.of(entry)
            if field in part.kin.constants:
                self.places[entry.name] = ("", field)  # torch has it in its groups
                self.placed.add(("", field))
            elif field not in part.kin.fields:
                continue
            elif found is None:
                for param in (self.by_path[path] for path in moved if path in self.by_path):
                    if suits(part.kin, param.group):
                        self._put(entry, param, part.kin.fields[field], np.asarray(entry.value))
            elif (param := self.by_path.get(found[0])) is not None and suits(part.kin, param.group):
                self._of_param(part, entry, param)
                if counts:
                    self.counted[param.name] = counts[0]

    def _of_param(self, part: Part, entry: Entry, param: TorchParam) -> None:
        assert part.kin is not None
        field = entry.path.split("/")[0]
        key = part.kin.fields[field]
        value = param.there(np.asarray(entry.value))
        if key == "momentum_buffer":
            value = value / momentum_scale("to_torch", part, param.group)
        if field in ("v_row", "v_col"):
            key = "row_var" if value.shape[-1] == 1 else "col_var"
        self._put(entry, param, key, value)

    def _put(self, entry: Entry, param: TorchParam, key: str, value: np.ndarray) -> None:
        self.found.setdefault(param.name, {})[key] = value
        self.places[entry.name] = (param.name, key)

    def whole(
        self, pieces: list[TorchParam], known: Parameters
    ) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
        """What torch keeps for a tensor, given the parts of it that are parameters here.

        Returns:
            The arrays by their keys, or nothing; the names of those that are lacking; the names of
            the parts that have no state here, if none has.
        """
        kept = [self.found.get(param.name, {}) for param in pieces]
        needed = [
            _needed(kind_of("to_torch", param.group)[1], found, param, known)
            for param, found in zip(pieces, kept, strict=True)
        ]
        if not any(kept):
            return {}, [], [p.name for p, keys in zip(pieces, needed, strict=True) if keys]
        absent = [
            f"{param.name}/{key}"
            for param, found, keys in zip(pieces, kept, needed, strict=True)
            for key in keys
            if key != "step" and key not in found
        ]
        if absent:
            return {}, absent, []
        self.placed |= {
            (param.name, key) for param, keys in zip(pieces, needed, strict=True) for key in keys
        }
        cuts = [param.cut for param in pieces]
        keys = [key for key in needed[0] if key != "step"]
        made = {key: joined(cuts, [found[key] for found in kept]) for key in keys}
        return made | ({"step": self._steps(pieces)} if "step" in needed[0] else {}), [], []

    def _steps(self, pieces: list[TorchParam]) -> np.ndarray:
        """The number of steps that a tensor has done."""
        counts = {p.name: self.counted.get(p.name, self.number) for p in pieces}
        if self.steps is not None:
            counts = dict.fromkeys(counts, self.steps)
        found = set(counts.values())
        if len(found) > 1:
            raise ValueError(
                f"to_torch: the parts of one tensor in torch are at different steps: {counts}. "
                "Give the number: steps=n."
            )
        return _checked_steps(found.pop())


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
