"""States of torch.optim taken over, without torch: its state_dicts are dicts."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from .._core.transformation import as_transformation
from ._carry import check_choices, settled
from ._names import Entry
from ._report import Report
from ._start import Fresh
from ._torch_numbers import differences
from ._torch_params import Paths, TorchParam, Transpose, arrays_of, torch_params, unused
from ._torch_rules import Part, kind_of, momentum_scale, parts_of


def from_torch(
    tx: Any,
    params: Any,
    state_dict: Mapping[str, Any],
    *,
    names: Sequence[Any] | None = None,
    paths: Paths | None = None,
    transpose: Transpose | None = None,
    missing: Literal["raise", "init"] = "raise",
    extra: Literal["raise", "drop"] = "raise",
    counts: Literal["start", "saved"] | int = "saved",
) -> tuple[Any, Report]:
    """Make a state of the one that an optimizer of torch.optim has.

    It is that of SGD with momentum, Adam, AdamW, AMSGrad, NAdam, RAdam, Adamax, Adagrad, Adadelta,
    RMSprop, Rprop or Adafactor, and goes to the rules that have the same: adamw, or a chain with
    clipping, guards and groups around it. Every array of a parameter gets the axes that the
    parameter has here. Moments of bfloat16 become float32. Computed are:

    - Momentum: what torch has, divided by 1 - dampening, times the constants that stand before the
      momentum here, as the learning rate does in `rmsprop`.
    - Rprop's last update, step_size sign(prev).
    - All counts of steps, of torch's `step`.

    Args:
        tx: The transformation, of gradtx.
        params: The parameters as they are now, with torch's values.
        state_dict: What `optimizer.state_dict()` returned; tensors or arrays of NumPy.
        names: Names of torch's parameters in the order in which the optimizer got them, such as
            `model.named_parameters()`. None if they are in the dict, as when the optimizer was
            given names.
        paths: {torch's name: path here}, None for a parameter that is not here, or a function name
            -> path. A name that is not in the dict, or None, gets "/" for every ".".
        transpose: Pattern (see `gradtx.matching`) of the paths here of matrices that are transposed
            in torch, as the weights of its linear layers are; or {pattern: axes}, for each axis
            here that of torch: (2, 3, 1, 0) for a kernel of a convolution.
        missing: What to do about arrays that torch has not, as of parameters that had no gradient:
            an error, or start them as `tx.init` does.
        extra: What to do about arrays of torch that have no place: an error, or drop them.
        counts: Number of steps that were done, for optimizers that do not count (SGD), or whose
            parameters are at different steps; "saved" for what torch says.

    Returns:
        The state, and a `Report`: `renamed` says where each array came from, and `hints` where the
        groups of torch have other numbers than the rules here.

    Raises:
        ValueError: If names, shapes or states do not fit and no argument says what to do, or the
            optimizer's state means something that no rule here has (ASGD, LBFGS, Muon).
        TypeError: If `state_dict` is none.
    """
    owner = "from_torch"
    tx = as_transformation(tx, owner)
    check_choices(owner, missing, extra)
    torchs = torch_params(owner, params, state_dict, names, paths, transpose)
    for group in state_dict["param_groups"]:
        kind_of(owner, group)
    there = {param.name: arrays_of(state_dict, param) for param in torchs}
    steps = _steps_there(torchs, there, counts)
    fresh = Fresh(owner, tx, params)
    parts = parts_of(tx.update.body, fresh.tree)
    reader = _Reader(fresh, torchs, there)
    for part in parts:
        reader.read(part, steps)
    hints = list(differences(parts, list(state_dict["param_groups"]), steps))
    left_out = [param.name for param in torchs if param.path is None and there[param.name]]
    if left_out:
        hints.append(f"Left out as `paths` says: {', '.join(left_out)}.")
    choices = (missing, extra, counts if steps is None else steps)
    dropped = unused(torchs, there, reader.used)
    return settled(fresh, reader.values, dropped, choices, hints, reader.sources)


def _steps_there(torchs: list[TorchParam], there: dict[str, dict], counts: Any) -> int | None:
    """How many steps were done, None if nobody knows."""
    if not isinstance(counts, str):
        return counts
    known = {p.name: int(there[p.name]["step"]) for p in torchs if "step" in there[p.name]}
    if counts == "start" or not known:
        return None
    if len(set(known.values())) > 1:
        low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        raise ValueError(
            f"from_torch: parameters are at different steps, {low} at {known[low]} and {high} at "
            f"{known[high]}, and here one count is that of all. Give it: counts={known[high]}."
        )
    return next(iter(known.values()))


class _Reader:
    """The arrays of torch by gradtx's names."""

    def __init__(self, fresh: Fresh, torchs: list[TorchParam], there: dict[str, dict]):
        self.fresh, self.there = fresh, there
        self.by_path = {param.path: param for param in torchs if param.path is not None}
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.used: set[tuple[str, str]] = set()

    def read(self, part: Part, steps: int | None) -> None:
        """Read what the state of a rule has."""
        if part.kin is None or not part.kin.fields:
            return
        for entry in part.entries:
            if entry.counts_steps:
                if steps is not None:
                    self.values[entry.name] = np.asarray(steps, np.int32)
                    self.sources[entry.name] = "step"
                continue
            field = entry.path.split("/")[0]
            key = part.kin.fields.get(field)
            if key is None:
                continue
            found = self.fresh.parameters.of(entry)
            if found is None:
                self._shared(entry, key)
            elif (param := self.by_path.get(found[0])) is not None:
                self._of_param(part, entry, field, param)

    def _shared(self, entry: Entry, key: str) -> None:
        """A number that torch has for each parameter, and gradtx for all."""
        found = {n: float(x[key]) for n, x in self.there.items() if key in x}
        if not found:
            return
        low, high = min(found.values()), max(found.values())
        if not np.isclose(low, high, rtol=1e-5, atol=0):
            raise ValueError(f"from_torch: {key} differs between parameters: {low} to {high}.")
        first = next(iter(found))
        self.values[entry.name] = self.there[first][key]
        self.sources[entry.name] = f"{first}/{key}"
        self.used |= {(name, key) for name in found}

    def _of_param(self, part: Part, entry: Entry, field: str, param: TorchParam) -> None:
        kept = self.there[param.name]
        key = _key(part, field, entry, {k: param.here(x) for k, x in kept.items()})
        if key not in kept:
            return
        value = param.here(kept[key])
        if key == "momentum_buffer":
            value = value * momentum_scale("from_torch", part, param.group)
        elif key == "prev":
            value = np.sign(value) * param.here(kept["step_size"])
        self.values[entry.name] = value
        self.sources[entry.name] = f"{param.name}/{key}"
        self.used.add((param.name, key))


def _key(part: Part, field: str, entry: Entry, kept: dict[str, np.ndarray]) -> str:
    """The key that torch has for a field: of rows and columns the one of the same shape."""
    assert part.kin is not None
    if field in ("v_row", "v_col"):
        for key in ("row_var", "col_var"):
            if key in kept and kept[key].shape == tuple(entry.value.shape):
                return key
    return part.kin.fields[field]
