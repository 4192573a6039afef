"""One look for one optimizer: a colour, a dash and a marker that stay the same in every figure."""

from collections.abc import Iterable
from typing import Any, NamedTuple

# The first six and the eighth are Okabe and Ito's colours for colour-blind readers (2008), a few
# darkened; the others keep a distance in lightness from those. The dash tells the rest apart.
_COLORS = (
    "#1a1a1a",
    "#0072b2",
    "#56b4e9",
    "#d55e00",
    "#e69f00",
    "#8c564b",
    "#009e73",
    "#cc79a7",
    "#6a3d9a",
    "#b2182b",
    "#7cb342",
    "#8a8a1f",
)
_DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))
_MARKERS = "os^vDPX<>*ph"


class LineStyle(NamedTuple):
    """How the curves of one optimizer are drawn."""

    color: str
    linestyle: Any
    marker: str

    def line(self) -> dict[str, Any]:
        """Keyword arguments for `Axes.plot`: the colour and the dash, no marker."""
        return {"color": self.color, "linestyle": self.linestyle}


def line_styles(names: Iterable[str]) -> dict[str, LineStyle]:
    """Give each name a line style of its own, by its place.

    Twelve colours repeat after twelve names, three dashes after three. Give the same full list of
    names to every figure of a document, and an optimizer looks the same in all of them.

    Args:
        names: What is drawn, without repetition.

    Returns:
        A dictionary from name to `LineStyle`, in the order given.
    """
    # The shift by round // 12 keeps colour and dash together unique for 36 names.
    return {
        name: LineStyle(
            _COLORS[i % len(_COLORS)],
            _DASHES[(i + i // len(_COLORS)) % len(_DASHES)],
            _MARKERS[i % len(_MARKERS)],
        )
        for i, name in enumerate(names)
    }
