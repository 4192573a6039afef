"""Named optimizers."""

import gradtx as gx

from ._case import case
from ._inputs import matrices, matrix_axes, pull, rate, searched

OPTIMIZERS = {
    # Named optimizers.
    "sgd": case(lambda: gx.sgd(0.1)),
    "sgd / decay": case(
        lambda: gx.sgd(0.1, 0.9, weight_decay=gx.decay(0.1, coupling="independent"))
    ),
    "sgd / nesterov": case(lambda: gx.sgd(rate, 0.9, nesterov=True)),
    "adadelta": case(lambda: gx.adadelta()),
    "adagrad": case(lambda: gx.adagrad(0.1)),
    "rmsprop": case(lambda: gx.rmsprop(0.1)),
    "rmsprop / centered": case(lambda: gx.rmsprop(0.1, centered=True, momentum=0.9)),
    "rmsprop / decay": case(lambda: gx.rmsprop(rate, momentum=0.9, weight_decay=0.1)),
    "adam": case(lambda: gx.adam(0.1)),
    "adamw": case(lambda: gx.adamw(rate, mask=matrices)),
    "adamax": case(lambda: gx.adamax(0.1)),
    "adamaxw": case(lambda: gx.adamaxw(0.1)),
    "amsgrad": case(lambda: gx.amsgrad(0.1)),
    "galore": case(lambda: gx.galore(0.1, 1, weight_decay=0.1)),
    "muon": case(
        lambda: gx.muon(
            rate,
            weight_decay=0.1,
            weight_decay_mask=matrices,
            muon_weight_dimension_numbers=matrix_axes,
        )
    ),
    "muon / bare": case(lambda: gx.muon(0.1, consistent_rms=0.2, adam_learning_rate=0.01)),
    "nadam": case(lambda: gx.nadam(0.1)),
    "nadamw": case(lambda: gx.nadamw(0.1)),
    "adabelief": case(lambda: gx.adabelief(0.1)),
    "adafactor": case(lambda: gx.adafactor(min_dim_size_to_factor=2)),
    "adafactor / momentum": case(
        lambda: gx.adafactor(0.1, min_dim_size_to_factor=2, momentum=0.9, weight_decay_rate=0.1)
    ),
    "adahessian": case(
        lambda: gx.adahessian(0.1, hessian_diagonal_fn=gx.stateless_with_tree_map(pull))
    ),
    "acprop": case(lambda: gx.acprop(0.1)),
    "ademamix": case(lambda: gx.ademamix(0.1)),
    "simplified_ademamix": case(lambda: gx.simplified_ademamix(0.1)),
    "adopt": case(lambda: gx.adopt(0.1, clip_value_fn=rate)),
    "madgrad": case(lambda: gx.madgrad(rate)),
    "optimistic_adam": case(lambda: gx.optimistic_adam(0.1)),
    "adan": case(lambda: gx.adan(0.1, weight_decay=0.1)),
    "dpsgd": case(lambda: gx.dpsgd(0.1, 1.0, 0.5, 3, 0.9), examples=3),
    "fromage": case(lambda: gx.fromage(0.1)),
    "lamb": case(lambda: gx.lamb(0.1, weight_decay=0.1)),
    "lars": case(lambda: gx.lars(0.1, weight_decay=0.1)),
    "lbfgs": case(lambda: gx.lbfgs(memory_size=2), extras=searched),
    "lion": case(lambda: gx.lion(0.1)),
    "noisy_sgd": case(lambda: gx.noisy_sgd(0.1, seed=1)),
    "novograd": case(lambda: gx.novograd(0.1)),
    "optimistic_adam_v2": case(lambda: gx.optimistic_adam_v2(0.1)),
    "optimistic_gradient_descent": case(lambda: gx.optimistic_gradient_descent(0.1)),
    "polyak_sgd": case(lambda: gx.polyak_sgd(), extras={"value": 1.0}),
    "radam": case(lambda: gx.radam(0.1)),
    "rprop": case(lambda: gx.rprop(0.1)),
    "schedule_free_adamw": case(
        lambda: gx.schedule_free_adamw(0.1, warmup_steps=2, weight_decay=0.1),
    ),
    "schedule_free_sgd": case(lambda: gx.schedule_free_sgd(0.1, weight_decay=0.1)),
    "sign_sgd": case(lambda: gx.sign_sgd(0.1)),
    "signum": case(lambda: gx.signum(0.1)),
    "sm3": case(lambda: gx.sm3(0.1)),
    "sophia": case(lambda: gx.sophia(0.1, hessian_diagonal_fn=gx.stateless_with_tree_map(pull))),
    "yogi": case(lambda: gx.yogi(0.1)),
    "adafactor / all": case(
        lambda: gx.adafactor(
            rate, 2, momentum=0.9, dtype_momentum="bfloat16", weight_decay_rate=0.1
        )
    ),
}
