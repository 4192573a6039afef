"""Paths of optimizers, moving."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from ._paths import Landscape, canvas, end_marker, inside
from ._style import LineStyle


class PathAnimation(FuncAnimation):
    """A matplotlib animation that can also write itself to a GIF quickly."""

    def __init__(
        self,
        figure: Figure,
        draw: Callable[[int], Iterable[Artist]],
        frames: int,
        interval: float,
    ) -> None:
        self._gif = figure, draw, frames, interval
        super().__init__(figure, draw, frames=frames, interval=interval, blit=False)

    def save_gif(self, path: str | os.PathLike[str], dpi: float = 80.0) -> None:
        """Write the animation to a GIF that repeats for ever and rests at its end.

        The contours are drawn once and only the paths for each frame, and all frames share one
        palette: that is many times faster and smaller than `save`.

        Args:
            path: Where to write.
            dpi: Resolution, in dots per inch of the figure.
        """
        figure, draw, frames, interval = self._gif
        self._draw_was_started = True  # matplotlib warns about animations that nobody looked at
        agg = FigureCanvasAgg(figure)
        before = figure.dpi
        figure.set_dpi(dpi)
        moving = list(draw(0))
        for artist in moving:
            artist.set_visible(False)
        agg.draw()
        background = agg.copy_from_bbox(figure.bbox)
        for artist in moving:
            artist.set_visible(True)

        pictures = []
        for frame in range(frames):
            agg.restore_region(background)
            for artist in draw(frame):
                artist.draw(agg.get_renderer())
            pictures.append(Image.fromarray(np.array(agg.buffer_rgba())).convert("RGB"))
        palette = _palette(pictures[-1], moving)
        first, *rest = [
            picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures
        ]
        durations = [round(interval)] * (frames - 1) + [2500]
        first.save(path, save_all=True, append_images=rest, duration=durations, loop=0)
        figure.set_dpi(before)


def _palette(picture: Image.Image, lines: Iterable[Any]) -> Image.Image:
    """A palette for a picture in which white and the colours of the thin lines are exact."""
    colors = dict.fromkeys(["white", *(line.get_color() for line in lines)])
    exact = np.asarray([to_rgb(color) for color in colors]) * 255
    quantized = picture.quantize(255 - len(exact), dither=Image.Dither.NONE)
    others = np.asarray(quantized.getpalette()).reshape(-1, 3)
    # Pillow looks colours up in steps of four, so a near neighbour could hide an exact entry.
    distances = np.abs(others[:, None] - exact).max(axis=-1)
    others = others[distances.min(axis=1) > 12]
    palette = Image.new("P", (1, 1))
    palette.putpalette([*exact.round().astype(int).ravel().tolist(), *others.ravel().tolist()])
    return palette


def animate_paths(
    *landscapes: Landscape,
    frames: int = 60,
    interval: float = 80.0,
    columns: int = 2,
    title: str = "",
    styles: Mapping[str, LineStyle] | None = None,
) -> PathAnimation:
    """Animate the paths of optimizers over contour lines: every optimizer moves at the same time.

    The steps are spread over the frames with small strides first, since most happens early. Write
    it to a file with `animation.save_gif("paths.gif")`, or with any writer of matplotlib.

    Args:
        landscapes: What to draw, at least one; all paths of one landscape have the same length.
        frames: Number of pictures, at least 2.
        interval: Time from picture to picture, in milliseconds.
        columns: Panels in a row, at least 1.
        title: A title for the figure.
        styles: Line styles by optimizer; by default `line_styles` of all names.

    Raises:
        ValueError: If there is no landscape, or `frames` is below 2.
    """
    if frames < 2:
        raise ValueError(f"`frames` must be at least 2, but is {frames}.")
    figure, grid, styles = canvas(landscapes, columns, title, styles)
    FigureCanvasAgg(figure)
    panels: list[tuple[Any, list[tuple]]] = []
    for axes, landscape in zip(grid, landscapes, strict=True):
        counter = axes.text(
            0.02, 0.97, "", transform=axes.transAxes, va="top", fontsize=9, fontfamily="monospace"
        )
        moving = []
        for name, path in landscape.paths.items():
            points = np.asarray(path)
            (line,) = axes.plot([], [], linewidth=1.5, alpha=0.85, **styles[name].line())
            (head,) = axes.plot([], [], **end_marker(styles[name]))
            moving.append((points, inside(points, landscape.view), line, head))
        panels.append((counter, moving))

    def draw(frame: int) -> list[Artist]:
        progress = (frame / (frames - 1)) ** 1.5
        artists: list[Artist] = []
        for counter, moving in panels:
            for points, visible, line, head in moving:
                now = round(progress * (len(points) - 1))
                line.set_data(points[: now + 1, 0], points[: now + 1, 1])
                last = points[: now + 1][visible[: now + 1]][-1:]
                head.set_data(last[:, 0], last[:, 1])
                counter.set_text(f"step {now}")
                artists += [line, head]
            artists.append(counter)
        return artists

    return PathAnimation(figure, draw, frames, interval)
