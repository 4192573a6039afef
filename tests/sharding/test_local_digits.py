"""Local steps on real digits: what they send and how well they learn, beside data-parallel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import gradtx as gx
from examples.demo_parts import data, networks
from gradtx.sharding import DilocoState, collectives, diloco, sent_bytes

REPLICAS, BATCH, STEPS, EVERY = 4, 16, 1000, 50
SEEDS = range(12)
AXES = DilocoState.layout(each=0, shared=None)
OVER_SEEDS = DilocoState.layout(each=0, shared=0)._replace(count=None)
DIGITS = data.load()


def loss(params, batch):
    """Return the cross-entropy of the examples with these indices."""
    images, labels = (jnp.asarray(x)[batch] for x in DIGITS.train)
    return networks.cross_entropy(networks.MLP.apply(params, images), labels)


def together(learning_rate):
    """Return start and step of all replicas on their mean gradient, and the axes of seeds."""
    tx = gx.adamw(learning_rate)

    def start(params):
        return params, tx.init(params)

    def step(params, state, batch):
        grads = jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, batch)
        return tx.step(jax.tree.map(lambda g: g.mean(0), grads), state, params)

    return start, step, (0, 0)


def apart(learning_rate, momentum, spread=None):
    """Return start and step of replicas that meet every 50 steps, and the axes of seeds."""
    outer = gx.sgd(0.7, momentum=momentum, nesterov=True)
    tx = diloco(gx.adamw(learning_rate), outer, every=EVERY)

    def start(params):
        state = jax.vmap(tx.init, in_axes=None, out_axes=AXES, axis_size=REPLICAS)(params)
        return jax.tree.map(lambda p: jnp.stack([p] * REPLICAS), params), state

    def one(params, state, batch):
        return tx.step(jax.grad(loss)(params, batch), state, params)

    sides = {"in_axes": (0, AXES, 0), "out_axes": (0, AXES)}
    step = jax.vmap(one, axis_name="replica", spmd_axis_name=spread, **sides)
    return start, step, (0, OVER_SEEDS)


def trained(start, step, axes):
    """Return the parameters of every seed at the end; of replicas, what they agreed on."""
    order = data.batch_order(SEEDS, len(DIGITS.train.labels), STEPS, REPLICAS * BATCH)
    order = order.reshape(len(SEEDS), STEPS, REPLICAS, BATCH).swapaxes(0, 1)
    steps = jax.vmap(step, in_axes=(*axes, 0), out_axes=axes)

    @jax.jit
    def run(keys):
        params = jax.vmap(networks.MLP.init)(keys)
        at = jax.vmap(start, out_axes=axes)(params)
        return jax.lax.scan(lambda at, batch: (steps(*at, batch), None), at, jnp.asarray(order))[0]

    params, state = run(jax.random.split(jax.random.key(0), len(SEEDS)))
    return state.anchor if isinstance(state, DilocoState) else params


def accuracy(params, split):
    """Return the share of a split's examples that is classified rightly, mean of all seeds."""

    def one(p):
        return networks.accuracy(networks.MLP.apply(p, split.images), split.labels)

    return float(np.mean(jax.vmap(one)(params)))


def chosen(ways):
    """Return the test accuracy of the way that has the best validation accuracy."""
    runs = [trained(*way) for way in ways]
    best = max(runs, key=lambda params: accuracy(params, DIGITS.validation))
    return accuracy(best, DIGITS.test)


@pytest.mark.slow
def test_as_accurate_as_data_parallel_training():
    """As many samples each; rates, and the outer momentum, chosen on the validation images."""
    rates = (1e-3, 3e-3)
    usual = chosen([together(rate) for rate in rates])
    local = chosen([apart(rate, momentum) for rate in rates for momentum in (0.5, 0.9)])
    assert usual > 0.96
    assert local >= usual - 0.005


def compiled(way, mesh, *specs):
    """Return the compiled step on the mesh, its arguments placed by specs; the seeds stay out."""
    start, step, _ = way
    places = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
    shapes = jax.eval_shape(networks.MLP.init, jax.random.key(0))
    at = start(jax.tree.map(lambda x: jnp.zeros(x.shape), shapes))
    with jax.set_mesh(mesh):
        arguments = jax.device_put((*at, jnp.zeros((REPLICAS, BATCH), int)), places)
        return jax.jit(step, out_shardings=places[:2]).lower(*arguments).compile()


@pytest.mark.slow
def test_sends_a_fiftieth_of_the_bytes():
    """Counted in the compiled steps on four devices: the outer step sends what a gradient does."""
    mesh = jax.make_mesh((4,), ("replica",), (AxisType.Auto,), devices=jax.devices()[:4])
    split, whole = PartitionSpec("replica"), PartitionSpec()
    layout = DilocoState.layout(each=split, shared=whole)
    each_step = collectives(compiled(together(1e-3), mesh, whole, whole, split))
    local = collectives(compiled(apart(1e-3, 0.9, "replica"), mesh, split, layout, split))
    assert {c.where for c in each_step} == {"always"}
    assert {c.where for c in local} == {"branch"}
    assert sent_bytes(each_step) >= 4810 * 4 * 2 * 3 / 4
    assert sent_bytes(local) / EVERY <= sent_bytes(each_step) / 50
