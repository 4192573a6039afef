"""Random optimizers, saved and restored after random steps, with and without a change of recipe."""

import random
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import export, restore
from gradtx.testing import gradients_like

PARAMS = {"layers": [{"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}], "out": jnp.ones(2)}
NEW = {"head": jnp.full(2, 0.5)}

# Rule -> fields of one array for each parameter, and of one for all.
RULES = {
    "scale_by_adam": (("mu", "nu"), ("count",)),
    "scale_by_lion": (("mu",), ("count",)),
    "scale_by_rms": (("nu",), ()),
    "trace": (("trace",), ()),
    "scale_by_belief": (("mu", "nu"), ("count",)),
    "scale_by_adan": (("m", "v", "n", "g"), ("t",)),
}
ARGUMENTS = {"trace": (0.9,)}

# Wrapper -> how it is made, its own fields for each parameter, and for all.
WRAPPERS = {
    "MultiSteps": (lambda tx: gx.MultiSteps(tx, 2), ("acc_grads",), ("mini_step", "gradient_step")),
    "apply_if_finite": (
        lambda tx: gx.apply_if_finite(tx, 3),
        (),
        ("notfinite_count", "last_finite", "total_notfinite"),
    ),
    "with_ema": (lambda tx: gx.with_ema(tx, 0.9), ("average",), ("count",)),
    "guard": (
        gx.guard,
        (),
        ("count", "streak", "nonfinite", "spikes", "stopped", "bad_leaves", "filled"),
    ),
    "accumulate": (
        lambda tx: gx.accumulate(tx, 2),
        ("acc_grads",),
        ("micro_step", "count", "weight", "value"),
    ),
}


class Recipe(NamedTuple):
    """What an optimizer is made of; its names are written down here, not asked for."""

    rule: str
    scheduled: bool
    grouped: bool
    clipped: bool
    wrappers: tuple[str, ...]
    params: tuple[str, ...]

    def make(self):
        """Return the optimizer."""
        rate = gx.linear_schedule(0.1, 0.01, 20) if self.scheduled else 0.1
        parts = [getattr(gx, self.rule)(*ARGUMENTS.get(self.rule, ()))]
        parts.append(gx.scale_by_learning_rate(rate))
        if self.clipped:
            parts.insert(0, gx.clip_by_global_norm(1.0))
        tx = gx.chain(*parts)
        if self.grouped:
            tx = gx.groups(("matrices", "*/w", tx), ("rest", "*", tx))
        for wrapper in self.wrappers:
            tx = WRAPPERS[wrapper][0](tx)
        return tx

    def tree(self):
        """Return the parameters."""
        return {k: v for k, v in (PARAMS | NEW).items() if k in self.params}

    def paths(self):
        """Return the paths of the parameters."""
        known = {"layers": ("layers/0/b", "layers/0/w"), "out": ("out",), "head": ("head",)}
        return [path for name in self.params for path in known[name]]

    def names(self):
        """Return the names of all arrays of the state: {name: name without its group}."""
        found = []
        for wrapper in self.wrappers:
            _, each, one = WRAPPERS[wrapper]
            found += [f"{wrapper}/{field}/{path}" for field in each for path in self.paths()]
            found += [f"{wrapper}/{field}" for field in one]
        names = {name: name for name in found}
        each, one = RULES[self.rule]
        labels = ("matrices/", "rest/") if self.grouped else ("",)
        for label in labels:
            ends = [f"{self.rule}/{field}" for field in one]
            ends += ["scale_by_learning_rate/count"] * self.scheduled
            for path in self.paths():
                if not label or (label == "matrices/") == path.endswith("/w"):
                    ends += [f"{self.rule}/{field}/{path}" for field in each]
            names |= {label + end: end for end in ends}
        return names


def drawn(rng):
    """Return a random recipe."""
    known = sorted(WRAPPERS)
    wrappers = rng.sample(known, rng.choice([0, 1, 1, 2]))
    if {"MultiSteps", "accumulate"} <= set(wrappers):
        wrappers.remove("MultiSteps")
    return Recipe(
        rng.choice(sorted(RULES)),
        rng.random() < 0.5,
        rng.random() < 0.4,
        rng.random() < 0.5,
        tuple(wrappers),
        ("layers", "out"),
    )


def changed(rng, recipe):
    """Return the recipe with one thing changed."""
    ways = ["schedule", "groups", "clip", "wrapper", "rule", "layer", "fewer"]
    way = rng.choice(ways)
    if way == "schedule":
        return recipe._replace(scheduled=not recipe.scheduled)
    if way == "groups":
        return recipe._replace(grouped=not recipe.grouped)
    if way == "clip":
        return recipe._replace(clipped=not recipe.clipped)
    if way == "wrapper":
        if recipe.wrappers:
            return recipe._replace(wrappers=recipe.wrappers[1:])
        return recipe._replace(wrappers=("apply_if_finite",))
    if way == "rule":
        others = [rule for rule in sorted(RULES) if rule != recipe.rule]
        return recipe._replace(rule=rng.choice(others))
    if way == "layer":
        return recipe._replace(params=("head", "layers", "out"))
    return recipe._replace(params=("layers",))


class Run:
    """A recipe on its way."""

    def __init__(self, recipe):
        self.recipe, self.tx = recipe, recipe.make()
        self.step = jax.jit(lambda params, state, grads: self.tx.step(grads, state, params))

    def go(self, params, state, first, last):
        """Return parameters and state after the steps from `first` to before `last`."""
        for n in range(first, last):
            params, state = self.step(params, state, gradients_like(params, n))
        return params, state


def same(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for x, y in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def check_unchanged(run, saved, killed_at, end, whole):
    """The same recipe restores all of it, and goes on to the bit."""
    params, arrays = saved
    state, report = restore(run.recipe.make(), params, arrays)
    assert report.exact and set(report.restored) == set(run.recipe.names())
    same(run.go(params, state, killed_at, end), whole)


def check_changed(old, new, arrays):
    """What the report says is what the recipes say; what stayed has its numbers."""
    before, now = old.names(), new.names()
    regroup = old.grouped != new.grouped
    by_end: dict[str, Any] = {end: name for name, end in before.items()} if regroup else {}
    source = {n: n if n in before else by_end.get(end) for n, end in now.items()}
    kept = {name: other for name, other in source.items() if other is not None}
    ends = {now[name] for name in kept}
    gone = {name for name, end in before.items() if name not in now and end not in ends}
    gone = gone if regroup else set(before) - set(now)
    tx, params = new.make(), new.tree()
    if set(kept) != set(now) or gone:
        with pytest.raises(ValueError, match="does not fit"):
            restore(tx, params, arrays, regroup=regroup)
    state, report = restore(tx, params, arrays, missing="init", extra="drop", regroup=regroup)
    assert set(report.restored) == set(kept)
    assert set(report.missing) == set(now) - set(kept)
    assert set(report.extra) == gone
    assert not (report.cast or report.reshaped or report.counted or report.skipped)
    assert report.renamed.keys() == {name for name, other in kept.items() if name != other}
    fresh = tx.init(params)
    assert jax.tree.structure(state) == jax.tree.structure(fresh)
    first, restored = export(tx, fresh), export(tx, state)
    for name in now:
        same(restored[name], arrays[kept[name]] if name in kept else first[name])


def check(seed):
    """Save, kill and restore one random run, and change its recipe three times."""
    rng = random.Random(seed)
    recipe = drawn(rng)
    run, params = Run(recipe), recipe.tree()
    killed_at = rng.randint(1, 5)
    end = killed_at + 2
    half = run.go(params, run.tx.init(params), 0, killed_at)
    arrays = export(run.tx, half[1], to_host=True)
    assert set(arrays) - {"gradtx.state/version"} == set(recipe.names())
    whole = run.go(*half, killed_at, end)
    check_unchanged(run, (half[0], arrays), killed_at, end, whole)
    for _ in range(3):
        check_changed(recipe, changed(rng, recipe), arrays)


@pytest.mark.parametrize("seed", range(2))
def test_random_runs(seed):
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 30))
def test_more_random_runs(seed):
    check(seed)
