"""Tests of gradtx/curvature/_condition.py."""

import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.curvature import condition_number, hessian, linear_operator
from gradtx.testing import problems
from tests.curvature.cases import SIZE, matrix, operator

# name -> eigenvalues, verdict, condition number
KNOWN = {
    "positive": (np.geomspace(1.0, 50.0, SIZE), "positive definite", 50.0),
    "negative": (-np.geomspace(1.0, 50.0, SIZE), "negative definite", 50.0),
    "identity": (np.ones(SIZE), "positive definite", 1.0),
    "bad": (np.geomspace(1e-8, 1.0, SIZE), "positive definite", 1e8),
    "indefinite": (np.linspace(-0.1, 3.0, SIZE), "indefinite", None),
    "hardly indefinite": (np.r_[-1e-9, np.linspace(0.5, 3.0, SIZE - 1)], "indefinite", None),
    "singular": (np.r_[0.0, np.linspace(0.5, 3.0, SIZE - 1)], "singular", None),
    "zero": (np.zeros(SIZE), "singular", None),
    "one": ([3.0], "positive definite", 1.0),
}


@pytest.mark.parametrize("name", KNOWN)
def test_verdicts(name, x64):
    eigenvalues, verdict, number = KNOWN[name]
    found = condition_number(operator(eigenvalues))
    assert found.verdict == verdict and found.at_least is None
    assert abs(found.largest - max(eigenvalues)) <= found.largest_error
    assert abs(found.smallest - min(eigenvalues)) <= found.smallest_error
    if number is None:
        assert found.value is None and found.error is None
    else:
        assert found.value == pytest.approx(number, rel=1e-2)
        assert abs(found.value - number) <= found.error + 1e-14 * number


def test_damping_counts(x64):
    found = condition_number(operator(np.linspace(-1.0, 3.0, SIZE)).damped(1.5))
    assert found.value == pytest.approx(4.5 / 0.5, rel=1e-2) and found.damping == 1.5
    assert "damping            1.5, included" in str(found)


def test_float32_does_not_tell_small_from_zero():
    """1e-8 of the largest is lost in the rounding of the products."""
    found = condition_number(operator(np.r_[1e-8, np.linspace(0.5, 1.0, SIZE - 1)]))
    assert found.verdict == "singular" and 1e-7 < found.zero < 1e-4


def test_inconclusive_with_too_few_products(x64):
    found = condition_number(operator(np.geomspace(1e-3, 1.0, SIZE)), max_products=8)
    assert found.verdict == "inconclusive" and found.value is None and found.products == 8
    assert found.at_least is not None and 1.0 < found.at_least < 1e3
    assert f"none; at least {found.at_least:.3g} if definite" in str(found)


def test_tolerance(x64):
    A = operator(np.geomspace(1.0, 50.0, SIZE))
    rough, fine = condition_number(A, tolerance=0.1), condition_number(A, tolerance=1e-6)
    assert rough.products < fine.products
    assert (fine.error or 1.0) < 1e-4 < (rough.error or 0.0)


def test_zero_tolerance():
    """What counts as zero can be said: a curvature of 1 % of the largest, here."""
    found = condition_number(operator(np.linspace(0.01, 3.0, SIZE)), zero_tolerance=0.01)
    assert found.verdict == "singular" and found.zero == pytest.approx(0.03, rel=1e-2)


def test_text(x64):
    toy = problems.toy()
    found = condition_number(hessian(toy.function, jnp.asarray(toy.start)))
    lines = str(found).splitlines()
    assert lines[0].startswith("condition number   20 +- ")
    assert lines[1] == "verdict            positive definite"
    assert lines[-1] == "products           2"


def test_at_a_saddle_and_in_a_ravine(x64):
    def verdict(problem):
        return condition_number(hessian(problem.function, jnp.asarray(problem.start)))

    assert verdict(problems.saddle()).verdict == "indefinite"
    assert verdict(problems.ravine(30.0)).value == pytest.approx(30.0, rel=1e-2)


def test_gradient_descent_converges_at_the_rate_of_the_number(x64):
    """(kappa - 1) / (kappa + 1) a step at the rate 2 / (largest + smallest)."""
    spectrum = np.geomspace(1.0, 20.0, SIZE)
    found = condition_number(operator(spectrum), tolerance=1e-6)
    assert found.value is not None
    A, w, distances = matrix(spectrum), np.ones(SIZE), []
    for _ in range(300):
        w = w - 2.0 / (found.largest + found.smallest) * (A @ w)
        distances.append(np.linalg.norm(w))
    rate = (found.value - 1.0) / (found.value + 1.0)
    assert distances[-1] / distances[-2] == pytest.approx(rate, rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tolerance": 1.0}, r"`tolerance` must be in \(0, 1\), but is 1.0"),
        ({"zero_tolerance": 0.0}, r"`zero_tolerance` must be in \(0, 1\), but is 0.0"),
        ({"max_products": 0}, "condition_number: `max_products` must be at least 2"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        condition_number(operator(np.ones(SIZE)), **arguments)


def test_no_operator():
    with pytest.raises(TypeError, match="Wrap a function v -> A v in linear_operator"):
        condition_number(lambda v: v)
    assert condition_number(linear_operator(lambda v: v, jnp.ones(SIZE))).value == pytest.approx(
        1.0
    )


def diagonal(entries):
    entries = jnp.asarray(entries, jnp.float32)
    return hessian(lambda x, d: 0.5 * jnp.sum(d * x**2), jnp.zeros(len(entries)), entries)


def test_float32_gives_a_number_for_what_is_plainly_definite():
    """1e-4 is known to 2 % only, whatever `tolerance` is: all three products are taken."""
    for damping, number in ((0.0, 1e4), (1e-3, 1.001 / 1.1e-3)):
        found = condition_number(diagonal([1e-4, 0.5, 1.0]).damped(damping), tolerance=1e-6)
        assert found.verdict == "positive definite" and found.products == 3 and found.limited
        assert found.value is not None and found.error is not None
        assert abs(found.value - number) <= found.error <= 0.03 * found.value
    assert str(found).endswith("errors limited by the rounding or asymmetry of the products")
    damped = condition_number(operator(np.linspace(-1.0, 3.0, SIZE)).damped(1.001))
    assert damped.verdict == "positive definite"
    assert damped.value is not None and damped.error is not None
    assert abs(damped.value - 4001.0) <= damped.error


def test_few_products_claim_nothing():
    """After two, the smallest Ritz value is in the midst of the spectrum."""
    A = operator(np.r_[-1e-3, np.linspace(0.3, 1.0, SIZE - 1)])
    found = condition_number(A, max_products=2)
    assert found.verdict == "inconclusive" and not found.limited
    assert condition_number(A).verdict == "indefinite"


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_squares_of_small_and_large_curvatures_do_not_vanish(scale):
    found = condition_number(diagonal(scale * np.linspace(1.0, 10.0, 8)))
    assert found.value == pytest.approx(10.0, rel=1e-3)
    assert found.smallest == pytest.approx(scale, rel=1e-3)
