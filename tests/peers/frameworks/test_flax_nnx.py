"""Modules of flax.nnx: inside nnx.Optimizer as Optax's transformations are, and as bare states."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import gradtx as gx
import gradtx.state as gs

X = jax.random.normal(jax.random.key(3), (16, 2))
Y = X[:, :1] * 2


class Model(nnx.Module):
    """A small network with what is no parameter in it."""

    def __init__(self, seed=0):
        rngs = nnx.Rngs(seed)
        self.first = nnx.Linear(2, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(8, 8, rngs=rngs) for _ in range(2)])
        self.out = nnx.Linear(8, 1, rngs=rngs)
        self.drop = nnx.Dropout(0.0, rngs=rngs)
        self.activation = nnx.tanh

    def __call__(self, x):
        x = self.norm(self.first(x), use_running_average=True)
        for block in self.blocks:
            x = self.activation(block(x))
        return self.out(self.drop(x))


def loss(model):
    return jnp.mean((model(X) - Y) ** 2)


@nnx.jit
def train_step(model, optimizer):
    """As flax#4471 asks: the value and the function of it go through the optimizer's update."""
    value, grads = nnx.value_and_grad(loss)(model)
    graph, _, rest = nnx.split(model, nnx.Param, ...)

    def value_fn(params):
        return loss(nnx.merge(graph, params, rest))

    optimizer.update(model, grads, value=value, grad=grads, value_fn=value_fn)
    return value


def trained(tx, steps=4):
    """Return model, optimizer and the losses on the way."""
    model = Model()
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    return model, optimizer, [float(train_step(model, optimizer)) for _ in range(steps)]


@pytest.fixture(autouse=True)
def _promotion():
    with jax.numpy_dtype_promotion("standard"):
        yield


LABELS = {"first": "a", "norm": "b", "blocks": "b", "out": "b"}
TRANSFORMATIONS = {
    "adam": gx.adam(0.1),
    "lbfgs": gx.lbfgs(),
    "groups": gx.groups(("first/kernel", gx.adam(0.1)), ("blocks/0/*", None), ("*", gx.sgd(0.1))),
    "partition": gx.partition({"a": gx.adam(0.1), "b": gx.sgd(0.1)}, LABELS),
    "mask": gx.adamw(0.1, mask=gx.matching("*/kernel")),
    "scale_by_path": gx.chain(gx.adam(0.1), gx.scale_by_path(("out/*", 0.1))),
    "accumulate": gx.accumulate(gx.lbfgs(), 2),
    "MultiSteps": gx.MultiSteps(gx.adam(0.1), 2),
    "noise": gx.chain(gx.add_noise(0.1, 0.5, seed=0), gx.adam(0.1)),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_optimizer_and_bare_states_make_the_same_steps(name):
    """optax#1148, flax#5372 (groups), flax#4423, flax#4812 (L-BFGS): a state comes in boxes."""
    tx = TRANSFORMATIONS[name]
    _, _, values = trained(tx)
    graph, params, rest = nnx.split(Model(), nnx.Param, ...)
    state = tx.init(params)

    def value_fn(params):
        return loss(nnx.merge(graph, params, rest))

    @jax.jit
    def step(params, state):
        value, grads = jax.value_and_grad(value_fn)(params)
        extra = {"value": value, "grad": grads, "value_fn": value_fn}
        return value, *tx.step(grads, state, params, **extra)

    for expected in values:
        value, params, state = step(params, state)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert isinstance(nnx.merge(graph, params, rest).first.kernel, nnx.Param)
    assert values[-1] < values[0]


def test_adam_is_that_of_optax():
    ours, theirs = trained(gx.adam(0.1))[2], trained(optax.adam(0.1))[2]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_paths_are_those_of_the_module():
    params = nnx.state(Model(), nnx.Param)
    tx = gx.groups(("first/*", gx.adam(0.1)), ("*", None))
    text = tx.explain(params)
    assert "first/kernel " in text and "blocks/*/bias (2)" in text and "value" not in text
    with pytest.raises(ValueError, match="Did you mean 'first/kernel'"):
        gx.groups(("first/kernl", gx.adam(0.1)), ("*", None)).init(params)


def test_metrics_and_hyperparameters_of_an_optimizer():
    tx = gx.with_metrics(gx.tunable(gx.adam(0.1)))
    model, optimizer, _ = trained(tx)
    assert gx.metrics(optimizer.opt_state)["grad_norm"] > 0
    before = gx.hyperparams(tx, optimizer.opt_state)["learning_rate"]
    new = gx.set_hyperparams(tx, optimizer.opt_state, learning_rate=0.0)
    assert jax.tree.structure(new) == jax.tree.structure(optimizer.opt_state)
    nnx.update(optimizer.opt_state, nnx.state(new))
    kept = jax.tree.map(jnp.copy, nnx.state(model, nnx.Param))
    train_step(model, optimizer)
    assert before == np.float32(0.1)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, kept, nnx.state(model, nnx.Param)))


