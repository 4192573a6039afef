"""Condition numbers: what they do to an optimizer, what makes them better, and how to measure them.

Three experiments with a picture each, and the five largest eigenvalues of the Hessian of a network
of a million parameters:

    python examples/conditioning.py [--quick] [--out FOLDER]
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from conditioning_parts import pictures
from demo_parts.data import load
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import gradtx as gx
from gradtx import curvature
from gradtx.testing import problems

KAPPA, DIMENSION = 400.0, 20
WIDTH = 960  # two hidden layers of this width on 64 pixels: a million parameters
ADAM_RATES = (1.0, 0.3, 0.1, 0.03, 0.01)


# --- 1. the rate at which an optimizer converges ----------------------------------------------


def descend(tx, function, start, optimum, steps):
    """The distance to the minimum, step by step."""

    def step(carry, _):
        w, state = carry
        w, state = tx.step(jax.grad(function)(w), state, w)
        return (w, state), jnp.linalg.norm(w - optimum)

    run = jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), length=steps)[1])
    return np.concatenate([[np.linalg.norm(start - optimum)], run(start)])


def rate(distances):
    """The factor by which the distance shrinks in a step, from what is above rounding."""
    seen = np.flatnonzero(distances > 1e-11 * distances[0])[-1]
    return float((distances[seen] / distances[seen // 2]) ** (1.0 / (seen - seen // 2)))


def rates(steps):
    """Gradient descent, momentum and Adam on two quadratics of one spectrum."""
    print(f"1. A quadratic of {DIMENSION} variables with curvatures from 1 to {KAPPA:g}\n")
    panels, measured = {}, {}
    for title, seed in (("valley along the axes", None), ("turned valley", 1)):
        problem = problems.quadratic(KAPPA, DIMENSION, seed)
        start, optimum = jnp.asarray(problem.start), jnp.asarray(problem.minimum.point)
        hessian = curvature.hessian(problem.function, start)
        found = curvature.condition_number(hessian, tolerance=1e-6)
        assert found.value is not None and abs(found.value - KAPPA) < 1e-3
        high, low, root = found.largest, found.smallest, np.sqrt(found.value)
        optimizers = {
            "gradient descent": gx.sgd(2 / (high + low)),
            "momentum": gx.sgd(4 / (high**0.5 + low**0.5) ** 2, ((root - 1) / (root + 1)) ** 2),
        }
        curves = {
            name: descend(tx, problem.function, start, optimum, steps)
            for name, tx in optimizers.items()
        }
        tried = [descend(gx.adam(lr), problem.function, start, optimum, steps) for lr in ADAM_RATES]
        curves["Adam"] = min(tried, key=lambda distances: distances[-1])
        panels[title] = curves
        measured = {name: rate(curves[name]) for name in optimizers}
        print(found, f"\n\n{title:24s}      factor a step    theory")
        theory = {
            "gradient descent": ((KAPPA - 1) / (KAPPA + 1), "(kappa - 1) / (kappa + 1)"),
            "momentum": ((root - 1) / (root + 1), "(sqrt kappa - 1) / (sqrt kappa + 1)"),
        }
        for name, (value, formula) in theory.items():
            print(f"{name:24s} {measured[name]:18.5f} {value:9.5f}  {formula}")
            assert abs(measured[name] - value) < (0.002 if name == "gradient descent" else 0.03)
        print(f"{'Adam, distance left':24s} {curves['Adam'][-1] / curves['Adam'][0]:18.1e}\n")
    foretold = {name: value for name, (value, _) in theory.items()}
    return pictures.rates(panels, measured, foretold, KAPPA)


# --- 2. the data ------------------------------------------------------------------------------


def preparations(x):
    """The inputs as they come, centred, standardised, and whitened."""
    centred = x - x.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(x))
    return {
        "as they come": x,
        "centred": centred,
        "standardised": centred / centred.std(axis=0),
        "whitened": (centred @ axes) / np.sqrt(variances),
    }


def squared_error(params, x, targets):
    outputs = x @ params["w"] + params["b"]
    return 0.5 * jnp.mean(jnp.sum((outputs - targets) ** 2, axis=-1))


def data(steps):
    """Linear regression on the digits: what is done to the inputs decides on the number."""
    train = load().train
    x = train.images.reshape(-1, 64).astype(float)
    targets = np.eye(10)[train.labels]

    def operator(x):
        params = {"w": np.zeros((x.shape[1], 10)), "b": np.zeros(10)}
        return curvature.hessian(squared_error, params, x, targets)

    whole = curvature.condition_number(operator(x))
    print(f"2. Linear regression on {len(x)} digits, 64 pixels\n\nall pixels\n{whole}\n")
    assert whole.verdict == "singular"  # the corners are black in every image: no curvature
    print(f"damped by 0.01\n{curvature.condition_number(operator(x).damped(0.01))}\n")

    x = x[:, (x > 0).mean(axis=0) > 0.01]
    print(f"the {x.shape[1]} pixels that are not black in 1 % of the images or more\n")
    print(f"{'inputs':16s}{'kappa':>12s}{'steps to 1 % of the loss above the minimum':>46s}")
    ones = np.column_stack([x, np.ones(len(x))])
    best = targets - ones @ np.linalg.lstsq(ones, targets, rcond=None)[0]
    minimum = 0.5 * np.mean(np.sum(best**2, axis=-1))
    curves, numbers = {}, {}
    for name, inputs in preparations(x).items():
        found = curvature.condition_number(operator(inputs))
        assert found.verdict == "positive definite"
        tx = gx.sgd(2 / (found.largest + found.smallest))
        losses = fit(tx, inputs, targets, steps)
        curves[name] = (losses - minimum) / (losses[0] - minimum)
        numbers[name] = found.value
        reached = int(np.argmax(curves[name] < 0.01)) if curves[name][-1] < 0.01 else None
        print(f"{name:16s}{found.value:12.5g}{reached or f'more than {steps}':>46}")
    assert numbers["whitened"] < 1.01 < numbers["standardised"] < numbers["as they come"] / 3
    assert numbers["centred"] < numbers["as they come"] / 3
    return pictures.data(curves, numbers)


def fit(tx, x, targets, steps):
    """The loss of a linear model, step by step."""
    params = {"w": jnp.zeros((x.shape[1], 10)), "b": jnp.zeros(10)}

    def step(carry, _):
        params, state = carry
        value, grads = jax.value_and_grad(squared_error)(params, x, targets)
        return tx.step(grads, state, params), value

    run = jax.jit(lambda params: jax.lax.scan(step, (params, tx.init(params)), length=steps)[1])
    return np.asarray(run(params))


# --- 3. the initial weights -------------------------------------------------------------------


def initial(key, sizes, scale=1.0, dtype=float):
    """Weights of standard deviation scale / sqrt(inputs), biases 0."""
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        {"w": scale * jax.random.normal(k, (m, n), dtype) / jnp.sqrt(m).astype(dtype),
         "b": jnp.zeros(n, dtype)}
        for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]  # fmt: skip


def network(params, x):
    for layer in params[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def cross_entropy(logits, labels):
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1)
    return -jnp.mean(picked)


def network_loss(params, x, y):
    return cross_entropy(network(params, x), y)


def initialisation(quick):
    """A deep network: spectra of its Hessian, and damped Gauss-Newton numbers."""
    train = load().train
    x, y = train.images.reshape(-1, 64).astype(float), train.labels
    x = (x - x.mean(axis=0)) / x.std()
    sizes = (64, 32, 32, 32, 10)
    starts = {
        "too large: three times 1 / sqrt(inputs)": initial(jax.random.key(0), sizes, 3.0),
        "too small: a third of 1 / sqrt(inputs)": initial(jax.random.key(0), sizes, 1 / 3),
        "standard deviation 1 / sqrt(inputs)": initial(jax.random.key(0), sizes),
    }
    large, small, good = starts
    starts["the same, after training"] = train_network(starts[good], x, y, 20 if quick else 150)
    print("\n3. Three hidden layers of 32 tanh, cross-entropy\n")
    print(f"{'weights':42s}{'largest':>9s}{'smallest':>10s}  verdict     kappa of G + 0.01 I")
    densities, extremes, numbers = {}, {}, {}
    for name, params in starts.items():
        hessian = curvature.hessian(network_loss, params, x, y)
        verdict = curvature.condition_number(hessian).verdict
        damped = curvature.gauss_newton(network, cross_entropy, params, x, y).damped(0.01)
        numbers[name] = curvature.condition_number(damped).value
        extremes[name] = curvature.eigenvalues(hessian, 12, 2, tolerance=1e-3)
        densities[name] = curvature.spectral_density(
            hessian, probes=2 if quick else 8, steps=40 if quick else 90
        )
        high, low = extremes[name].values[0], extremes[name].values[-1]
        print(f"{name:42s}{high:9.3g}{low:10.2g}  {verdict:12s}{numbers[name]:19.4g}")
        assert verdict == "indefinite"
    # Too small looks better conditioned: its Gauss-Newton matrix is nearly 0, and what is left is
    # the damping. The largest eigenvalue tells the two apart.
    assert numbers[large] > 3 * numbers[good] > 3 * numbers[small]
    assert extremes[small].values[0] < extremes[good].values[0] / 3
    return pictures.spectra(densities, extremes)


def train_network(params, x, y, steps):
    tx = gx.adam(3e-3)

    def step(carry, _):
        params, state = carry
        return tx.step(jax.grad(network_loss)(params, x, y), state, params), None

    run = jax.jit(lambda p: jax.lax.scan(step, (p, tx.init(p)), length=steps)[0][0])
    return run(params)


# --- 4. a million parameters ------------------------------------------------------------------


def million(key, dtype=jnp.float32):
    return initial(key, (64, WIDTH, WIDTH, 10), dtype=dtype)


def large():
    """The five largest eigenvalues, with a bar that follows the products."""
    params, train = million(jax.random.key(0)), load().train
    x = jnp.asarray(train.images.reshape(-1, 64), jnp.float32)
    # In batches, as data that do not fit into memory would be.
    batches = [(x[i : i + 270], train.labels[i : i + 270]) for i in range(0, len(x), 270)]
    hessian = curvature.hessian(network_loss, params, batches=batches)
    print(f"\n4. {hessian}\n")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    began = time.perf_counter()
    with Progress(*columns) as bar:
        task = bar.add_task("first product", total=1.0)

        def show(told: curvature.Progress):
            # How far the worst bound has come down, on a logarithmic scale.
            largest = max(abs(told.values))
            left = np.log(max(told.bounds.max() / told.goal, 1.0)) / np.log(largest / told.goal)
            text = " ".join(f"{value:.4g}" for value in told.values)
            what = "further copies?" if told.converged else "converging"
            bar.update(
                task,
                completed=1.0 - min(left, 1.0) if len(told.values) == 5 else 0.0,
                description=f"{told.products:3d} products, {what}: {text}",
            )

        found = curvature.eigenvalues(hessian, 5, progress=show)
    print(f"\n{found}\n{time.perf_counter() - began:.1f} s, {hessian.size:,} parameters")
    assert found.converged.all() and found.multiplicity_checked
    assert np.all(found.errors < 1e-3 * found.values[0])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer steps, and no large network")
    parser.add_argument("--out", type=Path, default=Path("conditioning"), help="folder to write to")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with jax.enable_x64(True):
        figures = {
            "rates": rates(400 if options.quick else 1000),
            "data": data(200 if options.quick else 3000),
            "spectra": initialisation(options.quick),
        }
    for name, figure in figures.items():
        path = options.out / f"conditioning-{name}.png"
        figure.savefig(path, dpi=100)
        print(path)
    if not options.quick:
        large()


if __name__ == "__main__":
    main()
