"""Which rules have the state of which optimizer of torch.optim, and with which numbers."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from .._core.arguments import concrete_number
from .._core.body import Body
from .._core.composite import Sequence
from .._core.leaves import is_traced
from .._core.lifted import Lifted
from .._core.rule import DecayNumber, schedule_of
from ._names import Entry

Group = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Kin:
    """What a rule has in common with torch.

    Attributes:
        fields: Fields of its state by the keys that torch has for them.
        numbers: Its numbers by what a group of torch has for them.
        static: Its flags, and what they are in torch.
        constants: Fields of its state that torch has in its groups, and what they are there.
        only: The one optimizer that has such a state, where its keys alone do not say so.
    """

    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    numbers: Mapping[str, Callable[[Group], Any]] = dataclasses.field(default_factory=dict)
    static: Mapping[str, Callable[[Group], Any]] = dataclasses.field(default_factory=dict)
    constants: Mapping[str, Callable[[Group], Any]] = dataclasses.field(default_factory=dict)
    only: str = ""


def _of(key: str, place: int | None = None) -> Callable[[Group], Any]:
    return lambda group: group[key] if place is None else group[key][place]


def _always(value: Any) -> Callable[[Group], Any]:
    return lambda group: value


_BETAS = {"b1": _of("betas", 0), "b2": _of("betas", 1)}
_ADAM = _BETAS | {"eps": _of("eps"), "eps_root": _always(0.0)}
_MOMENTS = {"mu": "exp_avg", "nu": "exp_avg_sq"}
_RMS = {"decay": _of("alpha"), "eps": _of("eps")}
_RMS_FLAGS = {"eps_in_sqrt": _always(False), "bias_correction": _always(False)}

RULES = {
    "scale_by_adam": Kin(_MOMENTS, _ADAM, {"nesterov": _always(False), "eps_hat": _always(False)}),
    "scale_by_amsgrad": Kin(
        _MOMENTS | {"nu_max": "max_exp_avg_sq"},
        _ADAM,
        {"bias_correction_mu": _always(True), "bias_correction_nu": _always(True)},
    ),
    "scale_by_nadam": Kin(
        _MOMENTS | {"momentum_product": "mu_product"},
        _ADAM | {"momentum_decay": _of("momentum_decay")},
    ),
    "scale_by_radam": Kin(
        _MOMENTS, _ADAM | {"threshold": _always(5.0)}, {"nesterov": _always(False)}
    ),
    "scale_by_adamax": Kin({"mu": "exp_avg", "nu": "exp_inf"}, _BETAS | {"eps": _of("eps")}),
    "scale_by_rss": Kin(
        {"sum_of_squares": "sum"}, {"eps": _of("eps")}, {"eps_in_sqrt": _always(False)}
    ),
    "scale_by_adadelta": Kin(
        {"e_g": "square_avg", "e_x": "acc_delta"}, {"rho": _of("rho"), "eps": _of("eps")}
    ),
    "scale_by_rms": Kin({"nu": "square_avg"}, _RMS, _RMS_FLAGS),
    "scale_by_stddev": Kin({"mu": "grad_avg", "nu": "square_avg"}, _RMS, _RMS_FLAGS),
    "trace": Kin(
        {"trace": "momentum_buffer"}, {"decay": _of("momentum")}, {"nesterov": _of("nesterov")}
    ),
    "ema": Kin({"ema": "momentum_buffer"}, {"decay": _of("momentum")}, {"debias": _always(False)}),
    "scale_by_rprop": Kin(
        {"step_sizes": "step_size", "prev_updates": "prev"},
        {
            "eta_minus": _of("etas", 0),
            "eta_plus": _of("etas", 1),
            "min_step_size": _of("step_sizes", 0),
            "max_step_size": _of("step_sizes", 1),
        },
    ),
    "scale_by_factored_rms": Kin(
        {"v_row": "row_var", "v_col": "col_var", "v": "variance"},
        {"decay_rate": lambda group: -group["beta2_decay"], "step_offset": _always(0)},
    ),
    # Not eps: torch takes it as a floor of the norm, here it is added; both are far below a norm.
    "scale_by_muon": Kin(
        {"mu": "momentum_buffer"},
        {"beta": _of("momentum")},
        {"nesterov": _of("nesterov"), "adaptive": _always(False)},
        {"ns_coeffs": _of("ns_coefficients")},
        only="Muon",
    ),
    "clip_by_block_rms": Kin({}, {"threshold": _of("d")}),
    "add_decayed_weights": Kin({}, {"weight_decay": _of("weight_decay")}),
    "scale_by_learning_rate": Kin({}, {"step_size": _of("lr")}),
}

# What each optimizer of torch keeps for a parameter, by what only its groups have.
_KEPT = (
    ({"dampening"}, "SGD", ("momentum_buffer",)),
    ({"amsgrad"}, "Adam or AdamW", ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")),
    ({"momentum_decay"}, "NAdam", ("step", "mu_product", "exp_avg", "exp_avg_sq")),
    ({"betas", "decoupled_weight_decay"}, "RAdam", ("step", "exp_avg", "exp_avg_sq")),
    ({"betas", "weight_decay"}, "Adamax", ("step", "exp_avg", "exp_inf")),
    ({"lr_decay"}, "Adagrad", ("step", "sum")),
    ({"rho"}, "Adadelta", ("step", "square_avg", "acc_delta")),
    ({"centered"}, "RMSprop", ("step", "square_avg", "grad_avg", "momentum_buffer")),
    ({"etas"}, "Rprop", ("step", "prev", "step_size")),
    ({"beta2_decay"}, "Adafactor", ("step", "row_var", "col_var", "variance")),
    ({"ns_coefficients"}, "Muon", ("momentum_buffer",)),
    ({"betas"}, "SparseAdam", ("step", "exp_avg", "exp_avg_sq")),
)
_REFUSED = (
    ({"t0"}, "ASGD", "its average and its rate, which falls by a law of its own, are no rule here"),
    (
        {"history_size"},
        "LBFGS",
        "it keeps all parameters in one vector, and a line search of its own",
    ),
)


def kind_of(owner: str, group: Group) -> tuple[str, tuple[str, ...]]:
    """Name of the optimizer that a group is of, and what it keeps for each parameter.

    Raises:
        ValueError: If its state means something that no rule here has, or it is not known.
    """
    for keys, name, reason in _REFUSED:
        if keys <= set(group):
            raise ValueError(f"{owner}: the state of torch's {name} cannot be carried: {reason}.")
    for keys, name, kept in _KEPT:
        if keys <= set(group):
            absent = set()
            if not group.get("amsgrad", True):
                absent.add("max_exp_avg_sq")
            if not group.get("centered", True):
                absent.add("grad_avg")
            if not group.get("momentum", True) and name != "Muon":
                absent.add("momentum_buffer")
            return name, tuple(key for key in kept if key not in absent)
    raise ValueError(
        f"{owner}: the groups of `state_dict` are of no optimizer of torch.optim that is known; "
        f"they have {sorted(set(group) - {'params'})}."
    )


def suits(kin: Kin, group: Group) -> bool:
    """Whether a rule may have the state, and so the numbers, of the optimizer of a group."""
    kind, kept = next((name, kept) for keys, name, kept in _KEPT if keys <= set(group))
    if not kin.fields:
        return True
    return kin.only == (kind if kind == "Muon" else "") and not {*kin.fields.values()}.isdisjoint(
        kept
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A rule in a transformation.

    Attributes:
        body: The rule with its numbers.
        entries: The arrays of its state.
        factor: The product of the numbers that updates were multiplied with before, None if it is
            no constant.
    """

    body: Lifted
    entries: list[Entry]
    factor: float | None

    @property
    def kin(self) -> Kin | None:
        """What it has in common with torch, or None."""
        return RULES.get(self.body.name)

    def number(self, name: str, count: int | None) -> float | None:
        """One of its numbers, a schedule at that count, or None if nobody knows it."""
        value = self.body.numbers[name]
        schedule = schedule_of(value)
        if schedule is None:
            return concrete_number(value.value if isinstance(value, DecayNumber) else value)
        try:
            found = jnp.asarray(schedule(jnp.asarray(count or 0, jnp.int32)))
        except (TypeError, ValueError, AttributeError):
            return None
        return None if is_traced(found) else concrete_number(found)


