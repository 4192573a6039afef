"""The conditions of Robbins and Monro, judged from a schedule's values up to a horizon."""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..typing import Schedule

YES, NO, INCONCLUSIVE = "yes", "no", "inconclusive"

# Exponents closer than this count as equal: block sums are good to 1e-5, and offsets of the step
# (1 / (t + c) for c up to a thousandth of the last decades) shift them by less.
_TOLERANCE = 1e-3
_POINTS_PER_DECADE = 1000


@dataclasses.dataclass(frozen=True)
class RobbinsMonroReport:
    """Partial sums of a schedule, its tail exponent, and a verdict on each condition.

    Attributes:
        rows: (t, lr_t, sum of lr, sum of lr^2) at t = 10, 100, ... and at the horizon, where the
            sums run over the steps 1 to t.
        tail_exponent: p if lr_t falls like t^-p over the last decade; inf if it is 0 there.
        goes_to_zero: "yes", "no" or "inconclusive": whether lr_t -> 0.
        sum_diverges: The same for sum lr_t = inf.
        squares_converge: The same for sum lr_t^2 < inf.
    """

    rows: tuple[tuple[int, float, float, float], ...]
    tail_exponent: float
    goes_to_zero: str
    sum_diverges: str
    squares_converge: str

    def __str__(self) -> str:
        lines = [f"{'t':>8}{'lr_t':>13}{'sum lr':>13}{'sum lr^2':>13}"]
        lines += [f"{t:8.0e}{lr:13.4g}{s:13.4g}{q:13.4g}" for t, lr, s, q in self.rows]
        return "\n".join(
            [
                *lines,
                f"lr_t -> 0        {self.goes_to_zero}",
                f"sum lr = inf     {self.sum_diverges}",
                f"sum lr^2 < inf   {self.squares_converge}",
                f"tail exponent    {self.tail_exponent:.3f}",
            ]
        )


def robbins_monro_report(schedule: Schedule, horizon: int = 10**9) -> RobbinsMonroReport:
    """Judge whether a schedule meets the conditions under which stochastic approximation converges.

    They are, for t = count + 1 = 1, 2, ...:

        lr_t -> 0,   sum lr_t = inf,   and in the stronger form   sum lr_t^2 < inf

    No finite horizon proves any of them. The verdicts say what holds if lr goes on as in the last
    three decades before the horizon: they compare the largest value and the sums of one decade
    with those of the next, which for lr ~ t^-p change by the factors 10^-p, 10^(1-p) and
    10^(1-2p). Where that is still changing it is extrapolated by p + q / log(t), and the verdict
    is "inconclusive" unless both exponents, the last and the extrapolated one, give the same.

    Shapes: `schedule` is called with Python integers, or with a NumPy array of them.
    Units: those of the schedule.

    Args:
        schedule: A schedule, or any function of the step.
        horizon: The last t, at least 10^4. A schedule with a time scale needs a horizon far
            beyond it. Keep it below 2^31 for a function that calls `jax.numpy`.

    Returns:
        The report. `print` shows it as a table.

    Raises:
        ValueError: If the horizon is too small or a value of the schedule is not finite.

    Source: Robbins, Monro 1951, https://doi.org/10.1214/aoms/1177729586.
    """
    if not 10**4 <= horizon < 2**63:
        raise ValueError(
            f"robbins_monro_report: `horizon` must be in [1e4, 2^63), but is {horizon}."
        )
    t = _grid(int(horizon))
    lr = _values(schedule, t - 1)
    scale = np.max(np.abs(lr)) or 1.0  # so that squares of small rates do not vanish
    sums, squares = (_partial_sums(t, np.abs(lr / scale) ** power) for power in (1, 2))
    edges = [horizon // 10**k for k in (3, 2, 1, 0)]
    ends = np.searchsorted(t, edges)
    largest = [np.max(np.abs(lr[a : b + 1])) for a, b in itertools.pairwise(ends)]
    by_value = _exponents(largest, edges)
    by_sum = _exponents(np.diff(sums[ends]), edges, shift=1.0)
    by_square = _exponents(np.diff(squares[ends]), edges, shift=1.0)
    marks = [10**k for k in range(1, 19) if 10**k < horizon] + [int(horizon)]
    rows = [
        (int(t[i]), float(lr[i]), float(sums[i] * scale), float(squares[i] * scale**2))
        for i in np.searchsorted(t, marks)
    ]
    return RobbinsMonroReport(
        rows=tuple(rows),
        tail_exponent=by_value[0],
        goes_to_zero=_vanishes(by_value),
        sum_diverges=_diverges(by_sum),
        squares_converge=_opposite(_diverges(by_square)),
    )


def _grid(horizon: int) -> np.ndarray:
    """t = 1, 2, ..., 1000, then evenly spaced in log t, with every power of ten."""
    decades = math.log10(horizon) - 3
    spread = np.geomspace(1000, horizon, max(2, int(decades * _POINTS_PER_DECADE)))
    marks = [horizon // 10**k for k in range(5)] + [10**k for k in range(3, 19) if 10**k < horizon]
    points = np.concatenate([np.arange(1, 1001), np.rint(spread).astype(np.int64), marks])
    return np.unique(np.minimum(points.astype(np.int64), horizon))


def _values(schedule: Callable[[Any], Any], counts: np.ndarray) -> np.ndarray:
    try:
        values = np.asarray(schedule(counts), np.float64)
    except Exception:  # a function of one step: whatever it cannot do with arrays may raise
        values = np.asarray([float(schedule(int(count))) for count in counts])
    values = np.broadcast_to(values, counts.shape)
    if not np.all(np.isfinite(values)):
        first = counts[np.argmin(np.isfinite(values))]
        raise ValueError(
            f"robbins_monro_report: the schedule must be finite, but is {schedule(int(first))} at "
            f"step {first}."
        )
    return values


def _partial_sums(t: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Sum of f from 1 to each t: trapezoids with their end correction between the points."""
    steps = np.diff(t)
    blocks = steps * (f[1:] + f[:-1]) / 2 + (f[1:] - f[:-1]) / 2
    return f[0] + np.concatenate([[0.0], np.cumsum(blocks)])


def _exponents(amounts, edges: list[int], shift: float = 0.0) -> tuple[float, float]:
    """The exponent over the last decade, and its limit if it goes like p + q / log(t).

    `amounts` belong to three successive decades and change by 10^(shift - p) from each to the next.
    """
    first, second, third = (float(amount) for amount in amounts)
    if third == 0.0:
        return math.inf, math.inf
    if first == 0.0 or second == 0.0:
        return -math.inf, -math.inf
    earlier = shift - math.log10(second / first)
    last = shift - math.log10(third / second)
    log_earlier, log_last = math.log(edges[1]), math.log(edges[2])
    return last, (last * log_last - earlier * log_earlier) / (log_last - log_earlier)


def _vanishes(exponents: tuple[float, float]) -> str:
    low, high = sorted(exponents)
    return YES if low > _TOLERANCE else NO if high <= _TOLERANCE else INCONCLUSIVE


def _diverges(exponents: tuple[float, float]) -> str:
    """Whether a sum of terms t^-p diverges: it does at p = 1 and below."""
    low, high = sorted(exponents)
    return YES if high <= 1 + _TOLERANCE else NO if low > 1 + _TOLERANCE else INCONCLUSIVE


def _opposite(verdict: str) -> str:
    return {YES: NO, NO: YES}.get(verdict, verdict)
