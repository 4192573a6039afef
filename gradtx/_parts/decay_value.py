"""What is meant by a weight decay: a value that every optimizer takes."""

import difflib
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from .._core.arguments import concrete_number, is_function
from .._core.constructor import described
from .._core.describe import Description
from .._core.described import Described
from ..typing import Interval, NonNegativeOrSchedule, Numeric, Positive, ScalarOrSchedule

F = TypeVar("F", bound=Callable[..., Any])

COUPLINGS = ("learning_rate", "schedule", "independent", "gradient")
AIMS = ("zero", "start")
_SHARES = ("independent", "schedule")


class WeightDecay(Described):
    """How parameters decay: what `decay` returns, for the argument `weight_decay`.

    Attributes:
        rate: Number in [0, inf), or a schedule of such.
        coupling: What else it is multiplied by: see `decay`.
        cautious: Whether only entries decay that the step moves there anyway.
        towards: Whether they are pulled to "zero" or to the "start".
        where: Which parameters decay, or None.
        peak: The largest learning rate, or None.
    """

    __slots__ = ("cautious", "coupling", "description", "peak", "rate", "towards", "where")
    belongs = "It is a value for weight_decay=...; in a chain use add_decayed_weights(...)."

    rate: Any
    coupling: str
    cautious: bool
    towards: str
    where: Any
    peak: Any

    def __init__(
        self, rate: Any, coupling: str, cautious: bool, towards: str, where: Any, peak: Any
    ):
        self.rate, self.coupling, self.cautious = rate, coupling, cautious
        self.towards, self.where, self.peak = towards, where, peak


DecayLike = Annotated[ScalarOrSchedule | WeightDecay, Interval(0.0)]
NumberOrDecay = Annotated[Numeric | WeightDecay, Interval(0.0)]


def _with_description(description: Description, made: WeightDecay) -> WeightDecay:
    made.description = description
    return made


def _described(function: F) -> F:
    return described(function, _with_description)


@_described
def decay(
    rate: NonNegativeOrSchedule,
    *,
    coupling: str = "learning_rate",
    cautious: bool = False,
    towards: str = "zero",
    where: Any = None,
    peak: Positive | None = None,
) -> WeightDecay:
    """How parameters decay, for the argument `weight_decay` of every optimizer.

    With u the rest of the step, s the point they are pulled to and eta the learning rate, each step
    ends with

        p = p + u - eta rate (p - s)                 coupling="learning_rate"
        p = p + u - eta / peak rate (p - s)          coupling="schedule"
        p = p + u - rate (p - s)                     coupling="independent"

    the same for every optimizer, whatever it does with gradients; p on the right is that before the
    step. `prodigy` and `dadapt_adamw` find the eta of the first line themselves. With
    coupling="gradient" it is the penalty rate |p - s|^2 / 2 instead: rate (p - s) is added to the
    gradient (L2 regularisation), so that moments and normalisation see it.

    A plain number in the place of this means what the optimizer's source has: for AdamW and its
    like decay(number), for others something else; the table is in the guide on weight decay.

    Args:
        rate: Number in [0, inf), or a schedule of such. Coupled to the learning rate it is in units
            of 1 / eta. With "independent" and "schedule" it is the share of p - s that goes in one
            step, at most 1.
        coupling: "learning_rate", "schedule", "independent" or "gradient".
        cautious: Whether only those entries decay that u moves the same way, or not at all.
        towards: "zero", or "start" for the parameters that `init` was given, as when a trained
            model is adapted: one more copy of those that decay.
        where: Which parameters decay: a pattern of paths ("*/kernel"), a tree of booleans, or a
            function of the parameters to one; None for all. A mask that the optimizer is given
            holds as well.
        peak: The largest learning rate, in (0, inf), for the coupling "schedule". None if the rate
            is a number, which then is its own peak and can be tuned without changing the decay, or
            a schedule made with a `peak_value`.

    Returns:
        A value that prints, compares, pickles and goes into a config.

    Raises:
        ValueError: If an argument is outside its range, or does not go with the coupling.

    Source: Loshchilov, Hutter 2017, https://arxiv.org/abs/1711.05101, Algorithm 2, whose decay has
        the coupling "schedule"; Chen et al. 2025, https://arxiv.org/abs/2510.12402, Algorithm 1,
        for `cautious`; Li, Grandvalet, Davoine 2018, https://arxiv.org/abs/1802.01483, equation 4,
        for the start, there with the coupling "gradient".
    """
    for name, value, known in (("coupling", coupling, COUPLINGS), ("towards", towards, AIMS)):
        if value not in known:
            close = difflib.get_close_matches(str(value), known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"decay: `{name}` must be one of {known}, but is {value!r}.{hint}")
    if cautious and coupling == "gradient":
        raise ValueError(
            "decay: `cautious` must be False with the coupling 'gradient': it compares the "
            "parameters with the step, of which such a decay is a part."
        )
    number = concrete_number(rate)
    if coupling in _SHARES and number is not None and number > 1:
        raise ValueError(
            f"decay: `rate` must be at most 1 with the coupling {coupling!r}, as the share that "
            f"goes in one step, but is {number:g}. Is it meant to be multiplied by the learning "
            'rate? That is the coupling "learning_rate".'
        )
    if peak is not None and coupling != "schedule":
        raise ValueError(
            f"decay: `peak` is for the coupling 'schedule', but the coupling is {coupling!r}."
        )
    return WeightDecay(rate, coupling, cautious, towards, where, peak)


