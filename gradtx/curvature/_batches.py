"""Data of an operator: one batch, several, or a stream that is read anew for each product."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax

Batches = Sequence[Any] | Iterable[Any] | Callable[[], Iterable[Any]]


class Stream:
    """Batches that are not kept: an iterable, or a function that returns one."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        source: Any = self._source() if callable(self._source) else self._source
        return map(_as_arguments, source)


def collect(
    owner: str, args: tuple[Any, ...], batches: Batches | None
) -> tuple[tuple[Any, ...], ...] | Stream:
    """The batches, each a tuple of arguments.

    Raises:
        ValueError: If both are given, there is no batch, or it cannot be told how many examples one
            of several has.
        TypeError: If the batches can be read once only.
    """
    if batches is None:
        return (args,)
    if args:
        raise ValueError(
            f"{owner}: data must be given either as arguments or as `batches`, but {len(args)} "
            "arguments and `batches` are given. Put what all batches share into the function, "
            "with functools.partial."
        )
    if isinstance(batches, Iterator) or inspect.isgenerator(batches):
        raise TypeError(
            f"{owner}: `batches` must be a sequence, something that can be iterated over again, "
            f"or a function that returns an iterator, but is a {type(batches).__name__}: it would "
            "be empty at the second product. Pass the function that makes it."
        )
    if isinstance(batches, (list, tuple)):
        kept = tuple(_as_arguments(batch) for batch in batches)
        if not kept:
            raise ValueError(f"{owner}: `batches` must hold at least one batch, but is empty.")
        if len(kept) > 1:
            for batch in kept:
                examples(owner, batch)
        return kept
    if callable(batches) or isinstance(batches, Iterable):
        return Stream(batches)
    raise TypeError(
        f"{owner}: `batches` must be a sequence of tuples of arguments, or a function that "
        f"returns an iterator over them, but is a {type(batches).__name__}."
    )


def examples(owner: str, batch: tuple[Any, ...]) -> int:
    """How much a batch weighs: the length of the first axis of its arrays, 1 if none has axes.

    Raises:
        ValueError: If that differs between its arrays.
    """
    shapes = [leaf.shape for leaf in jax.tree.leaves(batch) if getattr(leaf, "ndim", 0)]
    lengths = {int(shape[0]) for shape in shapes}
    if len(lengths) > 1:
        raise ValueError(
            f"{owner}: all arrays of a batch must have its examples along the first axis, since a "
            f"batch weighs as it has examples, but the shapes are {shapes}. Put what all batches "
            "share into the function, with functools.partial, and wrap old keys of random numbers "
            "with jax.random.wrap_key_data."
        )
    return lengths.pop() if lengths else 1


def _as_arguments(batch: Any) -> tuple[Any, ...]:
    return tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