def parts_of(body: Body, tree: Any) -> list[Part]:
    """The rules of a transformation in the order in which updates meet them.

    Args:
        body: The transformation's.
        tree: Its state with an `Entry` for each array.
    """
    found: list[Part] = []
    _collect(body, tree, 1.0, found)
    return found


def _collect(body: Body, state: Any, factor: float | None, found: list[Part]) -> float | None:
    """Append the rules of a body; returns the factor behind it."""
    if isinstance(body, Lifted):
        entries = [x for x in jax.tree.leaves(state) if isinstance(x, Entry)]
        part = Part(body, entries, factor)
        found.append(part)
        sign = {"scale_by_learning_rate": -1.0, "scale": 1.0, "scale_by_schedule": 1.0}
        if body.name not in sign or body.where is not None:
            return factor
        size = concrete_number(body.numbers["step_size"])
        return None if size is None or factor is None else sign[body.name] * size * factor
    behind = factor
    for inside in body.inner_states(state):
        behind = _collect(inside.body, inside.state, factor, found)
        if isinstance(body, Sequence):
            factor = behind
    return behind


def momentum_scale(owner: str, part: Part, group: Mapping[str, Any]) -> float:
    """How many times what torch keeps as momentum the velocity here is.

    Raises:
        ValueError: If what stands before the momentum here is no constant.
    """
    if part.factor is None:
        raise ValueError(
            f"{owner}: before {part.body.name} there is a schedule, so that its momentum has other "
            "rates in it than torch's, which has none. Put the learning rate behind it: "
            "chain(scale_by_rms(...), trace(...), scale_by_learning_rate(...))."
        )
    weight = 1.0
    if is_average(part):
        decay = part.number("decay", None)
        weight = 1 - decay if decay is not None else 1.0
    return part.factor * weight / (1 - group.get("dampening", 0))


def is_average(part: Part) -> bool:
    """Whether the momentum of a rule is a mean, not a sum."""
    return part.body.name == "ema" or bool(part.body.static.get("averaging"))
