"""Measuring side by side: medians of interleaved runs, temporaries, lowerings."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def gpt_shapes(width: int = 512, layers: int = 8, vocabulary: int = 50257) -> dict[str, Any]:
    """Shapes of a GPT-2-like model; 51 million parameters by default."""
    block = {
        "ln_1": (width,),
        "attention_in": (width, 3 * width),
        "attention_in_bias": (3 * width,),
        "attention_out": (width, width),
        "attention_out_bias": (width,),
        "ln_2": (width,),
        "mlp_in": (width, 4 * width),
        "mlp_in_bias": (4 * width,),
        "mlp_out": (4 * width, width),
        "mlp_out_bias": (width,),
    }
    blocks = {f"block_{i}": dict(block) for i in range(layers)}
    return {"tokens": (vocabulary, width), "positions": (1024, width), **blocks}


def many_shapes(leaves: int = 1000) -> dict[str, Any]:
    """Small arrays of 12 different shapes."""
    kinds = [(64, 64), (64,), (32, 64), (128,), (16, 16), (8,), (4, 4), (256,), (2, 2, 2), (3,)]
    kinds += [(5, 5), (7,)]
    return {f"leaf_{i:04d}": kinds[i % len(kinds)] for i in range(leaves)}


def filled(shapes: Any, dtype: Any, value: float = 0.01) -> Any:
    """A tree of arrays of these shapes."""
    return jax.tree.map(
        lambda shape: jnp.full(shape, value, dtype), shapes, is_leaf=lambda x: type(x) is tuple
    )


def count_params(shapes: Any) -> int:
    """The number of parameters."""
    return sum(int(np.prod(s)) for s in jax.tree.leaves(shapes, is_leaf=lambda x: type(x) is tuple))


def interleaved(runs: dict[str, Callable[[], Any]], rounds: int = 7) -> dict[str, float]:
    """Median seconds of each function, run in turns so that all meet the same noise."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        jax.block_until_ready(run())
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


class CompiledStep:
    """One optimizer step, compiled ahead of time with parameters and state donated."""

    def __init__(self, tx: Any, apply: Callable, params: Any, grads: Any, traced: Any = None):
        """Compile it; `traced(x)`, if given, makes the transformation of a traced number."""
        self.params, self.grads = params, grads
        self.state = jax.jit(tx.init)(params)

        def step(params, state, grads, number):
            current = tx if traced is None else traced(number)
            updates, state = current.update(grads, state, params)
            return apply(params, updates), state

        jitted = jax.jit(step, donate_argnums=(0, 1))
        self.compiled = jitted.lower(params, self.state, grads, 1.0).compile()

    @property
    def temporary_megabytes(self) -> float:
        """Memory that the step needs beside its arguments and results."""
        return self.compiled.memory_analysis().temp_size_in_bytes / 1e6

    def __call__(self) -> Any:
        self.params, self.state = self.compiled(self.params, self.state, self.grads, 1.0)
        return self.params


@contextlib.contextmanager
def counted_lowerings() -> Iterator[list[str]]:
    """The events of tracing and compiling that happen inside the block."""
    events: list[str] = []

    def listen(event: str, duration: float, **_: Any) -> None:
        del duration
        if "jaxpr_to_mlir" in event or "backend_compile" in event:
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield events
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
