"""Eight simulated devices: what each way of spreading a training step holds and sends.

Each way is planned on paper, compiled, compared with the plan, and trains the digits network.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from demo_parts.data import load
from demo_parts.networks import accuracy, cross_entropy
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx import plot
from gradtx.sharding import (
    DilocoState,
    Plan,
    collectives,
    diloco,
    int8_mean_over,
    plan,
    sharded,
    sign_mean_over,
    spread,
)

jax.config.update("jax_num_cpu_devices", 8)

WIDTH, BATCH, EVERY = 512, 256, 20
SHAPES = {"first": (64, WIDTH), "middle": (WIDTH, WIDTH), "last": (WIDTH, 10)}
COPIED = dict.fromkeys(SHAPES, P())
MODEL = {"first": P(None, "model"), "middle": P("model"), "last": P()}


def network(params, images):
    """Three layers without biases."""
    x = jax.nn.relu(images.reshape(len(images), -1) @ params["first"])
    return jax.nn.relu(x @ params["middle"]) @ params["last"]


def loss(params, images, labels):
    return cross_entropy(network(params, images), labels)


def initial() -> dict[str, jax.Array]:
    he = jax.nn.initializers.he_normal()
    keys = jax.random.split(jax.random.key(0), len(SHAPES))
    return {name: he(key, shape) for key, (name, shape) in zip(keys, SHAPES.items(), strict=True)}


class Way(NamedTuple):
    """A compiled training step, its plan, and how to read what it made."""

    step: Any  # (params, state, images, labels) -> (params, state)
    start: tuple[Any, Any]
    plan: Plan
    place: Callable[[Any], Any]  # a batch on the host -> on the devices
    params: Callable[[Any], Any]  # params as they are trained -> as the network takes them


def sharded_way(shape, specs, over=None) -> Way:
    """One set of parameters, spread over the mesh by their specs; the batch along `data`."""
    mesh = jax.make_mesh(shape, ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    tx = sharded(gx.adam(1e-3), specs, over)
    batch_place = NamedSharding(mesh, P("data"))
    where_used = jax.tree.map(lambda s: P(*(a if a == "model" else None for a in s)), specs)

    def train_step(params, state, images, labels):
        def gathered(params):  # FSDP: what lies along `data` is gathered where it is used
            used = jax.lax.with_sharding_constraint(params, where_used)
            return loss(used, images, labels)

        return tx.step(jax.grad(gathered)(params), state, params)

    with jax.set_mesh(mesh):
        places = jax.tree.map(lambda s: NamedSharding(mesh, s), specs)
        params = jax.device_put(initial(), places)
        start = params, jax.jit(tx.init)(params)
        batch = jax.device_put((np.zeros((BATCH, 64), np.float32), np.zeros(BATCH, np.int32)),
                               batch_place)  # fmt: skip
        step = jax.jit(train_step, donate_argnums=(0, 1)).lower(*start, *batch).compile()
        made = plan(tx, params, specs, batch="data")
    return Way(step, start, made, lambda b: jax.device_put(b, batch_place), lambda p: p)


def replicated_way(tx, layout=None) -> Way:
    """A replica on each device; what they send each other is part of the transformation.

    Parameters and state have a leading axis with one entry a replica. Without a layout of the
    state the step runs inside `shard_map`, with one it is mapped over the replicas.
    """
    mesh = jax.make_mesh((8,), ("replica",), axis_types=(AxisType.Auto,))
    place = NamedSharding(mesh, P("replica"))

    def train_step(params, state, images, labels):
        return tx.step(jax.grad(loss)(params, images, labels), state, params)

    def on_each_device(*arguments):
        mine = jax.tree.map(lambda x: x[0], arguments)  # one replica's part of each array
        return jax.tree.map(lambda x: x[None], train_step(*mine))

    sides = 0 if layout is None else layout
    if layout is None:
        each = P("replica")
        step = jax.shard_map(on_each_device, mesh=mesh, in_specs=each, out_specs=each)
    else:
        step = jax.vmap(
            train_step,
            in_axes=(0, sides, 0, 0),
            out_axes=(0, sides),
            axis_name="replica",
            spmd_axis_name="replica",
        )

    def split(batch):
        return jax.device_put(jax.tree.map(lambda x: x.reshape(8, -1, *x.shape[1:]), batch), place)

    params = jax.device_put(jax.tree.map(lambda p: jnp.stack([p] * 8), initial()), place)
    state = jax.vmap(tx.init, in_axes=None, out_axes=sides, axis_size=8)(initial())
    batch = split((np.zeros((BATCH, 64), np.float32), np.zeros(BATCH, np.int32)))
    with jax.set_mesh(mesh):
        compiled = jax.jit(step).lower(params, state, *batch).compile()
    made = plan(tx, initial(), P(), mesh, replicas="replica")
    start = params, jax.device_put(state, compiled.input_shardings[0][1])
    return Way(
        compiled, start, made, split, jax.jit(lambda p: jax.tree.map(lambda x: x.mean(0), p))
    )


def ways() -> dict[str, Way]:
    fsdp = spread(initial(), "data", COPIED, jax.make_mesh((8, 1), ("data", "model")))
    local = diloco(gx.adam(1e-3), gx.sgd(0.7, momentum=0.5, nesterov=True), every=EVERY)
    return {
        "data-parallel": sharded_way((8, 1), COPIED),
        "ZeRO-1": sharded_way((8, 1), COPIED, "data"),
        "FSDP": sharded_way((8, 1), fsdp),
        "tensor x data, ZeRO-1": sharded_way((2, 4), MODEL, "data"),
        "int8 exchange": replicated_way(gx.chain(int8_mean_over("replica"), gx.adam(1e-3))),
        "sign exchange": replicated_way(gx.chain(sign_mean_over("replica"), gx.adam(1e-3))),
        f"DiLoCo, H = {EVERY}": replicated_way(local, DilocoState.layout(0, None)),
    }


def train(way: Way, data, steps: int) -> list[tuple[int, float]]:
    """Return (step, test accuracy) along the run."""
    params, state = way.start
    evaluate = jax.jit(lambda p: accuracy(network(p, data.test.images), data.test.labels))
    rng, curve = np.random.default_rng(0), []
    images = data.train.images.reshape(-1, 64)
    for t in range(1, steps + 1):
        chosen = rng.integers(0, len(images), BATCH)
        batch = way.place((images[chosen], data.train.labels[chosen]))
        params, state = way.step(params, state, *batch)
        if t % max(1, steps // 20) == 0:
            whole = jax.device_put(way.params(params), jax.devices()[0])
            curve.append((t, float(evaluate(whole))))
    return curve


def per_step(way: Way, name: str) -> tuple[float, float]:
    """Bytes sent by a device per step, on average: planned, and read off the compiled step."""
    share = 1 / EVERY if name.startswith("DiLoCo") else 1.0

    def weighted(found):
        return sum(c.sent * (share if c.where == "branch" else 1.0) for c in found)

    return (
        weighted((*way.plan.exchange, *way.plan.update)),
        weighted(collectives(way.step)),
    )


def draw(rows, curves, out: Path) -> None:
    """Three panels: held, sent, and accuracy against what was sent."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    styles = plot.line_styles(rows)
    figure, (held, sent, learnt) = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    names = list(rows)[::-1]
    params = [rows[n]["params"] / 1e6 for n in names]
    state = [rows[n]["state"] / 1e6 for n in names]
    held.barh(names, params, color="#0072b2", label="parameters")
    held.barh(names, state, left=params, color="#e69f00", label="state")
    held.set(xlabel="MB on each device", title="held")
    below = {"frameon": False, "loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "ncols": 2}
    held.legend(**below)
    sent.barh(names, [rows[n]["planned"] / 1e3 for n in names], color="#b9c6d3", label="planned")
    sent.plot(
        [rows[n]["read"] / 1e3 for n in names], names, "k|", ms=16, mew=2, label="in the program"
    )
    sent.set(xlabel="kB sent by each device per step", xscale="log", title="sent")
    sent.tick_params(axis="y", labelleft=False)
    sent.legend(**below)
    for name, curve in curves.items():
        t, value = np.array(curve).T
        learnt.plot(t * rows[name]["read"] / 1e6, 100 * value, **styles[name].line(), label=name)
    learnt.set(
        xlabel="MB sent by each device so far", xscale="log", ylabel="test accuracy, %",
        title="learnt",
    )  # fmt: skip
    learnt.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for axes in (held, sent, learnt):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out / "many_devices.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path())
    arguments = parser.parse_args()
    steps, data = 20 if arguments.quick else 400, load()

    rows, curves = {}, {}
    print(f"{'':24s} {'params':>9s} {'state':>9s}   {'planned':>9s} {'compiled':>9s}   accuracy")
    print(f"{'':24s} {'MB on a device':>19s}   {'kB sent per step':>19s}")
    for name, way in ways().items():
        planned, read = per_step(way, name)
        curve = train(way, data, steps)
        rows[name] = {
            "params": way.plan.params_bytes,
            "state": way.plan.state_bytes,
            "planned": planned,
            "read": read,
        }
        curves[name] = curve
        print(
            f"{name:24s} {way.plan.params_bytes / 1e6:9.2f} {way.plan.state_bytes / 1e6:9.2f}   "
            f"{planned / 1e3:9.1f} {read / 1e3:9.1f}   {curve[-1][1]:.3f}"
        )
        # The plan leaves out the activations of a model that is split itself.
        assert planned == read or "tensor" in name
    copies = {n: c for n, c in curves.items() if n in ("data-parallel", "ZeRO-1", "FSDP")}
    assert np.ptp([c[-1][1] for c in copies.values()]) < 0.01
    draw(rows, curves, arguments.out)
    print(f"\nthe plan is what the compiled programs send; {arguments.out / 'many_devices.png'}")


if __name__ == "__main__":
    main()