@pytest.mark.parametrize(
    ("tx", "pure"),
    [
        (gx.with_ema(gx.sgd(0.1), 0.9), False),
        (gx.schedule_free_sgd(0.1), True),
        (gx.lookahead(gx.sgd(0.1), 3, 0.5, slow_in_state=True), False),
    ],
    ids=["ema", "schedule_free", "lookahead"],
)
def test_evaluated_parameters_go_into_a_model(tx, pure):
    model, optimizer, _ = trained(tx)
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    params = nnx.as_pure(params) if pure else params
    evaluated = tx.eval_params(optimizer.opt_state, params)
    assert jax.tree.structure(evaluated) == jax.tree.structure(params)
    other = nnx.merge(graph, evaluated, rest)
    assert np.isfinite(loss(other)) and loss(other) != loss(model)


def test_state_is_exported_and_restored():
    tx = gx.groups(("kernels", "*/kernel", gx.adam(0.1)), ("*", gx.sgd(0.1)))
    model, optimizer, _ = trained(tx)
    saved = gs.export(tx, optimizer.opt_state)
    assert "kernels/scale_by_adam/mu/first/kernel" in saved
    assert "kernels/scale_by_adam/count" in saved
    state, _ = gs.restore(tx, nnx.state(model, nnx.Param), saved)
    other = nnx.Optimizer(Model(1), tx, wrt=nnx.Param)
    nnx.update(other.opt_state, nnx.state(state))
    assert_same(other.opt_state, optimizer.opt_state)


def test_checkpoint_by_orbax(tmp_path):
    ocp = pytest.importorskip("orbax.checkpoint")
    tx = gx.with_metrics(gx.accumulate(gx.adam(0.1), 2))
    model, optimizer, _ = trained(tx)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "run", nnx.to_pure_dict(nnx.state((model, optimizer))))
        checkpointer.wait_until_finished()
        fresh = Model(1)
        graph, state = nnx.split((fresh, nnx.Optimizer(fresh, tx, wrt=nnx.Param)))
        restored = checkpointer.restore(tmp_path / "run", nnx.to_pure_dict(state))
    nnx.replace_by_pure_dict(state, restored)
    again, its_optimizer = nnx.merge(graph, state)
    assert_same(its_optimizer.opt_state, optimizer.opt_state)
    assert float(train_step(again, its_optimizer)) == float(train_step(model, optimizer))


def assert_same(one, other):
    one, other = nnx.as_pure(one), nnx.as_pure(other)
    assert jax.tree.structure(one) == jax.tree.structure(other)
    assert jax.tree.all(jax.tree.map(np.array_equal, one, other))


@pytest.mark.parametrize("name", ["adam", "groups", "accumulate", "noise"])
def test_a_saved_state_goes_on_in_a_new_optimizer(name):
    """flax#4423: what is restored without the boxes of the optimizer breaks its next update."""
    tx = gx.tunable(TRANSFORMATIONS[name])
    model, optimizer, _ = trained(tx)
    saved = gs.export(tx, optimizer.opt_state, to_host=True)
    resumed = nnx.clone(model)
    again = nnx.Optimizer(resumed, tx, wrt=nnx.Param)
    again.opt_state, report = gs.restore(tx, None, saved, like=again.opt_state)
    assert report.exact
    for _ in range(3):
        assert train_step(resumed, again) == train_step(model, optimizer)
    for edit in (gs.reset(tx, again.opt_state, nnx.state(resumed, nnx.Param)), again.opt_state):
        again.opt_state = gs.at_step(tx, edit, 9)
        assert np.isfinite(train_step(resumed, again))


def test_a_state_is_resized_in_the_boxes_of_the_new_optimizer():
    tx = gx.adam(0.1)
    old, new = nnx.Linear(2, 1, rngs=nnx.Rngs(0)), nnx.Linear(2, 4, rngs=nnx.Rngs(0))
    before, after = (nnx.Optimizer(m, tx, wrt=nnx.Param) for m in (old, new))
    shapes = [nnx.state(m, nnx.Param) for m in (old, new)]
    after.opt_state, report = gs.resize(tx, before.opt_state, *shapes, like=after.opt_state)
    assert "scale_by_adam/mu/kernel" in report.grown
    nnx.jit(lambda m, o: o.update(m, nnx.state(m, nnx.Param)))(new, after)
    with pytest.raises(TypeError, match=r"`state` is an Optimizer.* in its `opt_state`"):
        gs.export(tx, after)
