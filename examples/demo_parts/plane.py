"""Paths in the plane: all optimizers on four functions, and the oscillation of gradient descent."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import gradtx as gx
from gradtx import plot
from gradtx.testing.problems import Problem, beale, ravine, saddle, toy

from .optimizers import OPTIMIZERS

GRID = tuple(float(f"{rate:.2g}") for rate in np.geomspace(1e-4, 1e3, 29))
LONGEST_STEP = 1 / 6  # of the width of the view: rates that win by a lucky jump are left out
FIRST_STEP = 0.1  # at the saddle: length of the first step along x1


class Scene(NamedTuple):
    """A problem, and the part of the plane in which its paths must stay."""

    problem: Problem
    title: str
    view: tuple[tuple[float, float], tuple[float, float]]


SCENES = (
    Scene(toy(), "Toy problem: 0.1 x1² + 2 x2²", ((-6.0, 3.0), (-3.3, 3.3))),
    Scene(ravine(), "Ravine: condition number 100, turned by 30°", ((-5.0, 2.0), (-3.4, 1.8))),
    Scene(saddle(), "Saddle: x1² − x2², started next to the ridge", ((-1.2, 0.95), (-0.6, 1.0))),
    Scene(beale(), "Beale's function", ((-0.6, 4.4), (-1.9, 2.2))),
)


class Paths(NamedTuple):
    """What the optimizers did on one function."""

    scene: Scene
    rates: dict[str, float]
    paths: dict[str, np.ndarray]  # (steps + 1, 2) each

    def landscape(self) -> plot.Landscape:
        problem = self.scene.problem
        star = problem.minimum.point if problem.minimum else None
        return plot.Landscape(self.scene.title, problem.function, self.paths, self.scene.view, star)

    def heights(self) -> dict[str, np.ndarray]:
        """The function along each path, above its minimum where it has one."""
        problem = self.scene.problem
        height = problem.gap if problem.minimum else problem.function
        return {name: np.asarray(jax.vmap(height)(path)) for name, path in self.paths.items()}


def run(optimizers, steps: int, tick: Callable[[], None] = lambda: None) -> list[Paths]:
    """All optimizers on all scenes, each at the rate that the rule of its scene gives."""
    results = []
    for scene in SCENES:
        rates, paths = {}, {}
        for name, optimizer in optimizers.items():
            choose = _first_step_path if scene.problem.minimum is None else _best_path
            rates[name], paths[name] = choose(optimizer, scene, steps)
            tick()
        results.append(Paths(scene, rates, paths))
    return results


def _best_path(optimizer, scene: Scene, steps: int):
    """The rate with the smallest mean of log10(f - f*) among the paths that stay in the view."""
    problem = scene.problem

    @jax.jit
    @jax.vmap
    def follow(rate):
        path = plot.trajectory(optimizer(rate), problem.function, problem.start, steps)
        return path, jax.vmap(problem.gap)(path)

    paths, gaps = map(np.asarray, follow(jnp.asarray(GRID)))
    (left, right), (bottom, top) = scene.view
    with np.errstate(all="ignore"):  # paths that diverged hold NaN, which compares false
        x, y = paths[..., 0], paths[..., 1]
        inside = np.all((left < x) & (x < right) & (bottom < y) & (y < top), axis=1)
        longest = np.linalg.norm(np.diff(paths, axis=1), axis=-1).max(axis=1)
        allowed = inside & (longest < LONGEST_STEP * (right - left))
        score = np.where(allowed, np.log10(np.maximum(gaps, 1e-8)).mean(axis=1), np.inf)
    best = int(np.argmin(score))
    return GRID[best], paths[best]


def _first_step_path(optimizer, scene: Scene, steps: int):
    """The rate whose first step moves x1 by FIRST_STEP: first steps are proportional to rates."""
    problem = scene.problem
    unit = plot.trajectory(optimizer(1.0), problem.function, problem.start, 1)
    rate = FIRST_STEP / float(abs(unit[1, 0] - unit[0, 0]))
    follow = jax.jit(
        lambda rate: plot.trajectory(optimizer(rate), problem.function, problem.start, steps)
    )
    return rate, np.asarray(follow(rate))


def oscillation(steps: int = 40) -> Figure:
    """SGD against momentum and Nesterov in the toy bowl, each with the settings of theory."""
    problem, view = toy(), ((-5.6, 1.6), (-3.9, 3.9))
    low, high = 0.2, 4.0  # the curvatures of the toy problem
    root = math.sqrt(high / low)
    plain = 2 / (high + low)
    heavy = 4 / (math.sqrt(high) + math.sqrt(low)) ** 2, ((root - 1) / (root + 1)) ** 2
    nesterov = 1 / high, (root - 1) / (root + 1)
    runs = {
        f"SGD, lr {plain:.2f}": gx.sgd(plain),
        f"Momentum {heavy[1]:.2f}, lr {heavy[0]:.2f}": gx.sgd(*heavy),
        f"Nesterov {nesterov[1]:.2f}, lr {nesterov[0]:.2f}": gx.sgd(*nesterov, nesterov=True),
    }
    walked = {
        name: np.asarray(plot.trajectory(tx, problem.function, problem.start, steps))
        for name, tx in runs.items()
    }
    styles = plot.line_styles(OPTIMIZERS)
    styles = dict(zip(walked, [styles[n] for n in ("SGD", "Momentum", "Nesterov")], strict=True))

    figure = Figure(figsize=(11.0, 5.6), layout="constrained")
    grid = figure.subplot_mosaic([["path", "x2"], ["path", "gap"]], width_ratios=(1.15, 1.0))
    xs, ys = (np.linspace(*ends, 200) for ends in view)
    heights = problem.function(np.meshgrid(xs, ys))
    grid["path"].contour(
        xs, ys, heights, np.geomspace(0.02, 20, 16), colors="#9fb3c8", linewidths=0.6
    )
    grid["path"].plot(0, 0, marker="*", color="black", markersize=13)
    for name, points in walked.items():
        line = styles[name].line()
        head = {"marker": styles[name].marker, "markersize": 3.5, "linewidth": 1.3}
        grid["path"].plot(points[:, 0], points[:, 1], label=name, **head, **line)
        grid["x2"].plot(points[:, 1], **head, **line)
        grid["gap"].plot(jax.vmap(problem.gap)(points), **head, **line)
    grid["path"].set(xlim=view[0], ylim=view[1], xlabel="x1", ylabel="x2")
    grid["x2"].set(xlabel="step", ylabel="x2, the steep coordinate")
    grid["x2"].axhline(0.0, color="grey", linewidth=0.6)
    grid["gap"].set(xlabel="step", ylabel="f − f*", yscale="log", ylim=(1e-9, None))
    for key in ("x2", "gap"):
        grid[key].grid(alpha=0.25)
        grid[key].spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure
