"""Constructors: functions whose result knows how it was made and whose arguments are checked."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from .arguments import bind, check_arguments
from .describe import Description, register
from .described import DescribedFunction
from .hints import check_first

F = TypeVar("F", bound=Callable[..., Any])


def described(function: F, make: Callable[[Description, Any], Any]) -> F:
    """Check a constructor's arguments by its annotations, and describe what it returns.

    Args:
        function: The constructor as written.
        make: (description, what the function returned) -> the described value.

    Returns:
        The constructor. If it stands at module level, it is registered for configs.
    """
    signature = inspect.signature(function)
    annotations = _annotations_of(signature)
    name = function.__name__

    @functools.wraps(function)
    def constructor(*args, **kwargs):
        bound = bind(name, signature, args, kwargs)
        bound.apply_defaults()
        check_first(name, signature, bound.arguments)
        check_arguments(name, annotations, bound.arguments)
        description = Description(constructor, signature, dict(bound.arguments))
        return make(description, function(*bound.args, **bound.kwargs))

    constructor.__signature__ = signature  # type: ignore[attr-defined]
    if "<" not in function.__qualname__:
        register(constructor)
    return constructor  # type: ignore[return-value]


def schedule(function: F) -> F:
    """Decorate the constructor of a schedule.

    The constructor returns a function of the step. What users get is that function with a
    description: it prints as the call that made it, and compares, hashes, pickles and goes into
    a config by value.

    Args:
        function: A module-level function. Arguments annotated with the types of
            `gradtx.typing` are checked against their ranges.

    Returns:
        The decorated constructor.
    """
    return described(function, DescribedFunction)


def _annotations_of(signature: inspect.Signature) -> dict[str, Any]:
    """The run-time annotations of a constructor's parameters."""
    return {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if parameter.annotation is not inspect.Parameter.empty
    }
