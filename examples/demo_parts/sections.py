"""The figures of the report, each with a few words on what one should see."""

import numpy as np

from gradtx import plot

from . import descent, plane, schedules
from .comparison import Comparison
from .report import Album, Section
from .training import Settings


def training(album: Album, result: Comparison, settings: Settings, groups, styles) -> Section:
    """Loss, accuracy and gradient norm against the step."""
    name, runs = result.network.name, result.runs
    loss = "training loss, nats"
    accuracy = "validation accuracy"
    norm = "gradient norm"
    figure = plot.history(
        {
            loss: {key: np.maximum(run.loss, 1e-6) for key, run in runs.items()},
            accuracy: {key: run.accuracy for key, run in runs.items()},
            norm: {key: np.maximum(run.gradient_norm, 1e-6) for key, run in runs.items()},
        },
        steps=settings.stride * np.arange(1, settings.points + 1),
        groups=groups,
        log=(loss, norm),
        limits={accuracy: (0.8, 1.0)} if settings.steps > 100 else None,
        styles=styles,
    )
    epochs = settings.steps * settings.batch_size / 1077
    return Section(
        f"training-{name.lower()}",
        f"Training the {name}",
        (
            f"Each column shows one family in colour over all others in grey; {settings.steps} steps "
            f"are {epochs:.0f} passes over the training set. Loss and gradient norm are those of the "
            f"mini-batches, averaged over {settings.stride} steps; lines are means over "
            f"{len(settings.seeds)} seeds, bands reach from the lowest to the highest.",
            "At well-chosen rates all of them fit the training set, and the validation curves end "
            "within a few images of each other. What differs is the way: momentum and the adaptive "
            "methods are through the first phase in a fraction of the steps of plain SGD. The gradient "
            "norm falls with the loss, since near a minimum the gradient is proportional to the "
            "distance from it.",
        ),
        (album.picture(f"training-{name.lower()}", figure, f"Training curves of the {name}"),),
    )


def sensitivity(album: Album, result: Comparison, grid, groups, styles) -> Section:
    """How much the choice of the learning rate matters."""
    label = "validation accuracy, mean over the run"
    figure = plot.history(
        {label: result.scores},
        steps=np.asarray(grid),
        groups=groups,
        marks={name: row.rate for name, row in result.rows.items()},
        limits={label: (0.0, 1.0)},
        xlabel="learning rate (Adadelta: factor on the paper's step)",
        log_x=True,
        styles=styles,
    )
    return Section(
        "sensitivity",
        "How much the learning rate matters",
        (
            f"The whole search for the {result.network.name}, run again just now: every optimizer at "
            "every rate of the grid. The dot is the rate used above.",
            "Look at the width of the plateau as much as at its height. The scale of the gradient "
            "enters the best rate of SGD, and momentum 0.9 moves it down by up to the factor "
            "1 / (1 − 0.9) = 10; the adaptive methods divide the scale out and share a best rate "
            "of about 0.03. Lion moves each weight by exactly its rate, so it wants a smaller one.",
        ),
        (album.picture("sensitivity", figure, "Accuracy against learning rate"),),
    )


def paths(album: Album, results: list[plane.Paths], frames: int, groups, styles) -> list[Section]:
    """Paths of all optimizers in the plane, still and moving, and the heights along them."""
    landscapes = [result.landscape() for result in results]
    steps = len(next(iter(results[0].paths.values()))) - 1
    still = album.picture("paths", plot.paths(*landscapes, styles=styles), "Paths on four functions")
    moving = album.animation(
        "paths",
        plot.animate_paths(*landscapes, frames=frames, styles=styles),
        "Animation of the paths",
        still,
    )
    bounded = [result for result in results if result.scene.problem.minimum is not None]
    heights = {f"f − f*, {result.scene.problem.name}": result.heights() for result in bounded}
    figure = plot.history(
        heights,
        groups=groups,
        log=tuple(heights),
        limits={label: (1e-8, None) for label in heights},
        styles=styles,
    )
    return [
        Section(
            "race",
            "The race",
            (
                f"All optimizers start at the ring and take {steps} steps at the same time. On the toy "
                "problem and in the ravine watch momentum swing and the adaptive methods cut the "
                "corner; at the saddle watch who leaves first.",
            ),
            (moving,),
        ),
        Section(
            "paths",
            "Paths on four landscapes",
            (
                f"The ring is the start, the star the minimum, a marker the place after {steps} steps or "
                "where the path leaves the picture. For the three functions with a minimum each "
                "optimizer takes, from one grid of four rates per decade, the rate with the smallest "
                "mean of log10(f − f*), among the paths that stay in the picture and make no step longer "
                "than a sixth of its width. At the saddle, which has no minimum, each takes the rate "
                f"whose first step moves x1 by {plane.FIRST_STEP:g}: there the picture compares "
                "directions.",
                "SGD leaves at right angles to the contours. RMSProp, Adam and their kin scale each "
                "coordinate by its own gradients, so they leave along the diagonal, and at the saddle "
                "they turn the faint slope across the ridge into a full step at once, while SGD and momentum "
                "first run into the saddle point. In the turned ravine scaling by coordinate cannot help, and "
                "momentum can. RMSProp and Lion take steps that do not shrink with the gradient, so at a "
                "constant rate they keep jumping about the minimum.",
            ),
            (still,),
        ),
        Section(
            "heights",
            "The same paths by height",
            ("The distance of the value from the minimum along each path, for the problems that have one.",),
            (album.picture("heights", figure, "Value above the minimum against the step"),),
        ),
    ]


def oscillation(album: Album) -> Section:
    """SGD against momentum and Nesterov."""
    return Section(
        "oscillation",
        "Oscillation: SGD, momentum, Nesterov",
        (
            "The toy problem again, each method with the settings that theory proves best for "
            "curvatures 0.2 and 4. The rate of SGD is bounded by the steep direction, in which it jumps from "
            "wall to wall, and then crawls along the flat one. Heavy-ball momentum swings even wider at "
            "first, but averages the swings away and gains speed along the valley: per step it gains the "
            "most. Nesterov's gradient is taken at the look-ahead point, which brakes before the wall: the "
            "oscillation is gone after two steps.",
        ),
        (album.picture("oscillation", plane.oscillation(), "Oscillation in the steep direction"),),
    )


def gradient_descent(album: Album, curves: dict[str, descent.Curve]) -> Section:
    """GD against SGD."""
    return Section(
        "gd-sgd",
        "Gradient descent against its estimates",
        (
            "Softmax regression on the digits with a small penalty, a convex problem whose minimum f* is known. "
            "The x axis counts work: gradients of single images.",
            "First phase: before gradient descent has made its first step, SGD has made 1077 and is far "
            "ahead, because the images are so alike that one tells much of what all would. Second phase: at a constant "
            "rate the noise of the estimate holds SGD at a floor, lower for larger batches, while gradient "
            "descent goes down steadily and passes them all. A rate that falls like 1 / t, as Robbins and Monro ask, "
            "removes the floor, at the price of slow progress.",
        ),
        (album.picture("gd-sgd", descent.figure(curves), "Gradient descent and SGD against work"),),
    )


def learning_rates(album: Album) -> Section:
    """The schedules."""
    figure = plot.schedules(schedules.all_schedules(), schedules.STEPS)
    return Section(
        "schedules",
        "Learning-rate schedules",
        (
            f"Twelve schedules with the same peak, {schedules.PEAK:g}, over {schedules.STEPS} steps. A schedule "
            "is a function of the step and stands wherever a learning rate may stand.",
        ),
        (album.picture("schedules", figure, "Learning rate against step"),),
    )
