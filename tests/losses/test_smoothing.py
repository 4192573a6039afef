"""Smoothed labels."""

import numpy as np

from gradtx import losses
from tests.losses.cases import MASK, ONE_HOT


def test_formula():
    np.testing.assert_allclose(losses.smooth_labels(ONE_HOT, 0.3), 0.7 * ONE_HOT + 0.1, rtol=1e-6)
    total = losses.smooth_labels(ONE_HOT, 0.5, axis=None).sum()
    np.testing.assert_allclose(total, 2.0 + 0.5, rtol=1e-6)


def test_where():
    """The mass goes to the classes that count, whose labels stay a distribution."""
    labels = np.array([[0.0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
    got = losses.smooth_labels(labels, 0.3, where=MASK)
    np.testing.assert_allclose(got.sum(-1), np.ones(4), rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(got)[~MASK], 0.0)
    nothing = losses.smooth_labels(labels, 0.3, where=np.zeros((4, 3), bool))
    np.testing.assert_array_equal(nothing, labels)
