"""Where a state of Optax means something else, or the rule that reads it differs."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .._core.composite import Composite
from .._core.describe import Description
from .._core.wrap import Around, Wrapper


class _Difference(NamedTuple):
    reason: str
    applies: Callable[[dict[str, Any]], Any] = lambda arguments: True


# By constructor: states that hold something else than Optax's.
_REFUSED = {
    "scale_by_adan": _Difference("Optax weighs the change of the gradient in n by 1 - b2, not b2"),
    "scale_by_acprop": _Difference("Optax centers nu on the mean before, not on the one now"),
    "scale_by_amsgrad": _Difference(
        "Optax's nu_max is the maximum of corrected squares, which is no correction of a maximum; "
        "without bias_correction_nu, here and there, they are the same",
        lambda h: h["bias_correction_nu"],
    ),
    "scale_by_galore": _Difference(
        'Optax projects the larger side: project="larger" is the same',
        lambda h: h["project"] != "larger",
    ),
    "adafactor": _Difference(
        "Optax's momentum is that of steps, which have the rate and the size of the parameter in "
        "them, not that of directions",
        lambda h: h["momentum"] is not None,
    ),
}

# By constructor: the state is the same, but what is done with it differs.
_HINTS = {
    "adafactor": _Difference(
        "without a learning rate steps are min(1e-2, 1 / sqrt(t)) times the size of the parameter, "
        "in Optax 1 times",
        lambda h: h["learning_rate"] is None,
    ),
    "add_noise": _Difference("the random numbers are others than Optax's"),
    "mechanize": _Difference(
        "the reward is kept from falling below 0; clip_reward=True does as Optax",
        lambda h: not h["clip_reward"],
    ),
    "momo": _Difference(
        "the distance is divided by 1 + the weight decay, in Optax it is not",
        lambda h: h["weight_decay"] is not None,
    ),
    "muon": _Difference(
        "Adam for what is no matrix is without Nesterov's momentum; adam_nesterov=True does as "
        "Optax's nesterov=True",
        lambda h: h["nesterov"] and not h["adam_nesterov"],
    ),
    "scale_by_amsgrad": _Difference(
        "nu_max is taken as the maximum of squares that were not corrected, as Optax has it with "
        "bias_correction_nu=False; its default corrects them",
        lambda h: not h["bias_correction_nu"],
    ),
    "scale_by_rprop": _Difference(
        "Optax applies each update one step later, so its last one is not applied"
    ),
    "scale_by_sophia": _Difference(
        "Optax corrects the bias and divides by the estimate before; bias_correction=True corrects"
    ),
    "scale_by_yogi": _Difference(
        "Optax corrects the bias; bias_correction=True does so",
        lambda h: not h["bias_correction"],
    ),
    "schedule_free_adamw": _Difference(
        "each step has the weight of its own rate, in Optax of the next one's: the same once the "
        "rate is constant"
    ),
}
_HINTS["momo_adam"] = _HINTS["momo"]


def check_meaning(owner: str, tx: Any) -> list[str]:
    """What differs in rules that read the same state, as sentences.

    Raises:
        ValueError: If a state holds something else than Optax's.
    """
    hints: dict[str, None] = {}
    for found in descriptions(tx):
        refused, hint = _REFUSED.get(found.name), _HINTS.get(found.name)
        if refused is not None and refused.applies(found.arguments):
            raise ValueError(
                f"{owner}: the state of {found.name} means something else in Optax: "
                f"{refused.reason}."
            )
        if hint is not None and hint.applies(found.arguments):
            hints[f"{found.name}: {hint.reason}."] = None
    return list(hints)


def descriptions(tx: Any) -> Iterator[Description]:
    """The constructors and arguments of a transformation and of all that it is made of."""
    description = getattr(tx, "description", None)
    if description is not None:
        yield description
    body = tx.update.body
    if isinstance(body, (Composite, Wrapper)):
        parts = body.children
    else:
        parts = (body.inner,) if isinstance(body, Around) else ()
    for part in parts:
        yield from descriptions(part)
