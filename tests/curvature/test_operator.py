"""Tests of gradtx/curvature/_operator.py, _layout.py and _batches.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import curvature
from tests.curvature.cases import SIZE, matrix, operator, quadratic

MIXED = {
    "w": jnp.arange(6.0).reshape(2, 3),
    "half": jnp.ones(2, jnp.bfloat16),
    "steps": jnp.int32(3),
    "none": None,
    "key": jax.random.key(0),
    "flag": True,
    "rate": 0.5,
    "empty": jnp.zeros((0, 2)),
}


def mixed_loss(params, scale):
    assert params["flag"] is True and params["none"] is None
    noise = jax.random.normal(params["key"], ())
    half = jnp.sum(params["half"].astype(jnp.float32) ** 2)
    powers = (
        params["steps"].astype(jnp.float32) * jnp.sum(params["w"] ** 2) + params["rate"] ** 2 * half
    )
    return scale * (powers + noise)


def test_leaves_that_are_not_trained_have_no_direction():
    A = curvature.hessian(mixed_loss, MIXED, 2.0)
    assert A.size == 9 and A.dtype == np.float32
    v = {**dict.fromkeys(MIXED), "w": jnp.ones((2, 3)), "half": jnp.ones(2), "rate": 1.0}
    out = A(v)
    assert {name for name, leaf in out.items() if leaf is None} == {"steps", "none", "key", "flag"}
    np.testing.assert_allclose(out["w"], 12.0 * np.ones((2, 3)))
    assert out["half"].dtype == jnp.bfloat16 and out["empty"].shape == (0, 2)
    # d2/dh2 = 4 rate^2 = 1, d2/dh drate = 8 rate h = 4
    np.testing.assert_allclose(out["half"].astype(float), [5.0, 5.0])
    np.testing.assert_allclose(out["rate"], 4.0 * 2.0 + 8.0)
    passed_over = A(v | {"steps": 7, "none": 1.0, "key": MIXED["key"], "flag": False})
    np.testing.assert_array_equal(passed_over["w"], out["w"])


def test_flatten_and_unflatten():
    A = curvature.hessian(mixed_loss, MIXED, 2.0)
    tree = A.unflatten(jnp.arange(9.0))
    np.testing.assert_array_equal(A.flatten(tree), np.arange(9.0))
    assert tree["half"].dtype == jnp.float32 and tree["steps"] is None


def test_works_under_jit_and_as_its_argument():
    A, v = operator(np.arange(1.0, SIZE + 1)), jnp.ones(SIZE)
    expected = A(v)
    np.testing.assert_allclose(jax.jit(A)(v), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(lambda A, v: A(v))(A, v), expected, rtol=1e-5)
    inside = jax.jit(lambda M, v: curvature.hessian(quadratic, v, M).damped(M[0, 0])(v))
    M = jnp.asarray(matrix(np.arange(1.0, SIZE + 1)), v.dtype)
    np.testing.assert_allclose(inside(M, v), expected + M[0, 0], rtol=1e-4)


def test_damping():
    A, v = operator(np.arange(1.0, SIZE + 1)), jnp.ones(SIZE)
    np.testing.assert_allclose(A.damped(0.5).damped(1.0)(v), A(v) + 1.5, rtol=1e-6)
    assert A.damped(0.5).damping == 0.5 and A.damping == 0.0


def test_a_second_operator_compiles_nothing():
    traces = []

    def counted(x, a):
        traces.append(1)
        return a * jnp.sum(x**3)

    x = jnp.ones(3)
    first = curvature.hessian(counted, x, 1.0)(x)
    once = len(traces)
    second = curvature.hessian(counted, 2.0 * x, 3.0)(x)
    assert len(traces) == once  # neither the check when it is made nor the product
    np.testing.assert_allclose(second, 6.0 * first)


def test_linear_operator():
    A = curvature.linear_operator(
        lambda v: {"a": 2.0 * v["a"], "n": None}, {"a": jnp.ones(3), "n": 1}
    )
    assert A({"a": jnp.ones(3), "n": None})["n"] is None
    np.testing.assert_array_equal(A.dense(), 2.0 * np.eye(3))


def test_text():
    A = operator(np.ones(SIZE))
    assert repr(A) == "<hessian(quadratic): 40 x 40, float32>"
    assert repr(A.damped(0.1)) == "<hessian(quadratic): 40 x 40, float32, damping 0.1>"


# --- data in batches --------------------------------------------------------------------------


def mean_square(x, a):
    return jnp.mean(jnp.square(a @ x)) / 2.0


def rows():
    return np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)


@pytest.mark.parametrize("kind", ["list", "single arrays", "function", "iterable"])
def test_batches_weigh_as_they_have_examples(kind):
    a, x = rows(), np.ones(3, np.float32)
    expected = a.T @ (a @ x) / 7.0
    split = [(a[:3],), [a[3:6]], (a[6:],)]
    given = {
        "list": split,
        "single arrays": [a[:3], a[3:6], a[6:]],
        "function": lambda: iter(split),
        "iterable": {"a": split[0], "b": split[1], "c": split[2]}.values(),
    }[kind]
    A = curvature.hessian(mean_square, x, batches=given)
    np.testing.assert_allclose(A(x), expected, rtol=1e-5)


def test_a_stream_is_read_once_for_several_vectors():
    a, x, reads = rows(), jnp.ones(3), []

    def stream():
        reads.append(1)
        yield (a[:3],)
        yield (a[3:6],)

    A = curvature.hessian(mean_square, x, batches=stream)
    assert reads == [] and "batches read as needed" in repr(A)
    A.apply(jnp.eye(3))
    assert len(reads) == 1
    with pytest.raises(ValueError, match="batches that are not kept are read on the host"):
        jax.jit(A)(x)


# --- errors -----------------------------------------------------------------------------------


class Unhashable:
    def __eq__(self, other):  # and so, by Python's rule, no hash
        return self is other

    def __call__(self, params):
        return jnp.sum(params**2)


def tree_loss(params):
    return jnp.sum(params["a"] ** 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: curvature.hessian(tree_loss, {"a": jnp.ones(2, jnp.complex64)}),
            TypeError,
            r"params must be real, but \['a'\] is complex64\[2\]",
        ),
        (
            lambda: curvature.hessian(tree_loss, {"a": jnp.ones(2, int)}),
            ValueError,
            "at least one element of a floating-point array, but have none among 1 leaves",
        ),
        (
            lambda: curvature.hessian({"a": jnp.ones(2)}, tree_loss),
            TypeError,
            "first arguments must be functions, then the params, but one is a dict",
        ),
        (
            lambda: curvature.hessian(Unhashable(), jnp.ones(2)),
            TypeError,
            "functions must be hashable, but a Unhashable is not. Pass its arrays as params",
        ),
        (
            lambda: curvature.hessian(lambda x: x**2, jnp.ones(2)),
            TypeError,
            r"`loss` must return a real scalar, but returns float32\[2\]. Is the mean",
        ),
        (
            lambda: curvature.hessian(lambda x: (x**2, x), jnp.float32(1.0)),
            TypeError,
            "but returns a tree of 2 leaves",
        ),
        (
            lambda: curvature.hessian(tree_loss, {"a": jnp.ones(2)}).damped(jnp.nan),
            ValueError,
            "`damping` must be finite, but is nan",
        ),
        (
            lambda: curvature.hessian(tree_loss, {"a": jnp.ones(2)})({"a": jnp.ones(3)}),
            ValueError,
            r"direction at \['a'\] must be real with shape \(2,\), .* but is float32\[3\]",
        ),
        (
            lambda: curvature.hessian(tree_loss, {"a": jnp.ones(2)})({"b": jnp.ones(2)}),
            ValueError,
            r"leaves of the params have \['a'\], those of the direction do not",
        ),
        (
            lambda: curvature.hessian(tree_loss, {"a": jnp.ones(2)})(
                {"a": jnp.ones(2, jnp.complex64)}
            ),
            TypeError,
            r"but is complex64\[2\]",
        ),
        (
            lambda: curvature.hessian(tree_loss, {"a": jnp.ones(2)}).apply(jnp.ones(2)),
            ValueError,
            r"vectors must have shape \(k, 2\), a row each, but have shape \(2,\)",
        ),
        (
            lambda: curvature.hessian(mean_square, jnp.ones(3), rows(), batches=[rows()]),
            ValueError,
            "either as arguments or as `batches`, but 1 arguments and `batches`",
        ),
        (
            lambda: curvature.hessian(
                mean_square, jnp.ones(3), batches=[(jax.random.PRNGKey(0), rows())] * 2
            ),
            ValueError,
            r"examples along the first axis, .* but the shapes are \[\(2,\), \(7, 3\)\]",
        ),
        (
            lambda: curvature.linear_operator(lambda v: v[0], jnp.ones(3)),
            ValueError,
            r"trained leaf 0 of what the function returns must be like its parameter, float32\[3\]",
        ),
        (
            lambda: curvature.hessian(mean_square, jnp.ones(3), batches=iter([rows()])),
            TypeError,
            "but is a list_iterator: it would be empty at the second product",
        ),
        (
            lambda: curvature.hessian(mean_square, jnp.ones(3), batches=[]),
            ValueError,
            "`batches` must hold at least one batch, but is empty",
        ),
        (
            lambda: curvature.hessian(mean_square, jnp.ones(3), batches=3),
            TypeError,
            "must be a sequence of tuples of arguments, or a function .* but is a int",
        ),
        (
            lambda: curvature.hessian(mean_square, jnp.ones(3), batches=list)(jnp.ones(3)),
            ValueError,
            "`batches` must hold at least one example",
        ),
        (
            lambda: curvature.eigenvalues(jnp.eye(3)),
            TypeError,
            "must be an Operator, such as hessian.* but is an ArrayImpl. Wrap a function",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
