"""Where torch's Muon moves a matrix in another way than the rules here."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._core.flow import Flow
from .._core.paths import paths_of
from .._matrix.axes import Axes
from ._names import Parameters
from ._report import some
from ._torch_params import TorchParam, shape_there
from ._torch_rules import Part


def muon_differences(
    parts: list[Part], torchs: list[TorchParam], params: Any, count: int | None
) -> Iterator[str]:
    """What of torch's Muon is not as in the rules here, as sentences.

    Args:
        parts: The rules.
        torchs: The parameters of torch.
        params: The parameters here.
        count: Number of steps that were done, None if nobody knows it.
    """
    matrices = [param for param in torchs if param.path and "ns_coefficients" in param.group]
    ours = [part for part in parts if part.body.name == "scale_by_muon"]
    if not matrices:
        return
    yield from _owners(ours, torchs, params)
    for part in ours:
        yield from _iteration(part, matrices)
        yield from _start(part, count)
    if ours:
        yield from _division(ours, matrices, params)
        yield from _factors(parts, matrices, params)


def _owners(ours: list[Part], torchs: list[TorchParam], params: Any) -> Iterator[str]:
    """What is moved by Muon on one side only."""
    found, known = set(), Parameters(params)
    for entry in (entry for part in ours for entry in part.entries):
        found |= {place[0] for place in [known.of(entry)] if place is not None}
    theirs = {p.path: "ns_coefficients" in p.group for p in torchs if p.path is not None}
    if only := [path for path, muon in theirs.items() if muon and path not in found]:
        yield f"torch's Muon moves {', '.join(some(only))}, here scale_by_muon does not."
    if only := [path for path, muon in theirs.items() if not muon and path in found]:
        yield (
            f"scale_by_muon moves {', '.join(some(only))}, torch's Muon does not: leave them out "
            "by None in their place of the dimension numbers, or by groups."
        )


def _iteration(part: Part, matrices: list[TorchParam]) -> Iterator[str]:
    static, groups = part.body.static, {id(p.group): p.group for p in matrices}.values()
    table = np.asarray(part.body.start["ns_coeffs"])
    for group in groups:
        theirs = np.asarray(group["ns_coefficients"], float)
        if table.shape != (3,) or not np.allclose(table, theirs):
            yield f"scale_by_muon's ns_coeffs are {table.tolist()}, in torch {theirs.tolist()}."
        if static["steps"] != group["ns_steps"]:
            yield f"scale_by_muon's ns_steps is {static['steps']}, in torch {group['ns_steps']}."
    if static["preconditioning"] != "frobenius":
        yield f"scale_by_muon has preconditioning={static['preconditioning']!r}, torch has not."


def _start(part: Part, count: int | None) -> Iterator[str]:
    beta = part.number("beta", count)
    if count is None or beta is None or not part.body.static["nesterov"]:
        return
    t = count + 1
    weight = (1 - beta ** (t + 1)) / (1 - beta**t) if beta else 1.0
    if weight > 1 + 1e-6:
        yield (
            "scale_by_muon corrects its mean for the start, torch's Muon does not: in the next "
            f"step the newest gradient has {weight:.6g} times the weight that it has in torch."
        )


def _division(ours: list[Part], matrices: list[TorchParam], params: Any) -> Iterator[str]:
    """What is one matrix there and several here."""
    several = {param.cut.name for param in matrices if param.cut is not None}
    told = [_axes_of(part, params) for part in ours]
    for param in matrices:
        found = [axes_of[param.path or ""] for axes_of in told]
        if any(axes is not None and axes.of(len(param.shape))[0] for axes in found):
            several.add(param.name)
    if several:
        yield (
            f"torch's Muon moves {', '.join(some(sorted(several)))} as one matrix each, here they "
            "are several: the momentum is the same, the steps are not."
        )


def _factors(parts: list[Part], matrices: list[TorchParam], params: Any) -> Iterator[str]:
    shaping = [part for part in parts if part.body.name == "scale_by_shape"]
    told = [(part, _axes_of(part, params)) for part in shaping]
    for param in matrices:
        if param.cut is not None:
            continue
        known = [_factor(part, axes[param.path or ""], param) for part, axes in told] or [1.0]
        there = shape_there(param.shape, param.axes)
        theirs = _factor_there(param.group.get("adjust_lr_fn"), there)
        if not any(x is None or math.isclose(x, theirs, rel_tol=1e-6) for x in known):
            yield (
                f"{param.path}: the factor for its shape is {known[0]:.4g}, in torch, where it is "
                f"{there}, {theirs:.4g}. Are rows and columns as torch has them? Say by "
                "`transpose` what is transposed, or which axes are which by the dimension numbers."
            )
            return  # the others for the same reason


def _factor_there(kind: str | None, shape: tuple[int, ...]) -> float:
    rows, columns = shape[0], shape[-1]
    if kind == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / columns)) if kind in (None, "original") else 1.0


def _factor(part: Part, axes: Axes | None, param: TorchParam) -> float | None:
    if axes is None:
        return 1.0
    rows, columns = axes.sides(param.shape)
    if not part.body.static["consistent"]:
        return math.sqrt(max(1.0, columns / max(rows, 1)))
    size = part.number("consistent_rms", None)
    return None if size is None else size * math.sqrt(max(rows, columns))


def _axes_of(part: Part, params: Any) -> dict[str, Axes | None]:
    """Which axes are rows and columns of each parameter, None for what is no matrix."""
    flow = Flow("from_torch", params, None, {})
    return dict(zip(paths_of(params), part.body.told(flow), strict=True))
