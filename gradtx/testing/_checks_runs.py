"""Checks that the ways of running a transformation agree: eager, jit, scan, vmap, sharded."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ._compare import close, describe, is_key, require, same_kind, with_paths
from ._subject import Subject, copied, lane, stacked
from ._trees import gradients_like


def jit(subject: Subject) -> None:
    """One trace serves all steps, and they agree with the eager ones."""
    state = copied(subject.start)
    for t, (g, want) in enumerate(zip(subject.gradients, subject.eager, strict=True), 1):
        got = subject.jitted(copied(subject.params), state, g)
        close(got.updates, want.updates, f"step {t}: the update under jit", subject.tolerance)
        state = got.state
        same_kind(state, subject.start, f"step {t}: the state under jit")
    close(state, subject.eager[-1].state, "the state under jit", subject.tolerance)
    require(
        subject.traces == 1,
        f"{len(subject.gradients)} steps must share one trace, but took {subject.traces}.",
    )


def _scanned(subject: Subject, params: Any, gradients: Any) -> tuple[Any, Any]:
    def step(state, g):
        updates, state = subject.update(g, state, params)
        return state, updates

    return jax.lax.scan(step, subject.tx.init(params), gradients)


def scan(subject: Subject) -> None:
    """Init and `lax.scan` over the steps, in one jit."""
    subject = subject.small
    gradients = stacked(*subject.gradients)
    state, updates = jax.jit(lambda p, g: _scanned(subject, p, g))(subject.params, gradients)
    for t, want in enumerate(subject.eager):
        close(
            lane(updates, t), want.updates, f"step {t + 1}: the update in scan", subject.tolerance
        )
    close(state, subject.eager[-1].state, "the state after scan", subject.tolerance)


def vmap(subject: Subject) -> None:
    """Two copies with other parameters and gradients side by side."""
    subject = subject.small
    other_params = jax.tree.map(lambda p: p / jnp.asarray(2, p.dtype), subject.params)
    other_gradients = [gradients_like(subject.params, 10 + t) for t in range(2)]
    lanes = [subject.eager[:2], subject.run(other_params, other_gradients)]
    state, updates = jax.jit(jax.vmap(lambda p, g: _scanned(subject, p, g)))(
        stacked(subject.params, other_params),
        stacked(stacked(*subject.gradients[:2]), stacked(*other_gradients)),
    )
    for i, steps in enumerate(lanes):
        for t, want in enumerate(steps):
            what = f"copy {i + 1}, step {t + 1}: the update under vmap"
            close(lane(lane(updates, i), t), want.updates, what, subject.tolerance)
        what = f"copy {i + 1}: the state under vmap"
        close(lane(state, i), steps[-1].state, what, subject.tolerance)


def sharding(subject: Subject) -> None:
    """Sharded parameters give the same numbers, and state shaped like them is sharded so."""
    devices = jax.device_count()
    if devices < 2:
        return
    shape = (2, devices // 2) if devices % 2 == 0 else (1, devices)
    mesh = jax.make_mesh(shape, ("data", "model"), axis_types=(AxisType.Explicit,) * 2)
    specs = {"both": PartitionSpec("data", "model"), "columns": PartitionSpec(None, "model")}
    shardings = {name: NamedSharding(mesh, spec) for name, spec in specs.items()}
    values = jnp.linspace(-1, 1, 2 * shape[1]).reshape(2, shape[1])
    one = Subject(subject.tx, dict.fromkeys(specs, values), subject.given, subject.tolerance)
    with jax.set_mesh(mesh):
        params = jax.device_put(one.params, shardings)
        many = Subject(subject.tx, params, subject.given, subject.tolerance)
        state = jax.jit(many.tx.init)(params)
        _sharded_like_params(state, values.shape, specs, "after init")
        for t, (g, want) in enumerate(zip(one.gradients, one.eager, strict=True), 1):
            got = many.jitted(copied(params), state, jax.device_put(g, shardings))
            state = got.state
            close(got.updates, want.updates, f"step {t}: the update, sharded", subject.tolerance)
            for name, update in got.updates.items():
                _require_spec(f"the update of {name} after step {t}", update, specs[name])
            _sharded_like_params(state, values.shape, specs, f"after step {t}")
        close(state, one.eager[-1].state, "the state, sharded", subject.tolerance)


def _sharded_like_params(state: Any, shape: tuple, specs: dict, when: str) -> None:
    for path, leaf in with_paths(state):
        for name, spec in specs.items():
            fits = path.endswith(f"['{name}']") and np.shape(leaf) == shape
            if fits and not is_key(leaf):
                _require_spec(f"the state at {path} {when}", leaf, spec)


def _require_spec(what: str, leaf: Any, spec: PartitionSpec) -> None:
    got = jax.typeof(leaf).sharding.spec
    require(
        tuple(got) == tuple(spec),
        f"{what}, {describe(leaf)}, must be sharded like its parameter, {spec}, but is {got}.",
    )
