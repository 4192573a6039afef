"""Train a small GPT on the source of Python's standard library, as one would at work.

python examples/gpt.py             four minutes or so on two cores; kill it when you like. The end
                                   is a report with figures, as that of demo.py
python examples/gpt.py --resume    go on from the last checkpoint, as if nothing had happened
python examples/gpt.py --quick     a few steps of everything, to see that it works
"""

import argparse
import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from gpt_parts import pictures
from gpt_parts.model import GPT
from gpt_parts.table import Table
from gpt_parts.text import VOCABULARY, Corpus, batch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import gradtx as gx

SEED = 0
MEASURED = ("learning_rate", "grad_norm", "update_ratio", "clip_scale", "skipped_steps")


class Settings(NamedTuple):
    """Sizes of the run. A step is made of `accumulate` batches."""

    steps: int = 700
    batch: int = 8
    accumulate: int = 2
    peak: float = 3e-3
    report: int = 10  # steps from one row of the CSV to the next
    judge: int = 50  # steps from one validation and checkpoint to the next


QUICK = Settings(steps=6, batch=2, report=1, judge=2)


def optimizer(s: Settings) -> gx.GradientTransformation:
    """AdamW in two groups, clipped, guarded, accumulated, averaged and measured."""
    rate = gx.warmup_stable_decay_schedule(
        init_value=0.0,
        peak_value=s.peak,
        warmup_steps=max(1, s.steps // 20),
        stable_steps=s.steps * 3 // 4 - s.steps // 20,
        decay_steps=s.steps // 4,
    )
    adamw = functools.partial(gx.adamw, rate, b2=0.95)
    groups = gx.groups(
        ("resting", gx.norms_biases_embeddings, adamw(weight_decay=0.0)),
        ("matrices", "*", adamw(weight_decay=0.1)),
    )
    tx = gx.chain(gx.clip_by_global_norm(1.0), groups)
    tx = gx.guard(tx, spikes=gx.spikes(window=64, sigma=6.0), give_up_after=10)
    tx = gx.with_metrics(tx, *MEASURED)
    return gx.with_ema(gx.accumulate(tx, s.accumulate), 0.98)


class Run(NamedTuple):
    """What changes while training, and what a checkpoint holds."""

    params: Any
    state: Any
    step: jax.Array


def main() -> None:
    """Train, with a row of the CSV now and then, and draw what happened."""
    options = _options()
    s, console = QUICK if options.quick else Settings(), Console()
    corpus = Corpus.load()
    model, tx = GPT(VOCABULARY), optimizer(s)
    params = model.init(jax.random.key(SEED))
    run = Run(params, tx.init(params), jnp.zeros([], jnp.int32))
    console.print(tx.explain(params), highlight=False, soft_wrap=True)

    # The old parameters and state make room for the new.
    @functools.partial(jax.jit, donate_argnums=0)
    def train_step(run: Run, windows: jax.Array) -> tuple[Run, jax.Array]:
        params, state = run.params, run.state
        total = jnp.zeros([])
        for micro in windows:
            value, grads = jax.value_and_grad(model.loss)(params, micro)
            params, state = tx.step(grads, state, params, value=value)
            total += value
        return Run(params, state, run.step + 1), total / len(windows)

    @jax.jit
    def judge(run: Run, windows: jax.Array) -> jax.Array:
        return model.loss(tx.eval_params(run.state, run.params), windows)

    def windows(step: int) -> jax.Array:
        """The batches of a step follow from its number: nothing of the data is to be saved."""
        drawn = batch(corpus.train, s.accumulate * s.batch, model.length, SEED, step)
        return drawn.reshape(s.accumulate, s.batch, -1)

    folder = options.out.resolve()
    keep = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
    checkpoints = ocp.CheckpointManager(folder / "checkpoints", options=keep)
    if options.resume and (latest := checkpoints.latest_step()) is not None:
        run = checkpoints.restore(latest, args=ocp.args.StandardRestore(run))
        console.print(f"Going on after step {latest}.")
    elif checkpoints.latest_step() is not None:
        raise SystemExit(f"{folder} has a run in it: give --resume, or another --out.")

    held_out = batch(corpus.validation, 8 * s.batch, model.length, SEED)
    columns = ("step", "loss", "held_out", *gx.metrics(run.state))
    table = Table(folder / "metrics.csv", columns, until=int(run.step))
    shown = (
        TextColumn("loss {task.fields[loss]:.3f}  held out {task.fields[held_out]:.3f}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    nothing_yet = {"loss": jnp.nan, "held_out": jnp.nan}
    with Progress(*shown, console=console) as bar:
        task = bar.add_task("", total=s.steps, completed=int(run.step), **nothing_yet)
        losses: list[jax.Array] = []
        for step in range(int(run.step) + 1, s.steps + 1):
            run, loss = train_step(run, windows(step))
            losses.append(loss)
            bar.advance(task)
            if step % s.report == 0:
                mean = float(jnp.mean(jnp.stack(losses[-s.report :])))
                table.add(step=step, loss=mean, **jax.device_get(gx.metrics(run.state)))
                bar.update(task, loss=mean)
            if step % s.judge == 0 or step == s.steps:
                score = float(judge(run, held_out))
                table.add(step=step, held_out=score)
                bar.update(task, held_out=score)
                checkpoints.save(step, args=ocp.args.StandardSave(run))

    best = tx.eval_params(run.state, run.params)
    written = model.write(best, b"def ", 300, jax.random.key(SEED))
    console.rule("what it writes")
    console.print(written, markup=False)
    console.rule()
    steps = f"{s.steps} of {s.accumulate} x {s.batch} windows"
    about = {"steps": steps, "optimizer": tx, "what it writes": written}
    console.print(f"Figures and numbers: {pictures.write(folder, about)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it works")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--out", type=Path, default=Path("gpt_run"), help="folder to write to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
