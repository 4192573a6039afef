"""The contract, for every line of tests/cases.py."""

import pytest

from gradtx.testing import check_transformation
from tests.cases import CASES


@pytest.mark.parametrize("name", CASES)
def test_contract(name):
    check_transformation(CASES[name].make(), **CASES[name].options)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_contract_with_1000_leaves(name):
    options = {"extras": CASES[name].options.get("extras")}
    check_transformation(CASES[name].make(), checks=["shapes"], leaves=1000, **options)
