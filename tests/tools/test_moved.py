"""Who looks for a module of Optax is told where its names are."""

import pytest

import gradtx
from tests.optax_deviations import NOT_TAKEN


def test_modules_that_are_not_there_say_where_their_names_are():
    with pytest.raises(AttributeError, match=r"`optax\.contrib\.muon` is `gradtx\.muon`"):
        _ = gradtx.contrib
    with pytest.raises(AttributeError, match="has no attribute 'adamW'"):
        _ = gradtx.adamW
    assert not hasattr(gradtx, "experimental")


@pytest.mark.parametrize("name", [n for n in NOT_TAKEN if n[0].islower() and "." not in n])
def test_every_module_that_is_not_taken_has_a_line(name):
    with pytest.raises(AttributeError, match="coming-from-optax"):
        getattr(gradtx, name)
    assert name not in dir(gradtx)
