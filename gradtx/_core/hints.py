"""What a message says of the mistake that was probably made."""

import difflib
import inspect
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import jax

from .describe import constructor_of
from .state import typed_fields

# What other libraries and papers call it, and what it may be called here.
_SYNONYMS = {
    "lr": ("learning_rate", "step_size"),
    "eta": ("learning_rate", "step_size"),
    "alpha": ("learning_rate", "step_size"),
    "rate": ("learning_rate", "step_size"),
    "wd": ("weight_decay",),
    "l2": ("weight_decay",),
    "decay": ("weight_decay",),
    "momentum": ("b1", "momentum", "decay"),
    "mu": ("momentum", "b1", "decay"),
    "beta": ("momentum", "b1", "decay"),
    "betas": ("b1", "decay"),
    "beta1": ("b1",),
    "beta_1": ("b1",),
    "beta2": ("b2",),
    "beta_2": ("b2",),
    "epsilon": ("eps",),
    "warmup": ("warmup_steps",),
    "max_grad_norm": ("max_norm",),
}


_ACCUMULATES = (
    "It is for `accumulate`: accumulate(tx, every) instead of MultiSteps, which gives each "
    "micro-step the same weight, as in Optax. Where an accumulate stands beside this in an "
    "optax.chain, which hands everything to everybody, use gradtx.chain."
)
# Extra arguments that mean something here; of those that not every transformation may be given,
# why not.
_EXTRAS = {"value": "", "grad": "", "value_fn": "", "weight": _ACCUMULATES, "flush": _ACCUMULATES}


def meant(name: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The one of some names that was probably meant by another."""
    names = list(known)
    synonyms = (x for x in _SYNONYMS.get(name.lower(), ()) if x in names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=cutoff)
    return next(synonyms, close[0] if close else None)


def who_takes(owner: str, argument: str, names: Collection[str]) -> str:
    """Where an argument belongs that a constructor has not, as a sentence."""
    decoupled = constructor_of(f"{owner}w")
    if decoupled and argument in inspect.signature(decoupled).parameters:
        return f" `{owner}w` has it."
    decay = constructor_of("decay")
    if "weight_decay" in names and decay and argument in inspect.signature(decay).parameters:
        return f" See weight_decay=gradtx.decay(..., {argument}=...)."
    return ""


def written_signature(name: str, signature: inspect.Signature) -> str:
    """A signature without annotations, which are for checks."""
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return f"{name}{inspect.Signature(plain)}"


def why_no_transformation(owner: str, given: Any) -> str:
    """What was probably meant by something that is no transformation, as a sentence."""
    belongs = getattr(given, "belongs", None)
    if isinstance(belongs, str):
        return belongs
    constructor = constructor_of(owner)
    signature = inspect.signature(constructor) if constructor else inspect.Signature()
    parameters = list(signature.parameters.values())
    takes_several = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if isinstance(given, Mapping):
        return "A dict? Give named_chain(*parts.items()), or groups(*rules.items())."
    if isinstance(given, (list, tuple)):
        return f"A {type(given).__name__}? Give {owner if takes_several else 'chain'}(*parts)."
    if isinstance(given, (str, re.Pattern)) and not takes_several and len(parameters) > 1:
        return f"The transformation comes first: {_usage(owner, signature)}."
    return "Was a constructor not called?"


# What the transformation is called that a constructor is about.
_ABOUT = ("inner", "tx", "opt", "optimizer", "base_optimizer", "fast_optimizer")


def check_first(owner: str, signature: inspect.Signature, given: Mapping[str, Any]) -> None:
    """Raise if a constructor that begins with a transformation got it in another place."""
    first = next(iter(signature.parameters.values()), None)
    if first is None or first.name not in _ABOUT or _is_pair(given[first.name]):
        return
    if any(_is_pair(x) for x in given.values()):
        raise TypeError(
            f"{owner}: the transformation comes first, {_usage(owner, signature)}, but "
            f"`{first.name}` is {given[first.name]!r}."
        )


def _usage(owner: str, signature: inspect.Signature) -> str:
    """The call of a constructor with what it cannot do without."""
    named = (
        p for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    )
    return f"{owner}({', '.join(p.name for p in named if p.default is p.empty)})"


def _is_pair(x: Any) -> bool:
    return isinstance(x, tuple) and len(x) == 2 and all(map(callable, x))


def look_like_state(tree: Any) -> bool:
    """Whether a state of gradtx is in a tree."""
    leaves = jax.tree.leaves(tree, is_leaf=lambda x: typed_fields(x) is not None)
    return any(typed_fields(x) is not None for x in leaves)


def need_extra(owner: str, names: Iterable[str], given: Iterable[str], why: str = "") -> None:
    """Raise if an extra argument is missing that something cannot do without.

    Args:
        owner: What needs them.
        names: What it needs.
        given: What was given.
        why: What else to say of it.

    Raises:
        TypeError: With all that are missing, and what was given in their place.
    """
    given = list(given)
    missing = [name for name in names if name not in given]
    if not missing:
        return
    others = [name for name in given if name not in names]
    close = [x for name in missing for x in difflib.get_close_matches(name, others, 1, 0.4)]
    hint = f" `{close[0]}` was given: is that it?" if close else ""
    listed = " and ".join(f"`{name}`" for name in missing)
    if len(missing) > 2:
        listed = ", ".join(f"`{name}`" for name in missing[:-1]) + f" and `{missing[-1]}`"
    raise TypeError(
        f"{owner} needs the extra argument{'s' * (len(missing) > 1)} {listed}: call "
        f"update(updates, state, params, {', '.join(f'{name}=...' for name in missing)}).{hint}"
        + (why and f" {why}")
    )


def check_extra(owner: str, given: Mapping[str, Any], known: set[str], options: set[str]) -> None:
    """Raise if an extra argument was meant for something that is not here, or is misspelt.

    What several transformations of Optax take, such as `value`, may go to any, and is meant by
    what is nearly called so; but `values` may be somebody else's where nothing takes `value`. A
    name that resembles none is for somebody else.

    Args:
        owner: Who was given them.
        given: The extra arguments.
        known: The names of those that are taken.
        options: Of these the ones that may be left out.

    Raises:
        TypeError: If one that only an `accumulate` takes is given to what has none, or one is
            nearly called like one that may be given.
    """
    needed = known - options  # another message says if those are missing
    anywhere = {name for name, why in _EXTRAS.items() if not why}
    absent = sorted((options | anywhere) - needed - set(given))
    for name in given:
        if name in known or any(_takes(function, name) for function in given.values()):
            continue
        if why := _EXTRAS.get(name):
            raise TypeError(f"{owner}: nothing here takes the extra argument `{name}`. {why}")
        likely = [x for x in absent if x in known or name != f"{x}s"]
        close = [] if name in _EXTRAS else difflib.get_close_matches(name, likely, 1, 0.8)
        if close:
            raise TypeError(
                f"{owner}: no extra argument is called `{name}`. Did you mean `{close[0]}`?"
            )


def _takes(function: Any, name: str) -> bool:
    """Whether something is a function that takes an argument of a name, as a loss may do."""
    try:
        if not callable(function):
            return False
        parameters = inspect.signature(function).parameters
        return name in parameters or any(p.kind == p.VAR_KEYWORD for p in parameters.values())
    except (TypeError, ValueError):  # some builtins have no signature
        return False
