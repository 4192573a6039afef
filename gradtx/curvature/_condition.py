"""The condition number, or why there is none."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from ._lanczos import Lanczos
from ._operator import Operator, check_operator
from ._search import Found, Progress, Search, check_search

POSITIVE, NEGATIVE = "positive definite", "negative definite"
INDEFINITE, SINGULAR, INCONCLUSIVE = "indefinite", "singular", "inconclusive"


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
    key: jax.Array | None = None,
    progress: Callable[[Progress], Any] | None = None,
) -> ConditionNumber:
    """The largest eigenvalue over the smallest, if the operator is definite.

        kappa = lambda_max / lambda_min       for lambda_min > 0
        kappa = lambda_min / lambda_max       for lambda_max < 0

    An indefinite or singular operator has none: where curvature is negative or absent, the number
    says nothing about how fast an optimizer converges. Damp it, `operator.damped(mu)`, to have
    the number of A + mu I. The verdicts, with theta the estimates and e their error bounds:

        indefinite         a theta lies beyond the zero band on either side: A has values of both
                           signs, since no theta is outside its spectrum
        singular           |theta_min| + e or |theta_max| + e is in the zero band
        ... definite       both theta - e are beyond the band on one side, and kappa's relative
                           error e_max / |theta_max| + e_min / |theta_min| is within `tolerance`
        inconclusive       otherwise: the products did not suffice

    Small eigenvalues converge slowly where many lie close together, as in most networks: expect
    "inconclusive" there, with a lower bound for kappa, or damp.

    Shapes: as for `eigenvalues`.
    Units: kappa has none.

    Args:
        operator: What to judge, with its damping.
        tolerance: Relative accuracy of kappa, in (0, 1).
        zero_tolerance: Which magnitudes count as zero, relative to the largest, in (0, 1); None for
            10 eps of the coarsest dtype of the params. The rounding of the products counts as zero
            in any case.
        basis: See `eigenvalues`.
        max_products: See `eigenvalues`.
        key: Key for the starting vector; None for a fixed one.
        progress: Called with a `Progress` as the estimates improve.

    Returns:
        Number and verdict. `print` shows both with what they rest on.

    Raises:
        TypeError: If no operator is given.
        ValueError: If a number is out of its range, or the operator is not symmetric.
        FloatingPointError: If a product is not finite.

    Source: Golub, Van Loan 2013, Matrix Computations, 4th ed., sections 2.6.2 and 10.1.
    """
    owner = "condition_number"
    check_operator(owner, operator)
    if zero_tolerance is None:
        zero_tolerance = min(10.0 * operator.eps, 0.1)
    for name, given in (("tolerance", tolerance), ("zero_tolerance", zero_tolerance)):
        if not 0.0 < given < 1.0:
            raise ValueError(f"{owner}: `{name}` must be in (0, 1), but is {given}.")
    limits = check_search(owner, operator, 2, basis, max_products)

    def judged(found: Found, lanczos: Lanczos) -> tuple[str, tuple]:
        zero = max(zero_tolerance * lanczos.scale, lanczos.rounding)
        ends = (
            (float(found.values[0]), float(found.bounds[0] + lanczos.rounding)),
            (float(found.values[-1]), float(found.bounds[-1] + lanczos.rounding)),
        )
        return _verdict(*ends, zero, tolerance), (*ends, zero)

    def settled(found: Found, lanczos: Lanczos) -> tuple[bool, float]:
        verdict, ((high, _), (low, _), zero) = judged(found, lanczos)
        if verdict == INDEFINITE:  # certain by now, but its numbers are shown, too
            goal = max(tolerance * lanczos.scale, zero)
            return bool(max(found.bounds) <= goal), goal
        goal = max(0.5 * tolerance * min(abs(high), abs(low)), zero)
        return verdict != INCONCLUSIVE, goal

    search = Search(
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
    verdict, ((high, high_error), (low, low_error), zero) = judged(found, search.lanczos)
    value = error = None
    if verdict in (POSITIVE, NEGATIVE):
        value = high / low if verdict == POSITIVE else low / high
        error = value * (high_error / abs(high) + low_error / abs(low))
    far, near = max(abs(high), abs(low)), min(abs(high), abs(low))
    return ConditionNumber(
        verdict=verdict,
        value=value,
        error=error,
        at_least=far / max(near, zero) if verdict == INCONCLUSIVE else None,
        largest=high,
        smallest=low,
        largest_error=high_error,
        smallest_error=low_error,
        zero=zero,
        damping=float(operator.damping),
        products=search.lanczos.products,
    )


def _verdict(
    largest: tuple[float, float], smallest: tuple[float, float], zero: float, tolerance: float
) -> str:
    (high, high_error), (low, low_error) = largest, smallest
    if low < -zero and high > zero:
        return INDEFINITE
    # Twice, since the rounding of the products is in the errors and in the zero band.
    if abs(low) + low_error <= 2.0 * zero or abs(high) + high_error <= 2.0 * zero:
        return SINGULAR
    beyond = low - low_error > zero or high + high_error < -zero
    if beyond and high_error / abs(high) + low_error / abs(low) <= tolerance:
        return POSITIVE if low > 0.0 else NEGATIVE
    return INCONCLUSIVE
