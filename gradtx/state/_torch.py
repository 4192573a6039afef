"""States of torch.optim taken over, without torch: its state_dicts are dicts."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .._core.transformation import as_transformation
from ._carry import check_choices, settled
from ._names import Entry
from ._report import Report
from ._start import Fresh
from ._torch_muon import muon_differences
from ._torch_numbers import differences
from ._torch_params import (
    Paths,
    StateDicts,
    TorchParam,
    Transpose,
    arrays_of,
    dicts_of,
    order_hints,
    torch_params,
    unused,
)
from ._torch_rules import Part, kind_of, momentum_scale, parts_of, suits
from ._torch_steps import Steps


def from_torch(
    tx: Any,
    params: Any,
    state_dict: StateDicts,
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
    RMSprop, Rprop, Adafactor or Muon, and goes to the rules that have the same: adamw, or a chain
    with clipping, guards and groups around it. Every array of a parameter gets the axes that the
    parameter has here. Moments of bfloat16 become float32. Computed are:

    - Momentum: what torch has, divided by 1 - dampening, times the constants that stand before the
      momentum here, as the learning rate does in `rmsprop`.
    - Rprop's last update, step_size sign(prev).
    - All counts of steps, of torch's `step`: in each rule of the parameters that it moves.

    torch's Muon computes in bfloat16, and does not correct its mean for the start, as
    `scale_by_muon` does: after n steps the two differ by a share of beta^n.

    Args:
        tx: The transformation, of gradtx.
        params: The parameters as they are now, with torch's values.
        state_dict: What `optimizer.state_dict()` returned; tensors or arrays of NumPy. Or a list of
            such, of optimizers that share the parameters, such as Muon for matrices and AdamW for
            the rest.
        names: Names of torch's parameters in the order in which the optimizer got them, group by
            group: those of `model.named_parameters()` if it got these; with several optimizers a
            list for each. None if they are in the dict, as when the optimizer was given names.
        paths: {torch's name: path here}, None for a parameter that is not here, a `Split` for one
            that is several here; or a function name -> path. A name that is not in the dict, or
            None, gets "/" for every ".".
        transpose: Pattern (see `gradtx.matching`) of the paths here of matrices that are transposed
            in torch, as the weights of its linear layers are; or {pattern: axes}, for each axis
            here that of torch: (2, 3, 1, 0) for a kernel of a convolution. Neighbours that are one
            axis in torch have the same number: (1, 0, 0) for [inputs, heads, features of a head].
        missing: What to do about arrays that torch has not, as of parameters that had no gradient:
            an error, or start them as `tx.init` does.
        extra: What to do about arrays of torch that have no place: an error, or drop them.
        counts: Number of steps that were done, for optimizers that do not count (SGD, Muon), or
            whose parameters are at different steps; "saved" for what torch says.

    Returns:
        The state, and a `Report`: `renamed` says where each array came from, and `hints` where the
        groups of torch have other numbers than the rules here.

    Raises:
        ValueError: If names, shapes or states do not fit and no argument says what to do, or the
            optimizer's state means something that no rule here has (ASGD, LBFGS), or a rule has
            one count for parameters that are at different steps.
        TypeError: If `state_dict` is none.
    """
    owner = "from_torch"
    tx = as_transformation(tx, owner)
    check_choices(owner, missing, extra)
    dicts, names = dicts_of(owner, state_dict, names)
    groups = [group for one in dicts for group in one["param_groups"]]
    for group in groups:
        kind_of(owner, group)
    torchs = torch_params(owner, params, dicts, names, paths, transpose)
    there = {param.name: arrays_of(dicts, param) for param in torchs}
    fresh = Fresh(owner, tx, params)
    parts = parts_of(tx.update.body, fresh.tree)
    steps = Steps(owner, there, counts)
    reader = _Reader(fresh, torchs, there, steps)
    for part in parts:
        reader.read(part)
    hints = [
        *differences(parts, groups, steps.most),
        *muon_differences(parts, torchs, params, steps.most),
    ]
    if names is not None:
        hints += order_hints(torchs)
    left_out = [param.name for param in torchs if param.path is None and there[param.name]]
    if left_out:
        hints.append(f"Left out as `paths` says: {', '.join(left_out)}.")
    dropped = unused(torchs, there, reader.used)
    choices = (missing, extra, steps.of_others)
    return settled(fresh, reader.values, dropped, choices, hints, reader.sources)


class _Reader:
    """The arrays of torch by gradtx's names."""

    def __init__(
        self, fresh: Fresh, torchs: list[TorchParam], there: dict[str, dict], steps: Steps
    ):
        self.fresh, self.there, self.steps = fresh, there, steps
        self.by_path = {param.path: param for param in torchs if param.path is not None}
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.used: set[tuple[str, str]] = set()

    def read(self, part: Part) -> None:
        """Read what the state of a rule has."""
        if part.kin is None or not part.kin.fields:
            return
        places = map(self.fresh.parameters.of, part.entries)
        moved = (self.by_path.get(path) for path, _ in filter(None, places))
        names = list(dict.fromkeys(param.name for param in moved if param is not None))
        for entry in part.entries:
            field = entry.path.split("/")[0]
            found = self.fresh.parameters.of(entry)
            if entry.counts_steps:
                self._count(entry, names)
            elif field in part.kin.constants:
                self.values[entry.name] = np.asarray(part.body.start[field], entry.value.dtype)
            elif field not in part.kin.fields:
                continue
            elif found is None:
                self._shared(entry, part.kin.fields[field], names)
            elif (param := self.by_path.get(found[0])) is not None and suits(part.kin, param.group):
                self._of_param(part, entry, field, param)

    def _count(self, entry: Entry, names: list[str]) -> None:
        number = self.steps.of_rule(entry.node, names)
        if number is not None:
            self.values[entry.name] = np.asarray(number, np.int32)
            self.sources[entry.name] = "step"

    def _shared(self, entry: Entry, key: str, names: list[str]) -> None:
        """A number that torch has for each parameter, and gradtx for all of a rule."""
        found = {n: float(self.there[n][key]) for n in names if key in self.there[n]}
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
