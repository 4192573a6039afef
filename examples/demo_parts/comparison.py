"""All optimizers on both networks: the runs, the search for learning rates, the table."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from .data import Digits
from .networks import NETWORKS, Network
from .optimizers import GRID, Entry
from .training import Run, Settings, Trainer, score

LEVEL = 0.95  # of validation accuracy: the table says after how many steps it is reached


class Row(NamedTuple):
    """One optimizer on one network."""

    rate: float
    accuracy: float  # on the test set, mean over the seeds
    spread: float  # standard deviation of that over the seeds
    steps_to_level: int | None  # until the mean validation accuracy reaches LEVEL
    seconds: float  # training one network


class Comparison(NamedTuple):
    """What one network gave."""

    network: Network
    runs: dict[str, Run]
    rows: dict[str, Row]
    scores: dict[str, np.ndarray]  # by optimizer: score at each rate of GRID; empty if not searched
    compile_seconds: float


def tasks(optimizers: Mapping[str, Entry], settings: Settings, searched, grid=GRID) -> int:
    """How many times `tick` will be called by `compare`."""
    runs = sum(1 + (len(grid) if network.name in searched else 0) for network in NETWORKS)
    return len(optimizers) * settings.points * runs


def compare(
    optimizers: Mapping[str, Entry],
    rates: Mapping[str, Mapping[str, float]] | None,
    digits: Digits,
    settings: Settings,
    searched: tuple[str, ...],
    tick: Callable[[], None],
    say: Callable[[str], None],
    grid: tuple[float, ...] = GRID,
) -> list[Comparison]:
    """Train every network with every optimizer.

    Args:
        optimizers: By name.
        rates: Learning rates by network and optimizer; `None` for the best of the search.
        digits: The data.
        settings: Steps, batch size, seeds.
        searched: Names of the networks for which all rates of the grid are tried.
        tick: Called after each recorded point.
        say: Called with what is going on.
        grid: The rates to try.
    """
    results = []
    for network in NETWORKS:
        runs, rows, scores, compiling = {}, {}, {}, 0.0
        for name, optimizer in optimizers.items():
            say(f"{network.name}, {name}")
            trainer = Trainer(network, optimizer, digits, settings)
            compiling += trainer.compile_seconds
            if network.name in searched:
                tried = [trainer.run(rate, settings.tuning_seeds, tick) for rate in grid]
                scores[name] = np.asarray([score(run) for run in tried])
            rate = rates[network.name][name] if rates else grid[int(np.argmax(scores[name]))]
            runs[name] = trainer.run(rate, settings.seeds, tick)
            rows[name] = _row(rate, runs[name], settings)
        results.append(Comparison(network, runs, rows, scores, compiling))
    return results


def _row(rate: float, run: Run, settings: Settings) -> Row:
    reached = np.flatnonzero(run.accuracy.mean(axis=0) >= LEVEL)
    return Row(
        rate,
        float(run.test_accuracy.mean()),
        float(run.test_accuracy.std()),
        int((reached[0] + 1) * settings.stride) if len(reached) else None,
        run.seconds / len(settings.seeds),
    )


def order(results: list[Comparison]) -> list[str]:
    """Optimizers from the best to the worst: test accuracy, averaged over the networks."""
    names = results[0].rows
    return sorted(names, key=lambda name: -np.mean([r.rows[name].accuracy for r in results]))
