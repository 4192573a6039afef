"""One tensor of torch that is several parameters here: fused queries, keys and values."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Split:
    """Several parameters here that are one tensor in torch, one behind the other along an axis.

    As a value of `paths` in `from_torch` and `to_torch`:

        {"attn.in_proj_weight": Split(["attn/q/kernel", "attn/k/kernel", "attn/v/kernel"])}

    The sizes of the parts are those of the parameters here.

    Attributes:
        paths: Their paths here, in the order in which they lie in the tensor.
        axis: The axis of torch's tensor along which they lie; 0 has the outputs of its linear
            layers.
    """

    paths: Sequence[str]
    axis: int = 0

    def __post_init__(self) -> None:
        paths = self.paths
        if isinstance(paths, str) or not all(isinstance(path, str) for path in paths):
            raise TypeError(f"Split: `paths` must be a list of paths, but is {paths!r}.")
        if len(set(paths)) < len(paths) or not paths:
            raise ValueError(f"Split: `paths` must be different paths, but are {list(paths)}.")
        object.__setattr__(self, "paths", tuple(paths))


@dataclasses.dataclass(frozen=True)
class Cut:
    """Where in a tensor a part of it lies.

    Attributes:
        owner: Who asks, for messages.
        name: Name of the tensor.
        ndim: How many axes it has.
        axis: The axis that is cut.
        start: Where the part begins.
        stop: Where it ends.
        sizes: The sizes of all parts by their paths.
    """

    owner: str
    name: str
    ndim: int
    axis: int
    start: int
    stop: int
    sizes: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        return f"[{':, ' * self.axis}{self.start}:{self.stop}]"

    def of(self, x: np.ndarray) -> np.ndarray:
        """The part of an array shaped like the tensor."""
        whole = sum(size for _, size in self.sizes)
        if x.shape[self.axis] != whole:
            parts = " + ".join(str(size) for _, size in self.sizes)
            raise ValueError(
                f"{self.owner}: torch's {self.name!r} has shape {x.shape}, but the parameters that "
                f"it is split into, {', '.join(path for path, _ in self.sizes)}, have {parts} = "
                f"{whole} on its axis {self.axis}. Is it another axis, or are paths missing?"
            )
        return x[(slice(None),) * self.axis + (slice(self.start, self.stop),)]


def cuts_of(
    owner: str, name: str, split: Split, shapes: Mapping[str, tuple[int, ...]]
) -> list[Cut]:
    """Where each part lies.

    Args:
        owner: Who asks, for messages.
        name: Name of the tensor.
        split: What is said of it.
        shapes: Shapes of the parts, with the axes of torch.

    Raises:
        ValueError: If the parts do not make one tensor.
    """
    given = {path: shapes[path] for path in split.paths}
    shown = ", ".join(f"{path} {shape}" for path, shape in given.items())
    ndim = len(next(iter(given.values())))
    if not 0 <= split.axis < ndim:
        raise ValueError(
            f"{owner}: torch's {name!r} is split along axis {split.axis}, which must be one of the "
            f"{ndim} that its parts have there: {shown}."
        )
    axis = split.axis
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in given.values()}) > 1:
        raise ValueError(
            f"{owner}: the parts of torch's {name!r} must have the same shape but on its axis "
            f"{axis}; with its axes they have {shown}. Does `transpose` name all of them?"
        )
    sizes = tuple((path, shape[axis]) for path, shape in given.items())
    stops = np.cumsum([size for _, size in sizes])
    return [
        Cut(owner, name, ndim, axis, int(stop) - size, int(stop), sizes)
        for (_, size), stop in zip(sizes, stops, strict=True)
    ]


def check_whole(owner: str, name: str, group: Mapping) -> None:
    """Raise if the state of a tensor cannot be that of its parts.

    Raises:
        ValueError: If its optimizer measures the tensor as a whole.
    """
    if "beta2_decay" in group:
        raise ValueError(
            f"{owner}: torch's {name!r} cannot be split: Adafactor keeps means over its rows and "
            "columns, which are not those of its parts."
        )


def joined(cuts: Iterable[Cut | None], parts: Sequence[np.ndarray]) -> np.ndarray:
    """The tensor that parts make; what is no array of the tensor's shape is the same for all."""
    cut = next(iter(cuts))
    if cut is None or parts[0].ndim != cut.ndim:
        return parts[0]
    return np.concatenate(parts, axis=cut.axis)
