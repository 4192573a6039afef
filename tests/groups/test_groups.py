"""Groups of leaves: who is transformed by what, what has state, what is said about a mistake."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAMS = {"w": jnp.array([[3.0, 4.0]]), "b": jnp.array([1.0, 2.0])}
GRADIENTS = {"w": jnp.array([[3.0, 4.0]]), "b": jnp.array([12.0, 0.0])}
LABELS = {"w": "matrix", "b": "rest"}


def run(tx, steps=2, **extra):
    """Return the parameters after some steps by update, and by step, and the state."""
    params = stepped = PARAMS
    state = other = tx.init(PARAMS)
    for t in range(steps):
        gradients = jax.tree.map(lambda g, t=t: g * (t + 1.0), GRADIENTS)
        updates, state = tx.update(gradients, state, params, **extra)
        params = gx.apply_updates(params, updates)
        stepped, other = tx.step(gradients, other, stepped, **extra)
    return params, stepped, state


def equal(a, b):
    """Assert that two trees have the same values."""
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_masked_transforms_what_is_kept_and_passes_the_rest():
    tx = gx.masked(gx.scale(2.0), {"w": True, "b": False})
    updates, _ = tx.update(GRADIENTS, tx.init(PARAMS))
    equal(updates, {"w": 2 * GRADIENTS["w"], "b": GRADIENTS["b"]})


def test_a_norm_inside_is_that_of_the_group():
    clip = gx.clip_by_global_norm(1.0)
    tx = gx.masked(clip, {"w": True, "b": False})
    updates, _ = tx.update(GRADIENTS, tx.init(PARAMS))
    np.testing.assert_allclose(updates["w"], [[0.6, 0.8]], rtol=1e-6)
    whole, _ = clip.update(GRADIENTS, clip.init(PARAMS))
    np.testing.assert_allclose(whole["w"], [[3 / 13, 4 / 13]], rtol=1e-6)


def test_partition_is_each_optimizer_on_its_leaves():
    tx = gx.partition({"matrix": gx.adam(0.1), "rest": gx.sgd(0.1, 0.9)}, LABELS)
    params, stepped, state = run(tx)
    equal(params, stepped)
    for name, label, alone in (("w", "matrix", gx.adam(0.1)), ("b", "rest", gx.sgd(0.1, 0.9))):
        expected, inner = PARAMS[name], alone.init(PARAMS[name])
        for t in (1.0, 2.0):
            updates, inner = alone.update(GRADIENTS[name] * t, inner, expected)
            expected = gx.apply_updates(expected, updates)
        np.testing.assert_array_equal(params[name], expected)
        equal(jax.tree.leaves(state.inner_states[label]), jax.tree.leaves(inner))


def test_what_is_left_out_has_no_state():
    tx = gx.partition({"matrix": gx.adam(0.1), "rest": gx.set_to_zero()}, LABELS)
    state = tx.init(PARAMS)
    assert state.inner_states["matrix"].inner_state[0].mu["b"] is None
    assert jax.tree.leaves(state.inner_states["rest"]) == []
    assert isinstance(None, gx.MaskedNode)


@pytest.mark.parametrize(
    "labels",
    [LABELS, lambda params: jax.tree.map(lambda p: "matrix" if p.ndim == 2 else "rest", params)],
)
def test_labels_are_a_tree_or_a_function(labels):
    tx = gx.partition({"matrix": gx.scale(2.0), "rest": gx.scale(3.0)}, labels)
    updates, _ = tx.update(GRADIENTS, tx.init(PARAMS), PARAMS)
    equal(updates, {"w": 2 * GRADIENTS["w"], "b": 3 * GRADIENTS["b"]})


def test_labels_and_masks_may_be_a_prefix():
    params = {"encoder": PARAMS, "head": PARAMS}
    gradients = {"encoder": GRADIENTS, "head": GRADIENTS}
    tx = gx.partition({0: gx.scale(0.0), 1: gx.scale(3.0)}, {"encoder": 0, "head": 1})
    updates, _ = tx.update(gradients, tx.init(params))
    equal(updates["head"], jax.tree.map(lambda g: 3 * g, GRADIENTS))
    tx = gx.masked(gx.scale(0.0), {"encoder": True, "head": False})
    updates, _ = tx.update(gradients, tx.init(params))
    equal(updates["head"], GRADIENTS)
    assert not np.any(updates["encoder"]["w"])


def test_groups_inside_groups():
    inner = gx.partition({"w": gx.scale(2.0), "b": gx.scale(3.0)}, {"w": "w", "b": "b"})
    tx = gx.chain(gx.masked(inner, {"w": True, "b": False}), gx.scale(10.0))
    params, stepped, _ = run(tx, 1)
    equal(params, stepped)
    equal(params["w"], PARAMS["w"] + 20 * GRADIENTS["w"])
    equal(params["b"], PARAMS["b"] + 10 * GRADIENTS["b"])


def test_freeze_and_selective_transform():
    frozen = {"w": True, "b": jnp.array(False)}
    for tx in (
        gx.chain(gx.sgd(0.1), gx.freeze(frozen)),
        gx.selective_transform(gx.sgd(0.1), freeze_mask=frozen),
        gx.selective_transform(gx.sgd(0.1), freeze_mask=lambda p: frozen),
    ):
        params, stepped, _ = run(tx, 1)
        equal(params, stepped)
        equal(params, {"w": PARAMS["w"], "b": PARAMS["b"] - 0.1 * GRADIENTS["b"]})
    for all_of_them in (True, False):
        tx = gx.selective_transform(gx.adam(0.1), freeze_mask=all_of_them)
        assert len(jax.tree.leaves(tx.init(PARAMS))) == (1 if all_of_them else 5)


def test_extra_arguments_reach_the_groups():
    """A pair of functions sees None where its group has no leaf; on request in arguments too."""
    seen = {}

    def look(updates, state, params=None, *, tags):
        seen.update(updates=updates, params=params, tags=tags)
        return updates, state

    pair = (lambda params: (), look)
    for mask_them in (False, True):
        tx = gx.masked(pair, {"w": True, "b": False}, mask_compatible_extra_args=mask_them)
        tx.update(GRADIENTS, tx.init(PARAMS), PARAMS, tags={"w": 1, "b": 2})
        assert seen["updates"]["b"] is None
        assert seen["params"]["b"] is None
        assert seen["tags"] == {"w": 1, "b": None if mask_them else 2}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: gx.partition({"rest": gx.sgd(0.1)}, LABELS),
            ValueError,
            r"the label at \['w'\] must be a key of `transforms`, \['rest'\], but is 'matrix'",
        ),
        (
            lambda: gx.partition([gx.sgd(0.1)], LABELS),
            TypeError,
            "`transforms` must be a mapping from labels",
        ),
        (
            lambda: gx.partition({"w": gx.sgd}, LABELS),
            TypeError,
            "Was a constructor not called",
        ),
        (
            lambda: gx.partition({"w": gx.sgd(0.1)}, {"w": "w"}),
            ValueError,
            "`param_labels` must be a tree of labels with the structure of the parameters",
        ),
        (
            lambda: gx.masked(gx.sgd(0.1), {"w": "yes", "b": False}),
            TypeError,
            r"masked: the mask at \['w'\] must be True or False, but is str 'yes'",
        ),
        (
            lambda: gx.selective_transform(gx.sgd(0.1), freeze_mask={"w": 1, "b": False}),
            TypeError,
            "the leaves of `freeze_mask` must be True or False, but one is int 1",
        ),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make().init(PARAMS)


def test_a_traced_mask_is_refused():
    def init(keep):
        return gx.masked(gx.trace(0.9), {"w": keep, "b": False}).init(PARAMS)

    with pytest.raises(TypeError, match="Its values must be known while tracing"):
        jax.jit(init)(True)


def test_a_state_with_other_labels_is_refused():
    tx = gx.partition({"a": gx.sgd(0.1)}, "a")
    other = gx.partition({"b": gx.sgd(0.1)}, "b").init(PARAMS)
    with pytest.raises(ValueError, match=r"must have the labels \['a'\], but has \['b'\]"):
        tx.update(GRADIENTS, other)


def _loss(params, key=None):
    """A loss in which the arrays meet, so that a function of some of them cannot be evaluated."""
    del key
    coupled = jnp.sum(params["w"] ** 2) * (1.0 + jnp.sum(params["b"] ** 2))
    return coupled + jnp.sum(params["w"] ** 4) + jnp.sum(params["b"] ** 4)


_ASCENT = gx.chain(gx.normalize(), gx.sgd(0.1))
_FUNCTIONS = {
    "grad_fn": lambda params, i=0: jax.grad(_loss)(params),
    "obj_fn": _loss,
    "sampled_loss_fn": lambda params, key: (_loss(params, key), 4),
}


@pytest.mark.parametrize(
    "tx",
    [
        gx.sam(gx.sgd(0.1), _ASCENT, opaque_mode=True),
        gx.penalize_gradient_norm(gx.sgd(0.1), 0.1),
        gx.sophia(0.1),
        gx.hutchinson_estimator_diag_hessian(1),
        gx.gauss_newton_bartlett_estimator(1),
        gx.split_real_and_imaginary(gx.penalize_gradient_norm(gx.sgd(0.1), 0.1)),
    ],
    ids=["sam", "penalize_gradient_norm", "sophia", "hutchinson", "bartlett", "split"],
)
@pytest.mark.parametrize("nested", [False, True])
def test_functions_see_all_parameters_of_which_only_the_group_moves(tx, nested):
    gradients = jax.grad(_loss)(PARAMS)

    def at_the_fixed(f):
        def of_w(params, *args):
            out = f(PARAMS | params, *args)
            return {"w": out["w"]} if isinstance(out, dict) else out

        return of_w

    alone = {name: at_the_fixed(f) for name, f in _FUNCTIONS.items()}
    w = {"w": PARAMS["w"]}
    expected, _ = tx.update({"w": gradients["w"]}, tx.init(w), w, **alone)
    inner = gx.masked(tx, lambda params: jax.tree.map(lambda _: True, params)) if nested else tx
    grouped = gx.partition({"matrix": inner, "rest": gx.sgd(0.1)}, LABELS)
    updates, _ = grouped.update(gradients, grouped.init(PARAMS), PARAMS, **_FUNCTIONS)
    np.testing.assert_allclose(updates["w"], expected["w"], rtol=1e-6)
    np.testing.assert_allclose(updates["b"], -0.1 * gradients["b"], rtol=1e-6)
