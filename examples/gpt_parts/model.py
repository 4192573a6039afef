"""A small GPT: bytes in, logits of the next byte out. Parameters are nested dicts of arrays."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import gradtx as gx


class GPT(NamedTuple):
    """The sizes of the model."""

    vocabulary: int
    length: int = 128
    width: int = 128
    heads: int = 4
    layers: int = 4

    def init(self, key: jax.Array) -> Any:
        """Parameters: normal with standard deviation 0.02, less where a block ends (GPT-2)."""
        keys = iter(jax.random.split(key, 2 + 4 * self.layers))

        def normal(*shape: int, scale: float = 0.02) -> jax.Array:
            return scale * jax.random.normal(next(keys), shape)

        d, last = self.width, 0.02 / (2 * self.layers) ** 0.5
        blocks = {
            f"{i}": {
                "norm_1": jnp.ones(d),
                "qkv": normal(d, 3 * d),
                "out": normal(d, d, scale=last),
                "norm_2": jnp.ones(d),
                "up": normal(d, 4 * d),
                "up_bias": jnp.zeros(4 * d),
                "down": normal(4 * d, d, scale=last),
                "down_bias": jnp.zeros(d),
            }
            for i in range(self.layers)
        }
        embed = {"tokens": normal(self.vocabulary, d), "positions": normal(self.length, d)}
        return {"embed": embed, "blocks": blocks, "norm": jnp.ones(d)}

    def logits(self, params: Any, tokens: jax.Array) -> jax.Array:
        """(batch, length) of bytes -> (batch, length, vocabulary); the last layer is the first."""
        x = params["embed"]["tokens"][tokens] + params["embed"]["positions"][: tokens.shape[1]]
        for block in params["blocks"].values():
            heads = (*x.shape[:2], self.heads, self.width // self.heads)
            qkv = jnp.split(_norm(x, block["norm_1"]) @ block["qkv"], 3, axis=-1)
            seen = jax.nn.dot_product_attention(*(y.reshape(heads) for y in qkv), is_causal=True)
            x = x + seen.reshape(x.shape) @ block["out"]
            y = jax.nn.gelu(_norm(x, block["norm_2"]) @ block["up"] + block["up_bias"])
            x = x + y @ block["down"] + block["down_bias"]
        return _norm(x, params["norm"]) @ params["embed"]["tokens"].T

    def loss(self, params: Any, windows: jax.Array) -> jax.Array:
        """Mean cross-entropy of each byte given those before it, in nats."""
        logits = self.logits(params, windows[:, :-1])
        losses = gx.softmax_cross_entropy_with_integer_labels(logits, windows[:, 1:])
        return jnp.mean(losses)

    def write(self, params: Any, start: bytes, number: int, key: jax.Array) -> str:
        """Text that begins with `start`, byte by byte as likely as the model finds it."""

        @jax.jit
        def next_byte(window: jax.Array, place: jax.Array, key: jax.Array) -> jax.Array:
            return jax.random.categorical(key, self.logits(params, window[None])[0, place])

        text = list(start)
        for k in jax.random.split(key, number):
            seen = text[-self.length :]
            window = jnp.zeros(self.length, jnp.int32).at[: len(seen)].set(jnp.array(seen))
            text.append(int(next_byte(window, len(seen) - 1, k)))
        return bytes(text).decode("ascii", "replace")


def _norm(x: jax.Array, scale: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6) * scale
