"""What optimizers of torch.optim have, as plain dicts of arrays."""

import numpy as np

ADAM = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False}


def adam_of(*shapes, names=None, step=5, group=ADAM):
    """Return what torch's Adam has of parameters of these shapes."""
    rng = np.random.default_rng(len(shapes))
    kept = {
        i: {
            "step": np.float32(step),
            "exp_avg": rng.normal(size=shape).astype(np.float32),
            "exp_avg_sq": rng.random(shape, np.float32),
        }
        for i, shape in enumerate(shapes)
    }
    named = {} if names is None else {"param_names": names}
    return {"state": kept, "param_groups": [group | {"params": list(kept)} | named]}