# What a library multiplies the weight decay of an optimizer by, as the coupling of `decay`.
_CONVENTIONS = {
    "torch.Adadelta": "gradient",
    "torch.Adagrad": "gradient",
    "torch.Adam": "gradient",
    "torch.AdamW": "learning_rate",
    "torch.Adamax": "gradient",
    "torch.NAdam": "gradient",
    "torch.RAdam": "gradient",
    "torch.RMSprop": "gradient",
    "torch.SGD": "gradient",
    "torch.Adafactor": "learning_rate",
    "torch.Muon": "learning_rate",
    "optax.adadelta": "gradient",
    "optax.adafactor": "independent",
    "optax.adamaxw": "learning_rate",
    "optax.adamw": "learning_rate",
    "optax.adan": "learning_rate",
    "optax.lion": "learning_rate",
    "optax.muon": "learning_rate",
    "optax.nadamw": "learning_rate",
    "keras": "learning_rate",
    "tensorflow_addons": "independent",
    "tensorflow_addons.RectifiedAdam": "learning_rate",
    "paper.AdamW": "schedule",
    "paper.Lion": "learning_rate",
    "paper.L2": "gradient",
}


def decay_from(
    convention: str, weight_decay: NonNegativeOrSchedule, *, peak: float | None = None
) -> WeightDecay:
    """The weight decay of another library or a paper as `decay` says it.

        sgd(0.1, momentum=0.9, weight_decay=decay_from("torch.SGD", 5e-4))
        adamw(3e-4, weight_decay=decay_from("tensorflow_addons", 1e-5))

    It is the decay alone that is converted: the rest of the optimizer may differ, too.

    Args:
        convention: Whose number it is, such as "torch.SGD", "torch.AdamW", "optax.lion", "keras"
            (the argument `weight_decay` of its optimizers), "tensorflow_addons" (its decoupled
            ones) or "paper.AdamW". What PyTorch has `decoupled_weight_decay` for is
            "torch.AdamW" with it, whatever the optimizer.
        weight_decay: The number as it is given there, in [0, inf), or a schedule of such.
        peak: For "paper.AdamW" the largest learning rate, as for `decay`. For "torch.Adafactor" its
            lr, if `adafactor` has no learning rate: torch multiplies the decay by lr also when
            its relative step has fallen below that.

    Returns:
        What to give as `weight_decay`.

    Raises:
        ValueError: If the convention is not known, or a number outside its range.
        TypeError: If for "torch.Adafactor" a schedule is given with `peak`.
    """
    if convention not in _CONVENTIONS:
        close = difflib.get_close_matches(str(convention), _CONVENTIONS, n=3, cutoff=0.4)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"decay_from: `convention` must be one of {sorted(_CONVENTIONS)}, but is "
            f"{convention!r}.{hint}"
        )
    if convention == "torch.Adafactor" and peak is not None:
        if is_function(weight_decay):
            raise TypeError(
                "decay_from: `weight_decay` must be a number for 'torch.Adafactor' with `peak`, "
                f"but is a function ({weight_decay!r})."
            )
        number: Any = weight_decay
        return decay(number * peak, coupling="independent")
    return decay(weight_decay, coupling=_CONVENTIONS[convention], peak=peak)
