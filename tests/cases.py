"""Every public constructor of a transformation, with how the contract is to be checked for it.

A line is `name: case(make, options)`. The part of a name before " / " is the constructor; a
constructor that takes another path for another argument has several lines. Options are those of
`gradtx.testing.check_transformation`. A constructor without a line fails the suite
(tests/contract/test_table.py).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import gradtx as gx
from gradtx.numerics import abs2


class Case(NamedTuple):
    """How to build a transformation, and the options of its contract."""

    make: Callable[[], gx.GradientTransformation]
    options: dict[str, Any]


# What depends on another branch of the same constructor.
BRIEF = (
    "state",
    "resume",
    "dtypes",
    "uniform",
    "zero",
    "large",
    "derivative",
    "shapes",
)

# What a chain of rules that are under the whole contract can still get wrong: its dtypes, the state
# of its parts, a number at its edge. That its parts compile, shard and differentiate is known.
CHAINED = (
    "state",
    "resume",
    "dtypes",
    "uniform",
    "step",
    "zero",
    "large",
    "extra",
    "missing",
    "shapes",
)


# What a wrapper can get wrong whose inside is under the whole contract: how it compiles, shards and
# keeps its own state. The rest of its arithmetic is that of the loss it is given.
WRAPPING = ("state", "jit", "sharding", "donation", "resume", "step", "zero", "missing", "shapes")


def variant(make, **options):
    """Return a case for another argument of a constructor: the checks that may come out other.

    `make test-slow` makes the rest, as for `chained`.
    """
    return case(make, checks=BRIEF, **options)


def chained(make, **options):
    """Return a case for a chain of rules that have their own lines.

    The default suite makes the short list of checks, `make test-slow` all of them.
    """
    return case(make, checks=CHAINED, **options)


def case(make, **options):
    """Return a case; `make` builds the transformation when a test runs."""
    return Case(make, options)


@gx.register
def halve(updates, params):
    """Return half of a tree, for `stateless`."""
    del params
    return gx.scale(0.5).update(updates, gx.EmptyState())[0]


@gx.register
def pull(g, p):
    """Return the gradient of a parabola added, for `stateless_with_tree_map`."""
    return g + p


@gx.register
def rate(count):
    """Return a learning rate that falls with the step, for arguments that take a schedule."""
    return 0.1 / (1.0 + jnp.asarray(count, jnp.float32))


@gx.register
def matrices(params):
    """Return a mask of the leaves with two axes."""
    return jax.tree.map(lambda p: getattr(p, "ndim", 0) == 2, params)


def loss(params):
    """Return a loss of any tree, whose Hessian in a leaf is I + 11' / 16: exact in any dtype."""
    total = jnp.float32(0)
    for p in jax.tree.leaves(params):
        if jnp.issubdtype(p.dtype, jnp.inexact):
            total += jnp.sum(abs2(p).astype("float32")) / 2
            total += jnp.square(jnp.sum(jnp.real(p).astype("float32"))) / 32
    return total


def sampled_loss(params, key):
    """Return a loss whose labels are drawn, and of how many predictions it is the mean."""
    return loss(params) * jax.random.normal(key, dtype="float32"), 4


def diagonal(params):
    """Return a Hessian diagonal for rules that are scaled by one, as an extra argument."""
    return {"hessian_diagonal": jax.tree.map(lambda p: jnp.cos(jnp.real(p).astype(float)), params)}


WITH_LOSS = {"obj_fn": loss}
WITH_GRADIENT = {"grad_fn": jax.grad(loss, allow_int=True)}


