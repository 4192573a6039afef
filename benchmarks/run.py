"""gradtx beside Optax and PyTorch: one command, one table.

    python benchmarks/run.py [--out FILE] [--layers N] [--rounds N] [--without-torch]

Times are medians of interleaved runs in one process. Read the ratios: the machine's noise is in
both columns. Bytes, counts and ratios of them are deterministic.
"""

import argparse
import os
import pathlib
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from measure import (
    CompiledStep,
    count_params,
    counted_lowerings,
    filled,
    gpt_shapes,
    interleaved,
    many_shapes,
)
from tqdm import tqdm

import gradtx as gx


class Row(NamedTuple):
    """One line of the table."""

    what: str
    ours: str
    optax: str
    ratio: str
    torch: str = ""


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"


def _times(what: str, times: dict[str, float], memory: str = "") -> Row:
    torch = _milliseconds(times["torch"]) if "torch" in times else ""
    ratio = f"Optax / gradtx {times['optax'] / times['gradtx']:.2f}"
    if "torch" in times:
        ratio += f", torch / gradtx {times['torch'] / times['gradtx']:.2f}"
    ours, theirs = _milliseconds(times["gradtx"]), _milliseconds(times["optax"])
    return Row(what + memory, ours, theirs, ratio, torch)


def step_rows(shapes: Any, rounds: int, torch_step: Callable | None) -> Iterator[Row]:
    """Time and temporaries of compiled steps, parameters and state donated."""
    f32, bf16 = jnp.float32, jnp.bfloat16
    clipped = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(1e-3))
    clipped_optax = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))
    small_state = gx.with_state_dtype(gx.adamw(1e-3), mu="bfloat16", nu="bfloat16")
    cases = [
        ("clip_by_global_norm + adamw, float32", clipped, clipped_optax, f32, f32),
        ("clip_by_global_norm + adamw, bfloat16 gradients", clipped, clipped_optax, f32, bf16),
        ("adamw, float32", gx.adamw(1e-3), optax.adamw(1e-3), f32, f32),
        ("adamw, bfloat16 params, float32 moments", gx.adamw(1e-3), optax.adamw(1e-3), bf16, bf16),
        ("adamw, bfloat16 params and moments", small_state, optax.adamw(1e-3), bf16, bf16),
    ]
    for what, ours, theirs, params_dtype, grads_dtype in cases:
        grads = filled(shapes, grads_dtype)
        steps = {
            "gradtx": CompiledStep(ours, gx.apply_updates, filled(shapes, params_dtype), grads),
            "optax": CompiledStep(theirs, optax.apply_updates, filled(shapes, params_dtype), grads),
        }
        runs: dict[str, Callable] = dict(steps)
        if what == "adamw, float32" and torch_step is not None:
            runs["torch"] = torch_step
        yield _times(what, interleaved(runs, rounds))
        ours_mb, theirs_mb = (steps[k].temporary_megabytes for k in ("gradtx", "optax"))
        yield Row(f"{what}: temporaries", f"{ours_mb:.2f} MB", f"{theirs_mb:.2f} MB", "")
    yield from traced_norm_rows(shapes)


def traced_norm_rows(shapes: Any) -> Iterator[Row]:
    """Temporaries when the norm to clip to is itself a traced number."""

    def ours(norm):
        return gx.chain(gx.clip_by_global_norm(norm), gx.adamw(1e-3))

    def theirs(norm):
        return optax.chain(optax.clip_by_global_norm(norm), optax.adamw(1e-3))

    for dtype in (jnp.float32, jnp.bfloat16):
        params, grads = filled(shapes, jnp.float32), filled(shapes, dtype)
        mine = CompiledStep(ours(1.0), gx.apply_updates, params, grads, ours)
        other = CompiledStep(theirs(1.0), optax.apply_updates, params, grads, theirs)
        yield Row(
            f"clip to a traced norm + adamw, {jnp.dtype(dtype).name} gradients: temporaries",
            f"{mine.temporary_megabytes:.2f} MB",
            f"{other.temporary_megabytes:.2f} MB",
            "",
        )


def torch_adamw(shapes: Any) -> Callable | None:
    """One step of torch.optim.AdamW on the same tree, or None without torch."""
    try:
        import torch
    except ImportError:
        return None
    sizes = jax.tree.leaves(shapes, is_leaf=lambda x: type(x) is tuple)
    params = [torch.nn.Parameter(torch.full(size, 0.01)) for size in sizes]
    for p in params:
        p.grad = torch.full_like(p, 0.01)
    optimizer = torch.optim.AdamW(params, lr=1e-3)

    def step() -> None:
        optimizer.step()

    return step


def tracing_rows(rounds: int) -> Iterator[Row]:
    """Trace + lower, and steps without jit, on a tree of 1000 leaves."""
    shapes = many_shapes()
    params = filled(shapes, jnp.float32)
    makers = {
        "gradtx": lambda: gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(1e-3)),
        "optax": lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3)),
    }

    def lowering(make):
        def run():
            jax.clear_caches()
            tx = make()
            state = jax.eval_shape(tx.init, params)
            start = time.perf_counter()
            jax.jit(tx.update).lower(params, state, params)
            return time.perf_counter() - start

        return run

    seconds: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(rounds):
        for name, make in makers.items():
            seconds[name].append(lowering(make)())
    medians = {name: sorted(values)[len(values) // 2] for name, values in seconds.items()}
    yield _times("trace + lower, clip + adamw, 1000 leaves", medians)

    def eager(tx):
        state = tx.init(params)
        return lambda: tx.update(params, state, params)

    runs = {"gradtx": eager(gx.adamw(1e-3)), "optax": eager(optax.adamw(1e-3))}
    yield _times("update without jit, adamw, 1000 leaves", interleaved(runs, rounds))

    counts = {}
    for name, module in (("gradtx", gx), ("optax", optax)):
        warm = module.adamw(1e-3)
        warm.update(params, warm.init(params), params)
        with counted_lowerings() as events:
            other = module.adamw(2e-3, b1=0.8, b2=0.99, eps=1e-6, weight_decay=0.1)
            other.update(params, other.init(params), params)
        counts[name] = str(len(events))
    yield Row("lowerings of a second instance without jit", counts["gradtx"], counts["optax"], "")


def import_row(rounds: int) -> Row:
    """What `import gradtx` adds to `import jax`."""

    def run(module):
        command = [sys.executable, "-c", f"import {module}"]
        # The first run writes the bytecode that the others, like any installed package, use.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return lambda: subprocess.run(command, check=True, env=environment)

    times = interleaved({"jax": run("jax"), "gradtx": run("gradtx"), "optax": run("optax")}, rounds)
    extra = 100 * (times["gradtx"] / times["jax"] - 1)
    ours, theirs = _milliseconds(times["gradtx"]), _milliseconds(times["optax"])
    return Row("import", ours, theirs, f"gradtx adds {extra:.0f} % to `import jax`")


def table(rows: list[Row], shapes: Any) -> str:
    """The rows as a Markdown table under a line that says what was measured on what."""
    device = jax.devices()[0]
    lines = [
        f"Device: {device.device_kind} ({device.platform}), Python {platform.python_version()}, "
        f"jax {jax.__version__}, optax {optax.__version__}; the large tree has "
        f"{count_params(shapes) / 1e6:.1f} million parameters.",
        "",
        "| | gradtx | Optax | ratio | torch |",
        "|---|---|---|---|---|",
    ]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, help="also write the table to this file")
    parser.add_argument("--layers", type=int, default=8, help="layers of the large tree")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved runs, at least 5")
    parser.add_argument("--without-torch", action="store_true")
    arguments = parser.parse_args()
    shapes = gpt_shapes(layers=arguments.layers)
    torch_step = None if arguments.without_torch else torch_adamw(shapes)
    rounds = max(5, arguments.rounds)

    def measured() -> Iterator[Row]:
        yield import_row(rounds)
        yield from tracing_rows(rounds)
        yield from step_rows(shapes, rounds, torch_step)

    rows = list(tqdm(measured(), desc="measuring", unit=" rows", leave=False))
    text = table(rows, shapes)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
