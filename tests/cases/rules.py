"""Rules, and what is composed of them."""

import jax.numpy as jnp

import gradtx as gx

from ._case import case
from ._inputs import (
    WITH_GRADIENT,
    WITH_LOSS,
    diagonal,
    halve,
    matrices,
    matrix_axes,
    pull,
    rate,
    sampled_loss,
    searched,
)

RULES = {
    # Composition.
    "chain": case(lambda: gx.chain(gx.clip_by_global_norm(1.0), gx.chain(gx.adam(0.1)))),
    "chain / empty": case(lambda: gx.chain()),
    "chain / of a bare pair": case(lambda: gx.chain(gx.scale(2.0), tuple(gx.trace(0.9)))),
    "named_chain": case(
        lambda: gx.named_chain(("clip", gx.clip_by_global_norm(1.0)), ("adam", gx.adam(0.1)))
    ),
    "parallel": case(lambda: gx.parallel(gx.ema(0.9), gx.root_mean_square(0.999), merge=gx.divide)),
    "parallel / whole tree": case(
        lambda: gx.parallel(gx.clip_by_global_norm(1.0), gx.trace(0.9), merge=gx.add)
    ),
    "identity": case(lambda: gx.identity()),
    "stateless": case(lambda: gx.stateless(halve)),
    "stateless_with_tree_map": case(lambda: gx.stateless_with_tree_map(pull)),
    "with_extra_args_support": case(lambda: gx.with_extra_args_support(gx.trace(0.9))),
    "with_state_dtype": case(lambda: gx.with_state_dtype(gx.adam(0.1), mu="bfloat16")),
    # Parts.
    "scale": case(lambda: gx.scale(-0.5)),
    "scale_by_learning_rate": case(lambda: gx.scale_by_learning_rate(0.1)),
    "scale_by_learning_rate / schedule": case(lambda: gx.scale_by_learning_rate(rate)),
    "scale_by_schedule": case(lambda: gx.scale_by_schedule(rate)),
    "clip_by_global_norm": case(lambda: gx.clip_by_global_norm(1.0)),
    "add_decayed_weights": case(lambda: gx.add_decayed_weights(0.1)),
    "add_decayed_weights / mask": case(lambda: gx.add_decayed_weights(0.1, matrices)),
    "add_decayed_weights / schedule": case(lambda: gx.add_decayed_weights(rate)),
    "add_decayed_weights / start": case(
        lambda: gx.add_decayed_weights(gx.decay(0.1, towards="start", cautious=True))
    ),
    "shrink_weights": case(lambda: gx.shrink_weights(0.1)),
    "shrink_weights / schedule": case(
        lambda: gx.shrink_weights(
            gx.decay(0.1, coupling="schedule", peak=0.1, cautious=True, where=matrices),
            learning_rate=rate,
        )
    ),
    "adaptive_grad_clip": case(lambda: gx.adaptive_grad_clip(0.1)),
    "adaptive_grad_clip / axis": case(lambda: gx.adaptive_grad_clip(0.1, axis=())),
    "add_noise": case(lambda: gx.add_noise(0.1, 0.5, key=3)),
    "centralize": case(lambda: gx.centralize()),
    "clip": case(lambda: gx.clip(0.5)),
    "clip_by_block_norm": case(lambda: gx.clip_by_block_norm(0.5)),
    "clip_by_block_rms": case(lambda: gx.clip_by_block_rms(0.5)),
    "differentially_private_aggregate": case(
        lambda: gx.differentially_private_aggregate(1.0, 0.5, key=3), examples=3
    ),
    "clip_per_example": case(lambda: gx.clip_per_example(1.0), examples=3),
    "add_private_noise": case(
        lambda: gx.add_private_noise(1.0, 0.5, key=3), extras={"weight": 2.0}
    ),
    "normalize": case(lambda: gx.normalize()),
    "normalize_by_block_norm": case(lambda: gx.normalize_by_block_norm()),
    "normalize_by_update_norm": case(lambda: gx.normalize_by_update_norm()),
    "scale_by_param_block_norm": case(lambda: gx.scale_by_param_block_norm()),
    "scale_by_param_block_rms": case(lambda: gx.scale_by_param_block_rms()),
    "scale_by_sign": case(lambda: gx.scale_by_sign()),
    "set_to_zero": case(lambda: gx.set_to_zero(), moves=False),
    "step_and_shrink": case(lambda: gx.step_and_shrink(0.1)),
    "step_and_shrink / schedule": case(lambda: gx.step_and_shrink(rate)),
    "zero_nans": case(lambda: gx.zero_nans()),
    "apply_every": case(lambda: gx.apply_every(2)),
    "keep_params_nonnegative": case(lambda: gx.keep_params_nonnegative()),
    "reduce_on_plateau": case(
        lambda: gx.reduce_on_plateau(0.5, 1, cooldown=1, accumulation_size=2),
        extras={"value": 1.0},
    ),
    "scale_by_trust_ratio": case(lambda: gx.scale_by_trust_ratio()),
    "scale_by_trust_ratio / mask": case(lambda: gx.scale_by_trust_ratio(mask=matrices)),
    # Moments: numerators, denominators, and both at once.
    "ema": case(lambda: gx.ema(0.9)),
    "correct_bias": case(lambda: gx.correct_bias(0.9)),
    "moving_average": case(lambda: gx.moving_average(3)),
    "trace": case(lambda: gx.trace(0.9)),
    "scale_by_momentum": case(lambda: gx.scale_by_momentum(0.9)),
    "scale_by_momentum / nesterov": case(lambda: gx.scale_by_momentum(0.9, nesterov=True)),
    "nesterov_lookahead": case(lambda: gx.nesterov_lookahead(0.1)),
    "infinity_norm": case(lambda: gx.infinity_norm()),
    "root_mean_square": case(lambda: gx.root_mean_square()),
    "root_max_mean_square": case(lambda: gx.root_max_mean_square()),
    "root_sum_square": case(lambda: gx.root_sum_square()),
    "scale_by_adadelta": case(lambda: gx.scale_by_adadelta()),
    "scale_by_adam": case(lambda: gx.scale_by_adam()),
    "scale_by_adam / nesterov": case(lambda: gx.scale_by_adam(nesterov=True, mu_dtype="bfloat16")),
    "scale_by_adamax": case(lambda: gx.scale_by_adamax()),
    "scale_by_amsgrad": case(lambda: gx.scale_by_amsgrad()),
    "scale_by_nadam": case(lambda: gx.scale_by_nadam()),
    "scale_by_rms": case(lambda: gx.scale_by_rms()),
    "scale_by_rms / bias correction": case(lambda: gx.scale_by_rms(bias_correction=True)),
    "scale_by_rss": case(lambda: gx.scale_by_rss()),
    "scale_by_stddev": case(lambda: gx.scale_by_stddev()),
    "scale_by_adan": case(lambda: gx.scale_by_adan()),
    "scale_by_belief": case(lambda: gx.scale_by_belief()),
    "scale_by_factored_rms": case(lambda: gx.scale_by_factored_rms()),
    "scale_by_factored_rms / small": case(
        lambda: gx.scale_by_factored_rms(min_dim_size_to_factor=2)
    ),
    "scale_by_lion": case(lambda: gx.scale_by_lion()),
    "scale_by_lion / smooth": case(lambda: gx.scale_by_lion(mode="smooth", smooth_beta=2.0)),
    "scale_by_lion / refined": case(lambda: gx.scale_by_lion(mode="refined")),
    "scale_by_novograd": case(lambda: gx.scale_by_novograd(weight_decay=0.1)),
    "scale_by_optimistic_gradient": case(lambda: gx.scale_by_optimistic_gradient()),
    "scale_by_polyak": case(lambda: gx.scale_by_polyak(), extras={"value": 1.0}),
    "scale_by_radam": case(lambda: gx.scale_by_radam(threshold=0.0)),
    "scale_by_rprop": case(lambda: gx.scale_by_rprop(0.1)),
    "scale_by_sm3": case(lambda: gx.scale_by_sm3()),
    "scale_by_acprop": case(lambda: gx.scale_by_acprop()),
    "scale_by_ademamix": case(lambda: gx.scale_by_ademamix()),
    "scale_by_ademamix / schedule": case(lambda: gx.scale_by_ademamix(b3=rate, alpha=rate)),
    "scale_by_simplified_ademamix": case(lambda: gx.scale_by_simplified_ademamix(alpha=rate)),
    "scale_by_adopt": case(lambda: gx.scale_by_adopt()),
    "scale_by_adopt / unclipped": case(
        lambda: gx.scale_by_adopt(nesterov=True, use_clipping=False)
    ),
    "scale_by_madgrad": case(lambda: gx.scale_by_madgrad(0.1)),
    "scale_by_yogi": case(lambda: gx.scale_by_yogi()),
    "scale_by_factored_rms / plain": case(lambda: gx.scale_by_factored_rms(factored=False)),
    # Second order and sharpness: rules, wrappers, estimators.
    "scale_by_adahessian": case(lambda: gx.scale_by_adahessian(hessian_power=0.5), extras=diagonal),
    "scale_by_sophia": case(lambda: gx.scale_by_sophia(), extras=diagonal),
    "scale_by_sophia / unclipped": case(
        lambda: gx.scale_by_sophia(eps=0.1, clip_threshold=None, bias_correction=True),
        extras=diagonal,
    ),
    "with_hessian_diagonal": case(
        lambda: gx.with_hessian_diagonal(
            gx.scale_by_sophia(gamma=1.0), gx.stateless_with_tree_map(pull), every=2
        ),
    ),
    "hutchinson_estimator_diag_hessian": case(
        lambda: gx.hutchinson_estimator_diag_hessian(),
        extras=WITH_LOSS,
    ),
    "gauss_newton_bartlett_estimator": case(
        lambda: gx.gauss_newton_bartlett_estimator(random_seed=3),
        extras={"sampled_loss_fn": sampled_loss},
    ),
    "penalize_gradient_norm": case(
        lambda: gx.penalize_gradient_norm(gx.trace(0.9)),
        extras=WITH_GRADIENT,
    ),
    "penalize_gradient_norm / adaptive": case(
        lambda: gx.penalize_gradient_norm(gx.sgd(0.1), rate, 0.5, matrices, keep_dtype=True),
        extras=WITH_GRADIENT,
    ),
    # Rules that find their own step size.
    "scale_by_dog": case(lambda: gx.scale_by_dog(("heuristic", 0.1))),
    "scale_by_dog / learning rate": case(lambda: gx.scale_by_dog(("learning_rate", 0.1))),
    "scale_by_distance_over_gradients": case(lambda: gx.scale_by_distance_over_gradients(0.1)),
    "scale_by_dowg": case(lambda: gx.scale_by_dowg()),
    "scale_by_cocob": case(lambda: gx.scale_by_cocob()),
    "dog": case(
        lambda: gx.dog(rate, ("distance", 0.1), weight_decay=0.1, mask=matrices),
    ),
    "dowg": case(lambda: gx.dowg(weight_decay=0.1)),
    "cocob": case(lambda: gx.cocob(weight_decay=0.1)),
    "dadapt_adamw": case(lambda: gx.dadapt_adamw(rate, estim_lr0=0.1, weight_decay=0.1)),
    "dadapt_adamw / decay": case(
        lambda: gx.dadapt_adamw(
            estim_lr0=0.1,
            weight_decay=gx.decay(rate, cautious=True, towards="start", where=matrices),
        )
    ),
    "prodigy": case(lambda: gx.prodigy(rate, estim_lr0=0.1, weight_decay=0.1)),
    "prodigy / warm-up": case(
        lambda: gx.prodigy(beta3=0.9, safeguard_warmup=True, bias_correction=False),
    ),
    "prodigy / decay": case(
        lambda: gx.prodigy(
            estim_lr0=0.1,
            weight_decay=gx.decay(rate, cautious=True, towards="start", where=matrices),
        )
    ),
    "momo": case(lambda: gx.momo(weight_decay=0.1), extras={"value": 1.0}),
    "momo / bound": case(
        lambda: gx.momo(rate, adapt_lower_bound=True),
        extras={"value": jnp.float32(1.0)},
    ),
    "momo_adam": case(
        lambda: gx.momo_adam(0.1, weight_decay=0.1, adapt_lower_bound=True), extras={"value": 1.0}
    ),
    "mechanize": case(lambda: gx.mechanize(gx.adam(rate), s_init=0.1)),
    "mechanize / Optax": case(
        lambda: gx.mechanize(gx.sgd(1.0), num_betas=2, clip_reward=True),
    ),
    "split_real_and_imaginary": case(lambda: gx.split_real_and_imaginary(gx.scale_by_adam())),
    # Line searches, and what gives them directions.
    "scale_by_lbfgs": case(
        lambda: gx.scale_by_lbfgs(2),
    ),
    "scale_by_backtracking_linesearch": case(
        lambda: gx.scale_by_backtracking_linesearch(5, rtol=0.01, store_grad=True),
        extras=searched,
        moves=False,
    ),
    "scale_by_zoom_linesearch": case(
        lambda: gx.scale_by_zoom_linesearch(5),
        extras=searched,
        moves=False,
    ),
    # Matrices.
    "scale_by_muon": case(lambda: gx.scale_by_muon(weight_dimension_numbers=matrix_axes)),
    "scale_by_muon / narrow": case(
        lambda: gx.scale_by_muon(
            "dion",
            mu_dtype="bfloat16",
            adaptive=True,
            weight_dimension_numbers=matrix_axes,
            ns_dtype="bfloat16",
        ),
        tolerance=3e-2,  # digits of bfloat16 factors, where the order of a sum decides
    ),
    "scale_by_shape": case(lambda: gx.scale_by_shape(matrix_axes, 0.2)),
    "scale_by_galore": case(lambda: gx.scale_by_galore(1, 2)),
}
