"""One of the processes: it trains, saves now and then, and reports to the launcher.

The launcher starts it as `python -m processes_parts.worker '{"way": ...}'`. All processes run this
same program, each on its own devices.
"""

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from demo_parts.data import batch_order, load
from demo_parts.networks import MLP, accuracy
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from .checkpoints import Checkpoints, fingerprint
from .task import Task
from .ways import WAYS, Way

MEETING = 120  # seconds that the processes have to find each other


def main() -> None:
    """Join the others, train, and leave with them."""
    task, report = Task.from_json(sys.argv[1]), _reporter()
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    jax.distributed.initialize(
        f"127.0.0.1:{task.port}", task.processes, task.process, initialization_timeout=MEETING
    )
    train(task, report)
    jax.distributed.shutdown()  # waits for the others


def train(task: Task, report: Callable[..., None]) -> None:
    """Go on from the newest checkpoint, or from the start, to the last step."""
    way, digits = WAYS[task.way](task), load()
    jax.set_mesh(way.mesh)
    checkpoints = Checkpoints(task.folder)
    start = checkpoints.latest()
    if start is None:
        start, (params, state) = 0, way.init()
        report("began", step=0, mesh=dict(way.mesh.shape))
    else:
        # A checkpoint knows nothing of processes: `abstract` says where each part belongs now.
        (params, state), facts = checkpoints.restore(start, way.abstract)
        found = fingerprint((params, state))
        assert found == facts["fingerprint"], "the restored state is not the one saved"
        counts, mesh = _counts(state), dict(way.mesh.shape)
        report("resumed", step=start, counts=counts, fingerprint=found, mesh=mesh)

    # Which examples a step takes depends on the step alone: a resumed run leaves none out.
    order = batch_order((0,), len(digits.train.labels), task.steps, task.batch_size)[0]
    for step in range(start + 1, task.steps + 1):
        images, labels = (_spread(part[order[step - 1]], way) for part in digits.train)
        params, state, loss = way.step(params, state, images, labels)
        # JAX would run ahead, and on CPU the exchanges of many steps at once can hold all threads,
        # each waiting for one that has no thread: so wait here.
        jax.block_until_ready((params, state, loss))
        if step % task.log_every == 0 or step == task.steps:
            test = _accuracy(way.trained(params, state), *digits.test)
            report("step", step=step, loss=float(loss), accuracy=float(test))
        if step % task.save_every == 0 and step < task.steps:
            bits = fingerprint((params, state))
            checkpoints.save(step, (params, state), {"fingerprint": bits})
            report("saved", step=step, fingerprint=bits)

    report("done", step=step, counts=_counts(state), loss=float(loss), accuracy=float(test))


def _spread(batch: np.ndarray, way: Way) -> jax.Array:
    """A batch over the rows of the mesh; a process gives only what its devices ask for."""
    sharding = NamedSharding(way.mesh, P(way.rows))
    return jax.make_array_from_callback(batch.shape, sharding, lambda index: batch[index])


@jax.jit
def _accuracy(params: Any, images: Any, labels: Any) -> jax.Array:
    return accuracy(MLP.apply(params, images), labels)


def _counts(state: Any) -> list[int]:
    """Every number of steps that stands in an optimizer's state, each once.

    Of an array that is split over processes each sees the part on its own devices.
    """
    counts = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.integer)]
    parts = [np.ravel(shard.data) for x in counts for shard in x.addressable_shards]
    return np.unique(np.concatenate(parts)).tolist()


def _reporter() -> Callable[..., None]:
    """The way to the launcher: lines of JSON on what was the standard output.

    Libraries print, too, even from C++; that goes to the standard error from here on.
    """
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def report(event: str, **facts: Any) -> None:
        lines.write(json.dumps({"event": event, **facts}) + "\n")

    return report


def _end_with_launcher() -> None:
    """The standard input ends when the launcher does, even if that was killed."""
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
