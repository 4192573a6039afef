"""The figures of the report; what one should see in them stands in captions.toml."""

import tomllib
from pathlib import Path

import numpy as np

from gradtx import plot

from . import descent, plane, schedules
from .comparison import Comparison
from .data import Digits
from .report import Album, Picture, Section
from .training import Settings

_CAPTIONS = tomllib.loads(Path(__file__).with_name("captions.toml").read_text(encoding="utf-8"))

# The metrics of a training run, and what their axes show after many steps.
_LIMITS = {
    "training loss, nats": (1e-6, None),
    "validation accuracy": (0.88, 1.0),
    "gradient norm": (1e-5, None),
}


def training(
    album: Album, result: Comparison, settings: Settings, digits: Digits, groups, styles
) -> Section:
    """Loss, accuracy and gradient norm against the step."""
    loss, accuracy, norm = _LIMITS
    runs = result.runs
    figure = plot.history(
        {
            loss: {name: run.loss for name, run in runs.items()},
            accuracy: {name: run.accuracy for name, run in runs.items()},
            norm: {name: run.gradient_norm for name, run in runs.items()},
        },
        steps=settings.stride * np.arange(1, settings.points + 1),
        groups=groups,
        log=(loss, norm),
        limits=_LIMITS if settings.steps > 100 else None,
        styles=styles,
    )
    network = result.network.name
    name = f"training-{network.lower()}"
    return _section(
        "training",
        album.picture(name, figure, f"Training curves of the {network}"),
        name=name,
        network=network,
        steps=settings.steps,
        epochs=settings.steps * settings.batch_size / len(digits.train.labels),
        stride=settings.stride,
        seeds=len(settings.seeds),
    )


def sensitivity(album: Album, result: Comparison, grid, groups, styles) -> Section:
    """How much the choice of the learning rate matters."""
    figure = plot.history(
        {"validation accuracy": result.scores},
        steps=np.asarray(grid),
        groups=groups,
        marks={name: row.rate for name, row in result.rows.items()},
        limits={"validation accuracy": (0.0, 1.0)},
        xlabel="learning rate",
        log_x=True,
        styles=styles,
    )
    picture = album.picture("sensitivity", figure, "Accuracy against learning rate")
    return _section("sensitivity", picture, network=result.network.name)


def paths(album: Album, results: list[plane.Paths], frames: int, groups, styles) -> list[Section]:
    """Paths of all optimizers in the plane, still and moving, and the heights along them."""
    landscapes = [result.landscape() for result in results]
    steps = len(next(iter(results[0].paths.values()))) - 1
    still = album.picture(
        "paths", plot.paths(*landscapes, styles=styles), "Paths on four functions"
    )
    moving = plot.animate_paths(*landscapes, frames=frames, styles=styles)
    heights = {
        f"f − f*, {result.scene.problem.name}": result.heights()
        for result in results
        if result.scene.problem.minimum is not None
    }
    figure = plot.history(
        heights,
        groups=groups,
        log=tuple(heights),
        limits=dict.fromkeys(heights, (1e-8, None)),
        styles=styles,
    )
    return [
        _section("race", album.animation("paths", moving, "The paths, moving", still), steps=steps),
        _section("paths", still, steps=steps, first_step=plane.FIRST_STEP),
        _section("heights", album.picture("heights", figure, "Value above the minimum")),
    ]


def oscillation(album: Album) -> Section:
    """SGD against momentum and Nesterov."""
    picture = album.picture(
        "oscillation", plane.oscillation(), "Oscillation in the steep direction"
    )
    return _section("oscillation", picture)


def gradient_descent(album: Album, curves: dict[str, descent.Curve], digits: Digits) -> Section:
    """GD against SGD."""
    picture = album.picture("gd-sgd", descent.figure(curves), "Gradient descent and SGD")
    return _section("gd-sgd", picture, images=len(digits.train.labels))


def learning_rates(album: Album) -> Section:
    """The schedules."""
    drawn = schedules.all_schedules()
    figure = plot.schedules(drawn, schedules.STEPS)
    picture = album.picture("schedules", figure, "Learning rate against step")
    return _section(
        "schedules", picture, count=len(drawn), peak=schedules.PEAK, steps=schedules.STEPS
    )


def _section(caption: str, picture: Picture, name: str | None = None, **values) -> Section:
    heading, text = _CAPTIONS[caption]["heading"], _CAPTIONS[caption]["text"]
    paragraphs = tuple(text.format(**values).strip().split("\n\n"))
    return Section(name or caption, heading.format(**values), paragraphs, picture)
