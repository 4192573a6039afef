"""What metrics cost beside the bare step: bytes read and written, temporaries, time; one table.

    python benchmarks/metrics.py [--out FILE] [--layers N] [--rounds N]

Parameters and state are donated. Bytes are XLA's estimate, in arrays as large as all parameters:
the step of adamw itself reads and writes 10 of them on CPU, and one norm needs at least one more.
"""

import argparse
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from measure import count_params, filled, gpt_shapes, interleaved
from tqdm import tqdm

import gradtx as gx

NORMS = ("grad_norm", "update_norm", "param_norm")
ASKED = {
    "learning_rate": ("learning_rate",),
    "grad_norm": ("grad_norm",),
    "update_norm": ("update_norm",),
    "param_norm": ("param_norm",),
    "update_ratio": ("update_ratio",),
    "nonfinite_leaves": ("nonfinite_leaves",),
    "the three norms": NORMS,
    "all": (
        *("learning_rate", "update_ratio", "skipped_steps", "nonfinite_leaves"),
        *NORMS,
    ),
}
OPTIMIZERS = {
    "adamw": lambda: gx.adamw(1e-3),
    "clip and adamw": lambda: gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(1e-3)),
    "clip and adamw, guarded": lambda: gx.guard(
        gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(1e-3))
    ),
}


class Running:
    """A compiled step that keeps its parameters and state."""

    def __init__(self, tx: Any, params: Any, by_step: bool):
        """Compile it for parameters, which are copied, and gradients like them."""

        def step(params, state, grads):
            if by_step:
                return tx.step(grads, state, params)
            updates, state = tx.update(grads, state, params)
            return gx.apply_updates(params, updates), state

        self.params, self.state, self.grads = (
            jax.tree.map(jnp.copy, params),
            tx.init(params),
            params,
        )
        jitted = jax.jit(step, donate_argnums=(0, 1))
        self.compiled = jitted.lower(params, self.state, params).compile()
        one = 4 * sum(p.size for p in jax.tree.leaves(params))
        self.traffic = self.compiled.cost_analysis()["bytes accessed"] / one
        self.temporary = self.compiled.memory_analysis().temp_size_in_bytes / one

    def __call__(self) -> Any:
        self.params, self.state = self.compiled(self.params, self.state, self.grads)
        return self.params, self.state


def rows(shapes: Any, rounds: int) -> Iterator[tuple[str, ...]]:
    """The cells of the table."""
    params = filled(shapes, jnp.float32)
    for optimizer, make in OPTIMIZERS.items():
        for by_step, call in ((False, "update"), (True, "step")):
            runs = {"bare": Running(make(), params, by_step)}
            for what, names in ASKED.items():
                runs[what] = Running(gx.with_metrics(make(), *names), params, by_step)
            times, bare = interleaved(dict(runs), rounds), runs["bare"]
            for what in ASKED:
                yield (
                    f"{optimizer}, {call}: {what}",
                    f"{bare.traffic:.2f} + {runs[what].traffic - bare.traffic:.2f}",
                    f"{bare.temporary:.2f} + {runs[what].temporary - bare.temporary:.2f}",
                    f"{1e3 * times[what]:.0f} ms ({times[what] / times['bare']:.2f})",
                )


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, help="also write the table to this file")
    parser.add_argument("--layers", type=int, default=3, help="layers of the tree")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved runs")
    arguments = parser.parse_args()
    shapes = gpt_shapes(width=256, layers=arguments.layers)
    table = list(tqdm(rows(shapes, arguments.rounds), desc="measuring", unit=" rows", leave=False))
    device = jax.devices()[0]
    text = "\n".join(
        [
            f"Device: {device.device_kind} ({device.platform}), jax {jax.__version__}; the tree "
            f"has {count_params(shapes) / 1e6:.1f} million parameters in float32. Bytes and "
            "temporaries are in such trees.",
            "",
            "| | bytes, bare + metrics | temporaries | time (to bare) |",
            "|---|---|---|---|",
            *(f"| {' | '.join(row)} |" for row in table),
        ]
    )
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
