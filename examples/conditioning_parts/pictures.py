"""The three pictures."""

import numpy as np
from matplotlib.figure import Figure

from gradtx import plot

_THEORY = {"color": "#6f6f6f", "linestyle": (0, (1.2, 1.6)), "linewidth": 1.3, "zorder": 1}
_STYLES = plot.line_styles(("gradient descent", "momentum", "", "Adam"))


def rates(panels, measured, theory, kappa):
    """The distance to the minimum on two quadratics; dotted what the condition number foretells."""
    figure = Figure(figsize=(9.0, 4.4), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True)
    for axes, (title, curves) in zip(grid, panels.items(), strict=True):
        for name, distances in curves.items():
            label = f"{name}: {measured[name]:.4f} a step" if name in theory else name
            style = {"color": _STYLES[name].color, "linewidth": 1.7}
            axes.plot(distances / distances[0], label=label, **style)
            if name in theory:
                steps = np.arange(len(distances))
                axes.plot(theory[name] ** steps, **_THEORY)
        axes.set(yscale="log", xlabel="step", ylim=(1e-8, 4.0), xlim=(0, len(distances) - 1))
        axes.set_title(title, fontsize=10, loc="left")
        _tidy(axes)
    slow, fast = theory["gradient descent"], theory["momentum"]
    label = f"theory: (κ − 1)/(κ + 1) = {slow:.4f}, (√κ − 1)/(√κ + 1) = {fast:.4f}"
    grid[0].plot([], [], label=label, **_THEORY)
    grid[0].set_ylabel("distance to the minimum, relative")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figure.suptitle(f"A quadratic with condition number κ = {kappa:g}", fontsize=11)
    return figure


def data(curves, numbers):
    """The loss of a linear regression under gradient descent, for four forms of the inputs."""
    figure = Figure(figsize=(8.0, 4.2), layout="constrained")
    axes = figure.subplots()
    styles = plot.line_styles(curves)
    for name, losses in curves.items():
        label = f"{name}: κ = {_number(numbers[name])}"
        steps = np.arange(1, len(losses) + 1)
        axes.plot(steps, losses, label=label, linewidth=1.8, **styles[name].line())
    axes.set(xscale="log", yscale="log", xlabel="step", ylim=(1e-4, 1.5), xlim=(0.9, len(losses)))
    axes.set_ylabel("loss above its minimum, relative")
    axes.legend(
        title="inputs, and κ as measured",
        alignment="left",
        fontsize=9.5,
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0.07, 0.0),
    )
    axes.set_title(
        "Linear regression on the digits: gradient descent at its best rate", fontsize=11
    )
    _tidy(axes)
    return figure


def spectra(densities, extremes):
    """Spectra of the Hessian of a network at four places."""
    return plot.spectral_density(
        densities,
        eigenvalues=extremes,
        width=0.03,
        xlabel="eigenvalue of the Hessian (marks: the largest twelve and the smallest two)",
        title="One network, four sets of weights",
    )


def _number(value):
    return f"{value:,.0f}" if value > 10 else f"{value:.3g}"


def _tidy(axes):
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5)
