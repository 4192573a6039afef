"""The condition number, or why there is none."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from ._lanczos import Lanczos
from ._operator import Operator, check_outside_jit
from ._search import Found, Progress, Search, check_search

POSITIVE, NEGATIVE = "positive definite", "negative definite"
INDEFINITE, SINGULAR, INCONCLUSIVE = "indefinite", "singular", "inconclusive"
_CONVERGED = 0.1


@dataclasses.dataclass(frozen=True)
class ConditionNumber:
    """A condition number with its verdict, and what both rest on.

    Attributes:
        verdict: "positive definite", "negative definite", "indefinite", "singular" or
            "inconclusive".
        value: The condition number; None unless the verdict is one of the first two.
        error: How far the value may be off, from the errors of the two eigenvalues; None like it.
        at_least: What the condition number cannot be below, should the operator be definite after
            all; None unless the verdict is "inconclusive".
        largest: The largest eigenvalue.
        smallest: The smallest eigenvalue.
        largest_error: How far it may be off.
        smallest_error: How far it may be off.
        zero: What counts as zero: magnitudes up to this one.
        damping: What was added to the diagonal.
        products: Number of products with the operator.
        limited: Whether what is left of the errors is the rounding or asymmetry of the products, so
            that more of them would not have helped.
    """

    verdict: str
    value: float | None
    error: float | None
    at_least: float | None
    largest: float
    smallest: float
    largest_error: float
    smallest_error: float
    zero: float
    damping: float
    products: int
    limited: bool = False

    def __str__(self) -> str:
        number = "none" if self.value is None else f"{self.value:.6g} +- {self.error:.1g}"
        if self.verdict == INCONCLUSIVE:
            number = f"none; at least {self.at_least:.3g} if definite"
        lines = [
            f"condition number   {number}",
            f"verdict            {self.verdict}",
            f"largest            {self.largest:.6g} +- {self.largest_error:.1g}",
            f"smallest           {self.smallest:.6g} +- {self.smallest_error:.1g}",
            f"counts as zero     up to {self.zero:.1g}",
            f"products           {self.products}",
        ]
        if self.limited:
            lines.append("errors limited by the rounding or asymmetry of the products")
        if self.damping:
            lines.insert(2, f"damping            {self.damping:g}, included")
        return "\n".join(lines)


def condition_number(
    operator: Operator,
    *,
    tolerance: float = 1e-2,
    zero_tolerance: float | None = None,
    basis: int | None = None,
    max_products: int | None = None,
    key: jax.Array | int | None = None,
    progress: Callable[[Progress], Any] | None = None,
) -> ConditionNumber:
    """The largest eigenvalue over the smallest, if the operator is definite.

        kappa = lambda_max / lambda_min       for lambda_min > 0
        kappa = lambda_min / lambda_max       for lambda_max < 0

    An indefinite or singular operator has none: where curvature is negative or absent, the number
    says nothing about how fast an optimizer converges. Damp it, `operator.damped(mu)`, to have
    the number of A + mu I. The verdicts, with theta the estimates, b their residual bounds, and
    errors e = b + the rounding of the products, which is part of the zero band, too:

        indefinite         a theta lies beyond the zero band on either side: A has values of both
                           signs, since no theta is outside its spectrum
        singular           |theta_min| + b or |theta_max| + b is in the zero band
        ... definite       both theta are beyond the band on one side by more than e, and the
                           nearer one has b <= |theta| / 10: after a few products it may be in the
                           midst of the spectrum
        inconclusive       otherwise: the products did not suffice, in number or in accuracy

    For a definite one [kappa - error, kappa + error] holds the quotients of all values within e
    of the two theta. Products are taken until that is within `tolerance` of kappa, or b is below
    the rounding, so that more of them cannot help.

    Small eigenvalues converge slowly where many lie close together, as in most networks: expect
    "inconclusive" there, with a lower bound for kappa, or damp.

    Shapes: as for `eigenvalues`.
    Units: kappa has none.

    Args:
        operator: What to judge, with its damping.
        tolerance: Relative accuracy of kappa that is aimed at, in (0, 1).
        zero_tolerance: Which magnitudes count as zero, relative to the largest, in (0, 1); None for
            10 eps of the coarsest dtype of the params. The rounding of the products counts as zero
            in any case.
        basis: See `eigenvalues`.
        max_products: See `eigenvalues`.
        key: Key for the starting vector, or an integer; None for a fixed one.
        progress: Called with a `Progress` as the estimates improve.

    Returns:
        Number and verdict. `print` shows both with what they rest on.

    Raises:
        TypeError: If no operator is given, or it is called while JAX is tracing.
        ValueError: If a number is out of its range, or the operator is not symmetric.
        FloatingPointError: If a product is not finite.

    Source: Golub, Van Loan 2013, Matrix Computations, 4th ed., sections 2.6.2 and 10.1.
    """
    owner = "condition_number"
    check_outside_jit(owner, operator)
    if zero_tolerance is None:
        zero_tolerance = min(10.0 * operator.eps, 0.1)
    for name, given in (("tolerance", tolerance), ("zero_tolerance", zero_tolerance)):
        if not 0.0 < given < 1.0:
            raise ValueError(f"{owner}: `{name}` must be in (0, 1), but is {given}.")
    limits = check_search(owner, operator, 2, basis, max_products)

    def judged(found: Found, lanczos: Lanczos) -> tuple[str, _End, _End, float]:
        zero = max(zero_tolerance * lanczos.scale, lanczos.rounding)
        high = _End(float(found.values[0]), float(found.bounds[0]), lanczos.rounding)
        low = _End(float(found.values[-1]), float(found.bounds[-1]), lanczos.rounding)
        return _verdict(high, low, zero), high, low, zero

    def settled(found: Found, lanczos: Lanczos) -> tuple[bool, float]:
        verdict, high, low, zero = judged(found, lanczos)
        if verdict == INDEFINITE:  # certain by now, but its numbers are shown, too
            goal = max(tolerance * lanczos.scale, zero)
            return bool(max(found.bounds) <= goal), goal
        goal = max(0.5 * tolerance * min(abs(high.value), abs(low.value)), lanczos.rounding)
        if verdict in (POSITIVE, NEGATIVE):
            value, error = _quotient(high, low)
            if error <= tolerance * value:
                return True, goal
        return verdict == SINGULAR or _limited(high, low), goal

    search = Search(
        owner,
        operator,
        1,
        1,
        basis=limits[0],
        max_products=limits[1],
        key=key,
        settled=settled,
        multiple=False,
        progress=progress,
    )
    found = search.run()
    verdict, high, low, zero = judged(found, search.lanczos)
    value, error, certain = None, None, verdict in (SINGULAR, INDEFINITE)
    if verdict in (POSITIVE, NEGATIVE):
        value, error = _quotient(high, low)
        certain = error <= tolerance * value
    return ConditionNumber(
        verdict=verdict,
        value=value,
        error=error,
        at_least=_at_least(high, low) if verdict == INCONCLUSIVE else None,
        largest=high.value,
        smallest=low.value,
        largest_error=high.error,
        smallest_error=low.error,
        zero=zero,
        damping=float(operator.damping),
        products=search.lanczos.products,
        limited=not certain and _limited(high, low),
    )


class _End(NamedTuple):
    """An end of the spectrum."""

    value: float
    bound: float
    rounding: float

    @property
    def error(self) -> float:
        return self.bound + self.rounding


def _verdict(high: _End, low: _End, zero: float) -> str:
    if low.value < -zero and high.value > zero:
        return INDEFINITE
    if any(abs(end.value) + end.bound <= zero for end in (high, low)):
        return SINGULAR
    near = min(high, low, key=lambda end: abs(end.value))
    if abs(near.value) - near.error <= zero or near.bound > _CONVERGED * abs(near.value):
        return INCONCLUSIVE
    return POSITIVE if low.value > 0.0 else NEGATIVE


def _quotient(high: _End, low: _End) -> tuple[float, float]:
    """The condition number of a definite operator, and how far it may be off."""
    near, far = sorted((high, low), key=lambda end: abs(end.value))
    value = abs(far.value) / abs(near.value)
    return value, (abs(far.value) + far.error) / (abs(near.value) - near.error) - value


def _at_least(high: _End, low: _End) -> float:
    near, far = sorted((high, low), key=lambda end: abs(end.value))
    return max((abs(far.value) - far.error) / (abs(near.value) + near.error), 1.0)


def _limited(high: _End, low: _End) -> bool:
    """Whether the rounding of the products is what is left of the errors."""
    return max(high.bound, low.bound) <= high.rounding
