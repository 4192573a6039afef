"""Equal weights never part: symmetric initialisation fails, Xavier's and He's work."""

import argparse

import jax
import jax.numpy as jnp
from demo_parts.data import load
from demo_parts.networks import accuracy, cross_entropy

import gradtx as gx

WIDTH, DEPTH = 64, 6


def initial(init, key):
    sizes = [64] + [WIDTH] * DEPTH + [10]
    keys = jax.random.split(key, len(sizes))
    return [
        {"w": init(k, (n, m)), "b": jnp.zeros(m)}
        for k, n, m in zip(keys, sizes[:-1], sizes[1:], strict=False)
    ]


def network(layers, images):
    x = images.reshape(images.shape[0], -1)
    for layer in layers[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ layers[-1]["w"] + layers[-1]["b"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    steps = 5 if parser.parse_args().quick else 150
    data = load()
    initialisers = {
        "all equal (0.01)": lambda key, shape: jnp.full(shape, 0.01),
        "normal, sd 0.01": lambda key, shape: 0.01 * jax.random.normal(key, shape),
        "Xavier uniform": jax.nn.initializers.xavier_uniform(),
        "He normal": jax.nn.initializers.he_normal(),
    }
    tx = gx.adam(2e-3)

    @jax.jit
    def train(params):
        def step(carry, _):
            params, state = carry
            grads = jax.grad(
                lambda p: cross_entropy(network(p, data.train.images), data.train.labels)
            )(params)
            return tx.step(grads, state, params), None

        (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), length=steps)
        return params, accuracy(network(params, data.test.images), data.test.labels)

    print(f"{DEPTH} hidden ReLU layers of {WIDTH}, {steps} full-batch steps of Adam\n")
    print("initialisation      test accuracy   distinct hidden units")
    scores = {}
    for name, init in initialisers.items():
        params, scores[name] = train(initial(init, jax.random.key(0)))
        distinct = jnp.unique(jnp.round(params[0]["w"], 6), axis=1).shape[1]
        print(f"{name:18s} {scores[name]:12.3f} {distinct:20d} of {WIDTH}")
    if steps >= 100:
        assert scores["He normal"] > 0.9 > 0.5 > scores["all equal (0.01)"]


if __name__ == "__main__":
    main()
