"""Wrappers."""

import gradtx as gx

from ._case import case
from ._inputs import WITH_GRADIENTS, doubled, every_other, has_axes, kinds, matrices, norm, rate

WRAPPERS = {
    # Wrappers: groups of leaves, some of the steps, hyperparameters in the state.
    "masked": case(
        lambda: gx.masked(gx.chain(gx.clip_by_global_norm(1.0), gx.trace(0.9)), matrices),
    ),
    "partition": case(
        lambda: gx.partition({"matrix": gx.adamw(0.1), "rest": gx.sgd(0.1)}, kinds),
    ),
    "groups": case(
        lambda: gx.groups(
            ("matrices", has_axes, gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1))),
            ("*", gx.chain(gx.clip_by_global_norm(1.0), gx.trace(0.9))),
        ),
    ),
    "groups / frozen": case(lambda: gx.groups((has_axes, None), ("*", gx.adam(0.1))), moves=False),
    "trainable": case(
        lambda: gx.trainable(gx.chain(gx.clip_by_global_norm(1.0), gx.adam(0.1)), has_axes),
        moves=False,
    ),
    "scale_by_path": case(lambda: gx.scale_by_path((has_axes, 3.0), ("*", 0.5))),
    "freeze": case(lambda: gx.freeze(matrices), moves=False),
    "selective_transform": case(
        lambda: gx.selective_transform(gx.adam(0.1), freeze_mask=matrices), moves=False
    ),
    "flatten": case(lambda: gx.flatten(gx.adam(0.1))),
    "conditionally_transform": case(lambda: gx.conditionally_transform(gx.adam(0.1), every_other)),
    "conditionally_mask": case(
        lambda: gx.conditionally_mask(gx.adam(0.1), every_other),
    ),
    "apply_if_finite": case(
        lambda: gx.apply_if_finite(gx.adam(0.1), 2),
    ),
    "guard": case(lambda: gx.guard(gx.adam(0.1), give_up_after=3)),
    "guard / zero_leaf": case(lambda: gx.guard(gx.adam(0.1), "zero_leaf")),
    "guard / raise": case(lambda: gx.guard(gx.trace(0.9), "raise", callback=False)),
    "guard / spikes": case(
        lambda: gx.guard(gx.adam(0.1), spikes=gx.spikes(4), give_up_after=2, callback=False),
        extras={"value": 1.0},
    ),
    "loss_scaling": case(
        lambda: gx.loss_scaling(gx.chain(gx.clip_by_global_norm(1.0), gx.trace(0.9)), 4.0, period=2)
    ),
    "accumulate": case(lambda: gx.accumulate(gx.adam(0.1), 2)),
    "accumulate / rounded": case(
        lambda: gx.accumulate(gx.with_rounding(gx.sgd(0.125), "split"), 2, dtype="bfloat16"),
        dtypes=("float32", "bfloat16"),
    ),
    "with_rounding": case(lambda: gx.with_rounding(gx.adam(0.1), "stochastic", 3)),
    "with_rounding / kahan": case(lambda: gx.with_rounding(gx.adam(0.1), "kahan")),
    "MultiSteps": case(
        lambda: gx.MultiSteps(gx.adam(0.1), 2),
    ),
    "MultiSteps / skip": case(
        lambda: gx.MultiSteps(
            gx.adam(0.1), 2, use_grad_mean=False, should_skip_update_fn=gx.skip_not_finite
        ),
    ),
    "inject_hyperparams": case(
        lambda: gx.inject_hyperparams(gx.adamw)(rate, mask=matrices),
    ),
    "tunable": case(
        lambda: gx.tunable(gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(rate, mask=matrices))),
    ),
    "tunable / scheduled": case(
        lambda: gx.tunable(gx.sgd(0.1, momentum=0.9), "momentum", learning_rate=rate),
    ),
    # Other points than the parameters: averages, slow parameters, the top of an ascent.
    "lookahead": case(
        lambda: gx.lookahead(gx.trace(0.9), 2, 0.5, slow_in_state=True),
    ),
    "lookahead / reset": case(
        lambda: gx.lookahead(gx.adam(0.1), 2, 0.5, reset_state=True, slow_in_state=True),
    ),
    "sam": case(
        lambda: gx.sam(gx.trace(0.9), gx.chain(gx.normalize(), gx.trace(0.5)), 3),
    ),
    "sam / opaque": case(
        lambda: gx.sam(gx.trace(0.9), gx.normalize(), opaque_mode=True),
        extras=WITH_GRADIENTS,
    ),
    "schedule_free": case(
        lambda: gx.schedule_free(gx.sgd(rate), rate),
    ),
    "with_ema": case(lambda: gx.with_ema(gx.adamw(0.1), 0.9)),
    "with_ema / from the start, now and then": case(
        lambda: gx.with_ema(gx.sgd(0.1), 0.9, debias=False, every=2, start=1, dtype="float32")
    ),
    "with_average": case(lambda: gx.with_average(gx.trace(0.9), start=1)),
    "with_swa": case(lambda: gx.with_swa(gx.sgd(rate), start=1, every=2)),
    # Measurements of the updates.
    "with_metrics": case(
        lambda: gx.with_metrics(gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1))),
    ),
    "with_metrics / all": case(
        lambda: gx.with_metrics(
            gx.partition({"matrix": gx.adamw(0.1), "rest": gx.sgd(0.1)}, kinds),
            *("learning_rate", "update_ratio", "grad_norm", "nonfinite_leaves", "skipped_steps"),
            per_group=True,
        ),
    ),
    "snapshot": case(lambda: gx.snapshot("norm", norm)),
    "monitor": case(
        lambda: gx.monitor({"norm": norm, "average": gx.measure_with_ema(norm, 0.9)}),
    ),
    "measure_with_ema": case(
        lambda: gx.measure_with_ema(doubled, 0.9),
        dtypes=("float32", "float16", "bfloat16", "complex64"),
    ),
}
