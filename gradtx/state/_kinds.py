"""Whether a state is one of a transformation: what class each part of it must have."""

from typing import Any, NamedTuple

import jax
import numpy as np

from .._core.body import Body
from .._core.composite import Composite
from .._core.flow import Flow
from .._core.foreign import Foreign
from .._core.lifted import Lifted
from .._core.remade import Remade
from .._core.rule import Rule
from .._core.state import typed_fields, wrong_state
from .._core.transformation import lift
from .._core.wrap import Around, SameState, Wrapper


class _State(NamedTuple):
    """The state of what stands in for transformations inside."""


def _pass(g: Any, state: Any, p: Any, h: Any) -> Any:
    return g, state


_STAND_IN = lift(Rule(_pass, state=_State))
_PARAMS = (jax.ShapeDtypeStruct((2, 2), np.float32),)


def check_kind(owner: str, body: Body, state: Any) -> None:
    """Raise if a state has not the class that a body's must have, whatever is inside.

    Args:
        owner: Who asks, for messages.
        body: The body.
        state: What shall be its state.

    Raises:
        ValueError: If it is of another class; what is no NamedTuple is not looked at.
    """
    kind = _kind_of(body)
    if kind is not None and type(state) is not kind:
        raise wrong_state(f"{owner}: {body.name}", kind, state)


def _kind_of(body: Body) -> type | None:
    """The class of a body's own state, None if it has none or wants other parameters to tell."""
    if isinstance(body, Lifted):
        return body.rule.state
    if isinstance(body, (Composite, Around, SameState, Foreign)):
        return None
    try:
        if isinstance(body, Wrapper) and not isinstance(body, Remade):
            body = body.with_children((_STAND_IN,) * len(body.children))
        made = body.init(Flow("init", _PARAMS, None, {}))
    except Exception:
        return None
    return None if typed_fields(made) is None or type(made) is _State else type(made)
