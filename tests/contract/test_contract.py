"""The contract, for every line of tests/cases."""

import pytest

from gradtx.testing import check_transformation
from gradtx.testing._contract import LIKELY_CAUSES
from tests.cases import CASES
from tests.cases.optimizers import OPTIMIZERS

CHECKS = tuple(LIKELY_CAUSES)

# What one more line can get wrong and is cheap to see: these checks share compiled functions.
QUICK = ("state", "resume", "dtypes", "step", "zero", "large", "extra", "missing", "shapes")

# That a transformation compiles, maps, shards and keeps its dtypes is mostly the doing of the lift
# and of the wrappers' base. One of each kind shows it by default, the slow tests for all.
KINDS = {
    "chain",
    "parallel",
    "add_noise",
    "clip_by_global_norm",
    "moving_average",
    "scale_by_adam",
    "scale_by_factored_rms",
    "scale_by_sm3",
    "partition",
    "inject_hyperparams",
    "apply_if_finite",
    "MultiSteps",
}


# Two loops to compile, or a second derivative for each.
HEAVY = {
    "lbfgs",
    "scale_by_lbfgs",
    "scale_by_backtracking_linesearch",
    "hutchinson_estimator_diag_hessian",
    "gauss_newton_bartlett_estimator",
}


def checked_now(name):
    """Return the checks of the default suite.

    Another argument of a constructor waits, and so do the chains of rules that have a line.
    """
    if name in KINDS:
        return CHECKS
    return () if " / " in name or name in OPTIMIZERS or name in HEAVY else QUICK


@pytest.mark.parametrize("name", [name for name in CASES if checked_now(name)])
def test_contract(name):
    check_transformation(CASES[name].make(), checks=checked_now(name), **CASES[name].options)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in KINDS])
def test_rest_of_the_contract(name):
    """The checks that the default suite leaves out."""
    rest = [check for check in CHECKS if check not in checked_now(name)]
    check_transformation(CASES[name].make(), checks=rest, **CASES[name].options)


# XLA on CPU takes a time quadratic in the number of arrays to compile loops over all of them, and
# second derivatives: these have many leaves in the rest of the contract, but no thousand.
FEW_LEAVES = (*HEAVY, "scale_by_zoom_linesearch", "penalize_gradient_norm")
# A chain of rules has as many leaves as its rules.
MANY_LEAVES = [
    name
    for name in CASES
    if " / " not in name and name not in OPTIMIZERS and name not in FEW_LEAVES
]


@pytest.mark.slow
@pytest.mark.parametrize("name", MANY_LEAVES)
def test_contract_with_1000_leaves(name):
    options = {key: CASES[name].options.get(key) for key in ("extras", "examples")}
    check_transformation(CASES[name].make(), checks=["shapes"], leaves=1000, **options)
