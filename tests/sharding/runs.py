"""Twenty optimizers, the ways of placing them on eight devices, and one run of prescribed steps."""

import collections
import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx.sharding import Collective, spread

OPTIMIZERS = {
    "sgd": lambda: gx.sgd(0.1, momentum=0.9, nesterov=True),
    "adam, clipped": lambda: gx.chain(gx.clip_by_global_norm(1.0), gx.adam(0.1)),
    "adamw": lambda: gx.adamw(0.1),
    "nadam": lambda: gx.nadam(0.1),
    "amsgrad": lambda: gx.amsgrad(0.1),
    "adamax": lambda: gx.adamax(0.1),
    "adagrad": lambda: gx.adagrad(0.1),
    "adadelta": lambda: gx.adadelta(0.1),
    "rmsprop": lambda: gx.rmsprop(0.1, centered=True, momentum=0.9),
    "adabelief": lambda: gx.adabelief(0.1),
    "adan": lambda: gx.adan(0.1),
    "radam": lambda: gx.radam(0.1),
    "yogi": lambda: gx.yogi(0.1),
    "lion": lambda: gx.lion(0.1),
    "adafactor": lambda: gx.adafactor(0.1, min_dim_size_to_factor=2),
    "sm3": lambda: gx.sm3(0.1),
    "lamb": lambda: gx.lamb(0.1),
    "lars": lambda: gx.lars(0.1),
    "novograd": lambda: gx.novograd(0.1),
    "fromage": lambda: gx.fromage(0.1),
    "optimistic": lambda: gx.optimistic_gradient_descent(0.1),
    "agc, noisy": lambda: gx.chain(gx.adaptive_grad_clip(0.1), gx.add_noise(0.1, 0.5, key=3)),
}

SHAPES = {"columns": (8, 16), "rows": (16, 8), "bias": (16,), "odd": (3,), "scalar": ()}
COPIED = dict.fromkeys(SHAPES, P())
MODEL = COPIED | {"columns": P(None, "model"), "rows": P("model"), "bias": P("model")}


class Mode(NamedTuple):
    """How parameters and state lie on a mesh."""

    mesh: tuple[int, int]
    specs: dict[str, P]
    spread: str | None = None
    fsdp: bool = False

    def param_specs(self, mesh):
        """Return the PartitionSpecs of the parameters."""
        shapes = {name: jax.ShapeDtypeStruct(s, jnp.float32) for name, s in SHAPES.items()}
        return spread(shapes, "data", self.specs, mesh) if self.fsdp else self.specs


MODES = {
    "zero 8 x 1": Mode((8, 1), COPIED, spread="data"),
    "fsdp 8 x 1": Mode((8, 1), COPIED, fsdp=True),
    "tensor 2 x 4": Mode((2, 4), MODEL),
    "tensor and zero 2 x 4": Mode((2, 4), MODEL, spread="data"),
    "tensor and fsdp 2 x 4": Mode((2, 4), MODEL, fsdp=True),
}


def arrays(seed: int, dtype: Any) -> dict[str, np.ndarray]:
    """Return a tree of normal numbers."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


@functools.lru_cache(maxsize=64)
def on_one_device(name: str, dtype: str, steps: int) -> dict[str, np.ndarray]:
    """Return the parameters after the prescribed steps on one device."""
    tx = OPTIMIZERS[name]()
    params = jax.tree.map(jnp.asarray, arrays(0, dtype))
    state, step = tx.init(params), jax.jit(tx.step)
    for t in range(steps):
        params, state = step(arrays(t + 1, dtype), state, params)
    return jax.tree.map(np.asarray, params)


def placed(tree: Any, specs: Any, mesh: Any) -> Any:
    """Return a tree of arrays on the devices where the specs say."""
    return jax.device_put(tree, jax.tree.map(lambda s: NamedSharding(mesh, s), specs))


def farthest(tree: Any, other: Any) -> float:
    """Return the largest difference between two trees of arrays."""
    pairs = zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True)
    return max(float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for a, b in pairs)


def tally(found: Iterable[Collective]) -> dict[tuple[str, int, str], int]:
    """Return the bytes by kind, number of devices and place in the program."""
    sums: collections.Counter[tuple[str, int, str]] = collections.Counter()
    for c in found:
        sums[c.kind, c.devices, c.where] += c.bytes * c.count
    return dict(sums)
