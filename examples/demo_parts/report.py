"""The report: figures and tables in one HTML file that needs nothing else."""

import base64
import io
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import jinja2
from matplotlib.figure import Figure


class Picture(NamedTuple):
    """An image inside the page."""

    source: str  # a data URI
    alt: str
    still: str | None = None  # instead, for readers who asked their system for less motion


class Section(NamedTuple):
    """A part of the page: what one should see, then the picture."""

    name: str
    heading: str
    paragraphs: tuple[str, ...]
    picture: Picture


class Album:
    """Turns figures into files of a folder, and into pictures of the page."""

    def __init__(self, folder: Path, dpi: float) -> None:
        self.folder, self._dpi = folder, dpi
        folder.mkdir(parents=True, exist_ok=True)

    def picture(self, name: str, figure: Figure, alt: str) -> Picture:
        """Save a figure as PNG."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=self._dpi)
        (self.folder / f"{name}.png").write_bytes(buffer.getvalue())
        return Picture(_data_uri(buffer.getvalue(), "image/png"), alt)

    def animation(self, name: str, animation, alt: str, still: Picture) -> Picture:
        """Save an animation as GIF."""
        path = self.folder / f"{name}.gif"
        animation.save_gif(path, dpi=min(self._dpi, 85.0))
        return Picture(_data_uri(path.read_bytes(), "image/gif"), alt, still.source)


def write(path: Path, template: str = "page.html.jinja", **content) -> None:
    """Fill a template of this folder and write the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(**content)
    path.write_text(page, encoding="utf-8")


def machine() -> dict[str, str]:
    """The versions and the machine behind the numbers."""
    packages = "gradtx", "jax", "jaxlib", "numpy", "scikit-learn", "matplotlib"
    return {
        "versions": ", ".join(f"{package} {_version(package)}" for package in packages),
        "Python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "(not installed)"


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
