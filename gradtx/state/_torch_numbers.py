"""Where the numbers of torch's groups are not those of the rules here."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._core.arguments import concrete_number
from .._core.rule import schedule_of
from ._torch_rules import RULES, Group, Part, is_average, kind_of, suits


def differences(parts: list[Part], groups: list[Group], count: int | None) -> Iterator[str]:
    """Where numbers of torch's groups are not those of the rules, as sentences."""
    for index, group in enumerate(groups):
        for (rule, name), ours in _numbers(parts, count).items():
            if not suits(RULES[rule], group):
                continue
            try:
                theirs = RULES[rule].numbers[name](group)
            except (KeyError, TypeError):
                continue  # a rule that this optimizer does not have
            if rule == "scale_by_learning_rate":
                factor = _rate_factor(parts, group)
                theirs = _rate(group, count or 0) * factor
                if factor != 1:
                    what = f"{rule}'s {name} must be {factor:g} times torch's lr, and"
                    yield from _differing(what, ours, theirs, index, len(groups))
                    continue
            yield from _differing(f"{rule}'s {name}", ours, theirs, index, len(groups))
        yield from _flags(parts, group, index, len(groups))


def _rate(group: Group, count: int) -> float:
    """The learning rate that torch has in a step, 0 being the first."""
    rate = float(group["lr"]) / (1 + count * group.get("lr_decay", 0))
    return min(rate, (count + 1) ** -0.5) if "beta2_decay" in group else rate


def _rate_factor(parts: list[Part], group: Group) -> float:
    """How many times torch's learning rate that here is: torch weighs its momentum otherwise."""
    moments = [p for p in parts if p.kin and "momentum_buffer" in p.kin.fields.values()]
    if not group.get("momentum") or "dampening" not in group or len(moments) != 1:
        return 1.0
    (part,) = moments
    factor = 1 - float(group["dampening"])
    if is_average(part):
        factor /= 1 - (part.number("decay", None) or 0.0)
    names = [other.body.name for other in parts[: parts.index(part)]]
    if part.factor and "scale_by_learning_rate" not in names:
        factor /= abs(part.factor)  # what gradients are multiplied with before
    return round(factor, 12)


def _numbers(parts: list[Part], count: int | None) -> dict[tuple[str, str], list[float | None]]:
    found: dict[tuple[str, str], list[float | None]] = {}
    for part in parts:
        for name in part.kin.numbers if part.kin else ():
            if name in part.body.numbers:
                known = found.setdefault((part.body.name, name), [])
                known.append(part.number(name, count))
                if name == "weight_decay" and part.body.where is not None:
                    known.append(0.0)  # of those that the mask leaves out
    return found


def _differing(what: str, ours: list, theirs: Any, index: int, of: int) -> Iterator[str]:
    where = f"group {index} of torch" if of > 1 else "torch"
    theirs = concrete_number(theirs) if not hasattr(theirs, "item") else float(theirs)
    known = [x for x in ours if x is not None]
    if theirs is None or any(np.isclose(x, theirs, rtol=1e-6, atol=0) for x in known):
        return
    if not known:
        yield f"{what} cannot be compared with {theirs:g} in {where}."
        return
    shown = " or ".join(f"{x:g}" for x in dict.fromkeys(known))
    yield f"{what} is {shown}, in {where} {theirs:g}."


def _flags(parts: list[Part], group: Group, index: int, of: int) -> Iterator[str]:
    where = f"group {index} of torch" if of > 1 else "torch"
    for part in parts:
        if part.kin is None or not suits(part.kin, group):
            continue
        for name, wanted in part.kin.static.items():
            theirs = bool(wanted({"nesterov": False} | dict(group)))
            if name in part.body.static and bool(part.body.static[name]) != theirs:
                ours = part.body.static[name]
                yield f"{part.body.name} has {name}={ours!r}, in {where} it is as {theirs!r}."
    if group.get("maximize"):
        yield f"{where} maximizes: turn the sign of the gradients."
    yield from _decay(parts, group, where)


def _decay(parts: list[Part], group: Group, where: str) -> Iterator[str]:
    """Whether weight decay is another one in torch, or in another place."""
    decay = group.get("weight_decay") or 0
    names = [part.body.name for part in parts]
    shares = [part for part in parts if part.body.name == "shrink_weights"]
    if not decay:
        return
    if "add_decayed_weights" not in names and shares:
        theirs, ours = float(group["lr"]) * float(decay), [_share(part) for part in shares]
        if not any(x is not None and np.isclose(x, theirs, rtol=1e-6, atol=0) for x in ours):
            shown = " or ".join("what a schedule says" if x is None else f"{x:g}" for x in ours)
            yield (
                f"weight decay takes lr * weight_decay = {theirs:g} of a parameter in a step in "
                f"{where}, here {shown}, for its coupling is another."
            )
    elif "add_decayed_weights" not in names:
        yield f"weight_decay is {float(decay):g} in {where}, but no add_decayed_weights is here."
    elif (decoupled := _is_decoupled(group)) is not None:
        moments = (i for i, part in enumerate(parts) if _remembers(part, group))
        first = next(moments, len(parts))
        behind = {i > first for i, name in enumerate(names) if name == "add_decayed_weights"}
        if decoupled not in behind:
            theirs = "behind" if decoupled else "before"
            yield f"weight decay acts {theirs} the moments in {where}, here it does not."


def _share(part: Part) -> float | None:
    """The share of a parameter that a rule takes in a step."""
    if any(schedule_of(x) is not None for x in part.body.numbers.values()):
        return None
    numbers = {name: part.number(name, None) for name in part.body.numbers}
    decay, rate, peak = (numbers.get(x, 1.0) for x in ("weight_decay", "learning_rate", "peak"))
    return None if decay is None or rate is None or not peak else decay * rate / peak


def _is_decoupled(group: Group) -> bool | None:
    """Whether torch's decay passes the moments by; None for older dicts, which do not say."""
    if "decoupled_weight_decay" in group:
        return bool(group["decoupled_weight_decay"])
    kind, _ = kind_of("", group)
    if kind in ("Muon", "Adafactor"):
        return True
    return False if kind in ("SGD", "Adagrad", "Adadelta", "Adamax", "RMSprop") else None


def _remembers(part: Part, group: Group) -> bool:
    """Whether a rule has the state of the optimizer of a group."""
    return part.kin is not None and bool(part.kin.fields) and suits(part.kin, group)
