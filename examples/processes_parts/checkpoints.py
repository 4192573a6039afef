"""Checkpoints with Orbax, and a fingerprint that shows whether a state is the one saved."""

from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp


class Checkpoints:
    """The newest two checkpoints of a run. All processes make every call together."""

    def __init__(self, folder: str):
        # Without async, save() returns when the checkpoint is whole and has its final name. A
        # process that dies before leaves a folder with a temporary name, which nobody reads.
        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(folder, options=options)

    def latest(self) -> int | None:
        """The step of the newest whole checkpoint."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, facts: dict) -> None:
        """Each process writes the shards that it has."""
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), facts=ocp.args.JsonSave(facts)
            ),
        )

    def restore(self, step: int, abstract: Any) -> tuple[Any, dict]:
        """Each process reads what its devices need by `abstract`, whoever wrote it."""
        found = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract), facts=ocp.args.JsonRestore()
            ),
        )
        return found.state, found.facts


def fingerprint(tree: Any) -> dict[str, int]:
    """A number for each array that any changed bit changes, however the array is split.

    For the bits b_i of the entries, as integers, it is the sum of (2 i + 1) b_i modulo 2^32.
    Integers that wrap around have the same sum in any order, which floats have not.
    """
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    sums = jax.device_get(_weighted_sums(jax.tree.leaves(tree)))
    return {path: int(number) for path, number in zip(paths, sums, strict=True)}


@jax.jit
def _weighted_sums(arrays: list[jax.Array]) -> list[jax.Array]:
    def weighted_sum(x):
        bits = jax.lax.bitcast_convert_type(x, jnp.uint32).ravel()
        return jnp.sum((2 * jnp.arange(x.size, dtype=jnp.uint32) + 1) * bits, dtype=jnp.uint32)

    return [weighted_sum(x) for x in arrays]