CASES = {
    # Composition.
    "chain": case(lambda: gx.chain(gx.clip_by_global_norm(1.0), gx.chain(gx.adam(0.1)))),
    "chain / empty": variant(lambda: gx.chain()),
    "chain / of a bare pair": variant(lambda: gx.chain(gx.scale(2.0), tuple(gx.trace(0.9)))),
    "named_chain": chained(
        lambda: gx.named_chain(("clip", gx.clip_by_global_norm(1.0)), ("adam", gx.adam(0.1)))
    ),
    "parallel": case(lambda: gx.parallel(gx.ema(0.9), gx.root_mean_square(0.999), merge=gx.divide)),
    "parallel / whole tree": variant(
        lambda: gx.parallel(gx.clip_by_global_norm(1.0), gx.trace(0.9), merge=gx.add)
    ),
    "identity": case(lambda: gx.identity()),
    "stateless": case(lambda: gx.stateless(halve)),
    "stateless_with_tree_map": case(lambda: gx.stateless_with_tree_map(pull)),
    "with_state_dtype": case(lambda: gx.with_state_dtype(gx.adam(0.1), mu="bfloat16")),
    # Parts.
    "scale": case(lambda: gx.scale(-0.5)),
    "scale_by_learning_rate": case(lambda: gx.scale_by_learning_rate(0.1)),
    "scale_by_learning_rate / schedule": variant(lambda: gx.scale_by_learning_rate(rate)),
    "scale_by_schedule": case(lambda: gx.scale_by_schedule(rate)),
    "clip_by_global_norm": case(lambda: gx.clip_by_global_norm(1.0)),
    "add_decayed_weights": case(lambda: gx.add_decayed_weights(0.1)),
    "add_decayed_weights / mask": variant(lambda: gx.add_decayed_weights(0.1, matrices)),
    "add_decayed_weights / schedule": variant(lambda: gx.add_decayed_weights(rate)),
    "adaptive_grad_clip": case(lambda: gx.adaptive_grad_clip(0.1)),
    "adaptive_grad_clip / axis": variant(lambda: gx.adaptive_grad_clip(0.1, axis=())),
    "add_noise": case(lambda: gx.add_noise(0.1, 0.5, key=3)),
    "centralize": case(lambda: gx.centralize()),
    "clip": case(lambda: gx.clip(0.5)),
    "clip_by_block_norm": case(lambda: gx.clip_by_block_norm(0.5)),
    "clip_by_block_rms": case(lambda: gx.clip_by_block_rms(0.5)),
    "normalize": case(lambda: gx.normalize()),
    "normalize_by_block_norm": case(lambda: gx.normalize_by_block_norm()),
    "normalize_by_update_norm": case(lambda: gx.normalize_by_update_norm()),
    "scale_by_param_block_norm": case(lambda: gx.scale_by_param_block_norm()),
    "scale_by_param_block_rms": case(lambda: gx.scale_by_param_block_rms()),
    "scale_by_sign": case(lambda: gx.scale_by_sign()),
    "set_to_zero": case(lambda: gx.set_to_zero(), moves=False),
    "step_and_shrink": case(lambda: gx.step_and_shrink(0.1)),
    "step_and_shrink / schedule": variant(lambda: gx.step_and_shrink(rate)),
    "zero_nans": case(lambda: gx.zero_nans()),
    "scale_by_trust_ratio": case(lambda: gx.scale_by_trust_ratio()),
    "scale_by_trust_ratio / mask": variant(lambda: gx.scale_by_trust_ratio(mask=matrices)),
    # Moments: numerators, denominators, and both at once.
    "ema": case(lambda: gx.ema(0.9)),
    "correct_bias": case(lambda: gx.correct_bias(0.9)),
    "moving_average": case(lambda: gx.moving_average(3)),
    "trace": case(lambda: gx.trace(0.9)),
    "scale_by_momentum": case(lambda: gx.scale_by_momentum(0.9)),
    "scale_by_momentum / nesterov": variant(lambda: gx.scale_by_momentum(0.9, nesterov=True)),
    "nesterov_lookahead": case(lambda: gx.nesterov_lookahead(0.1)),
    "infinity_norm": case(lambda: gx.infinity_norm()),
    "root_mean_square": case(lambda: gx.root_mean_square()),
    "root_max_mean_square": case(lambda: gx.root_max_mean_square()),
    "root_sum_square": case(lambda: gx.root_sum_square()),
    "scale_by_adadelta": case(lambda: gx.scale_by_adadelta()),
    "scale_by_adam": case(lambda: gx.scale_by_adam()),
    "scale_by_adam / nesterov": variant(
        lambda: gx.scale_by_adam(nesterov=True, mu_dtype="bfloat16")
    ),
    "scale_by_adamax": case(lambda: gx.scale_by_adamax()),
    "scale_by_amsgrad": case(lambda: gx.scale_by_amsgrad()),
    "scale_by_nadam": case(lambda: gx.scale_by_nadam()),
    "scale_by_rms": case(lambda: gx.scale_by_rms()),
    "scale_by_rms / bias correction": variant(lambda: gx.scale_by_rms(bias_correction=True)),
    "scale_by_rss": case(lambda: gx.scale_by_rss()),
    "scale_by_stddev": case(lambda: gx.scale_by_stddev()),
    "scale_by_adan": case(lambda: gx.scale_by_adan()),
    "scale_by_belief": case(lambda: gx.scale_by_belief()),
    "scale_by_factored_rms": case(lambda: gx.scale_by_factored_rms()),
    "scale_by_factored_rms / small": variant(
        lambda: gx.scale_by_factored_rms(min_dim_size_to_factor=2)
    ),
    "scale_by_lion": case(lambda: gx.scale_by_lion()),
    "scale_by_lion / smooth": variant(lambda: gx.scale_by_lion(mode="smooth", smooth_beta=2.0)),
    "scale_by_lion / refined": variant(lambda: gx.scale_by_lion(mode="refined")),
    "scale_by_novograd": case(lambda: gx.scale_by_novograd(weight_decay=0.1)),
    "scale_by_optimistic_gradient": case(lambda: gx.scale_by_optimistic_gradient()),
    "scale_by_polyak": case(lambda: gx.scale_by_polyak(), extras={"value": 1.0}),
    "scale_by_radam": case(lambda: gx.scale_by_radam(threshold=0.0)),
    "scale_by_rprop": case(lambda: gx.scale_by_rprop(0.1)),
    "scale_by_sm3": case(lambda: gx.scale_by_sm3()),
    "scale_by_yogi": case(lambda: gx.scale_by_yogi()),
    "scale_by_factored_rms / plain": variant(lambda: gx.scale_by_factored_rms(factored=False)),
    # Second order and sharpness: rules, wrappers, estimators.
    "scale_by_adahessian": case(lambda: gx.scale_by_adahessian(hessian_power=0.5), extras=diagonal),
    "scale_by_sophia": case(lambda: gx.scale_by_sophia(), extras=diagonal),
    "scale_by_sophia / unclipped": variant(
        lambda: gx.scale_by_sophia(eps=0.1, clip_threshold=None, bias_correction=True),
        extras=diagonal,
    ),
    "with_hessian_diagonal": case(
        lambda: gx.with_hessian_diagonal(
            gx.scale_by_sophia(gamma=1.0), gx.stateless_with_tree_map(pull), every=2
        ),
        checks=WRAPPING,
    ),
    "hutchinson_estimator_diag_hessian": case(
        lambda: gx.hutchinson_estimator_diag_hessian(),
        extras=WITH_LOSS,
        checks=("sharding",),
    ),
    "gauss_newton_bartlett_estimator": case(
        lambda: gx.gauss_newton_bartlett_estimator(random_seed=3),
        extras={"sampled_loss_fn": sampled_loss},
        checks=("state", "jit", "resume", "missing"),
    ),
    "penalize_gradient_norm": case(
        lambda: gx.penalize_gradient_norm(gx.trace(0.9)),
        extras=WITH_GRADIENT,
        checks=WRAPPING,
    ),
    "penalize_gradient_norm / adaptive": case(
        lambda: gx.penalize_gradient_norm(gx.sgd(0.1), rate, 0.5, matrices, keep_dtype=True),
        extras=WITH_GRADIENT,
        checks=("state", "zero", "derivative"),
    ),
    # Named optimizers: the chains. Adam gets all checks at once.
    "sgd": chained(lambda: gx.sgd(0.1)),
    "sgd / nesterov": variant(lambda: gx.sgd(rate, 0.9, nesterov=True)),
    "adadelta": chained(lambda: gx.adadelta()),
    "adagrad": chained(lambda: gx.adagrad(0.1)),
    "rmsprop": chained(lambda: gx.rmsprop(0.1)),
    "rmsprop / centered": variant(lambda: gx.rmsprop(0.1, centered=True, momentum=0.9)),
    "adam": case(lambda: gx.adam(0.1)),
    "adamw": chained(lambda: gx.adamw(rate, mask=matrices)),
    "adamax": chained(lambda: gx.adamax(0.1)),
    "adamaxw": chained(lambda: gx.adamaxw(0.1)),
    "amsgrad": chained(lambda: gx.amsgrad(0.1)),
    "nadam": chained(lambda: gx.nadam(0.1)),
    "nadamw": chained(lambda: gx.nadamw(0.1)),
    "adabelief": chained(lambda: gx.adabelief(0.1)),
    "adafactor": chained(lambda: gx.adafactor(min_dim_size_to_factor=2)),
    "adafactor / momentum": variant(
        lambda: gx.adafactor(0.1, min_dim_size_to_factor=2, momentum=0.9, weight_decay_rate=0.1)
    ),
    "adahessian": chained(
        lambda: gx.adahessian(0.1, hessian_diagonal_fn=gx.stateless_with_tree_map(pull))
    ),
    "adan": chained(lambda: gx.adan(0.1, weight_decay=0.1)),
    "fromage": chained(lambda: gx.fromage(0.1)),
    "lamb": chained(lambda: gx.lamb(0.1, weight_decay=0.1)),
    "lars": chained(lambda: gx.lars(0.1, weight_decay=0.1)),
    "lion": chained(lambda: gx.lion(0.1)),
    "noisy_sgd": chained(lambda: gx.noisy_sgd(0.1, seed=1)),
    "novograd": chained(lambda: gx.novograd(0.1)),
    "optimistic_adam_v2": chained(lambda: gx.optimistic_adam_v2(0.1)),
    "optimistic_gradient_descent": chained(lambda: gx.optimistic_gradient_descent(0.1)),
    "polyak_sgd": chained(lambda: gx.polyak_sgd(), extras={"value": 1.0}),
    "radam": chained(lambda: gx.radam(0.1)),
    "rprop": chained(lambda: gx.rprop(0.1)),
    "sign_sgd": chained(lambda: gx.sign_sgd(0.1)),
    "signum": chained(lambda: gx.signum(0.1)),
    "sm3": chained(lambda: gx.sm3(0.1)),
    "sophia": chained(lambda: gx.sophia(0.1, hessian_diagonal_fn=gx.stateless_with_tree_map(pull))),
    "yogi": chained(lambda: gx.yogi(0.1)),
    "adafactor / all": variant(
        lambda: gx.adafactor(
            rate, 2, momentum=0.9, dtype_momentum="bfloat16", weight_decay_rate=0.1
        )
    ),
}


def constructors(name):
    """Return the cases of one constructor."""
    return {key: value for key, value in CASES.items() if key.split(" / ")[0] == name}
