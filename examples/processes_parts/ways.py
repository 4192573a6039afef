"""Two ways to train one network on many processes: data-parallel, and DiLoCo.

The mesh has a row for each process and a column for each of its devices. Over the columns both
ways split the network itself ("model"), as Megatron does. Over the rows
- data-parallel takes the gradient of the whole batch: the processes exchange it at every step;
- DiLoCo trains replicas of the network, which meet every `every` steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from demo_parts.networks import MLP, cross_entropy
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx.sharding import DilocoState, abstract_state, shardings_of

from .task import Task

# The first layer is split by columns: each device has hidden units of its own. The second is
# split by rows: what it needs of the first is there. Only its result is summed over devices.
SPECS = {
    "hidden": {"w": P(None, "model"), "b": P("model")},
    "out": {"w": P("model", None), "b": P()},
}
OPTIMIZER = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(3e-3, weight_decay=1e-3))


class Way(NamedTuple):
    mesh: Mesh
    rows: str  # the mesh axis that a batch is split over
    abstract: Any  # (params, state) as shapes, dtypes and places, before any array exists
    init: Callable[[], Any]  # -> (params, state)
    step: Callable[..., Any]  # params, state, images, labels -> params, state, loss
    trained: Callable[..., Any]  # params, state -> the parameters of the trained network


def data_parallel(task: Task) -> Way:
    """Each process takes its rows of every batch; the gradient is the mean over all."""
    mesh = _mesh(task, "data")
    # spread="data" is ZeRO-1: Adam's moments are split over the processes, too.
    tx = gx.sharding.sharded(OPTIMIZER, SPECS, spread="data")

    def init():
        params = _params()
        return params, tx.init(params)

    def step(params, state, images, labels):
        loss, grads = jax.value_and_grad(_loss)(params, images, labels)
        return *tx.step(grads, state, params), loss

    params = _abstract_params(mesh)
    abstract = params, abstract_state(tx, params, mesh=mesh)
    return Way(mesh, "data", abstract, *_jitted(init, step, abstract), lambda params, state: params)


def diloco(task: Task) -> Way:
    """Each process trains its replicas on their rows of every batch; now and then they meet."""
    mesh, n = _mesh(task, "replica"), task.replicas
    tx = gx.sharding.diloco(
        OPTIMIZER, gx.sgd(0.7, momentum=0.9, nesterov=True), every=task.every, axis="replica"
    )
    # Replicas have an inner state each, the anchor and the outer state are common to all.
    axes = DilocoState.layout(each=0, shared=None)

    def init():
        params = _params()
        state = jax.vmap(tx.init, in_axes=None, out_axes=axes, axis_size=n)(params)
        return jax.tree.map(lambda p: jnp.stack([p] * n), params), state

    def replica_step(params, state, images, labels):
        loss, grads = jax.value_and_grad(_loss)(params, images, labels)
        return *tx.step(grads, state, params), loss

    # Inside, the code sees one replica; `axis_name` is how it reaches the others, and
    # `spmd_axis_name` puts them on the rows of the mesh, several on a row if need be.
    replicas_step = jax.vmap(
        replica_step,
        in_axes=(0, axes, 0, 0),
        out_axes=(0, axes, 0),
        axis_name="replica",
        spmd_axis_name="replica",
    )

    def step(params, state, images, labels):
        images, labels = (x.reshape(n, -1, *x.shape[1:]) for x in (images, labels))
        params, state, losses = replicas_step(params, state, images, labels)
        return params, state, jnp.mean(losses)

    def stacked(x):
        sharding = NamedSharding(mesh, P("replica", *x.sharding.spec))
        return jax.ShapeDtypeStruct((n, *x.shape), x.dtype, sharding=sharding)

    params = _abstract_params(mesh)
    one = abstract_state(tx, params, mesh=mesh)
    state = one._replace(inner_state=jax.tree.map(stacked, one.inner_state))
    abstract = jax.tree.map(stacked, params), state
    # Between two meetings the replicas differ; the anchor is what they last agreed on.
    return Way(
        mesh,
        "replica",
        abstract,
        *_jitted(init, step, abstract),
        lambda params, state: state.anchor,
    )


WAYS = {"data-parallel": data_parallel, "DiLoCo": diloco}


def _mesh(task: Task, rows: str) -> Mesh:
    shape = (task.processes, jax.local_device_count())
    # With automatic axes the compiler finds out what has to be sent.
    return jax.make_mesh(shape, (rows, "model"), axis_types=(AxisType.Auto, AxisType.Auto))


def _params() -> Any:
    return MLP.init(jax.random.key(0))


def _abstract_params(mesh: Mesh) -> Any:
    return jax.tree.map(
        lambda p, spec: jax.ShapeDtypeStruct(p.shape, p.dtype, sharding=NamedSharding(mesh, spec)),
        jax.eval_shape(_params),
        SPECS,
    )


def _loss(params, images, labels):
    return cross_entropy(MLP.apply(params, images), labels)


def _jitted(init, step, abstract) -> tuple[Callable, Callable]:
    places = shardings_of(abstract)
    return (
        jax.jit(init, out_shardings=places),
        jax.jit(step, out_shardings=(*places, None), donate_argnums=(0, 1)),
    )
