"""Where a signature departs from Optax's, and why: what the tests and the documentation read.

`DEVIATIONS[name][argument]` is (Optax's default, gradtx's default, reason); functions and dtypes
stand by their names. `ABSENT` stands for an argument that does not exist there, `REQUIRED` for one
without a default. Arguments that gradtx adds are keyword-only and are not listed, as long as their
defaults leave the rule Optax's.
"""

import inspect

ABSENT = "absent"
REQUIRED = inspect.Parameter.empty

_PAPER_ADAMAX = "the paper has no eps; where all gradients were zero the quotient is taken as 0"
_AMSGRAD = (
    "the paper corrects no bias; with both corrections gradtx, like PyTorch, takes the maximum "
    "first and corrects then, Optax the other way round"
)
_YOGI = "the paper corrects no bias; Optax always corrects"
_SOPHIA = (
    "the paper corrects no bias, and divides by the mean with this estimate in it, where Optax "
    "has the one before it"
)
_PRINTS = "printing is no part of an update; the share of entries below 1 says the same"
_NADAM = "without Nesterov's momentum it is adam"

DEVIATIONS = {
    "adafactor": {
        "dtype_momentum": ("float32", None, "None is float32 too, or wider where the params are"),
    },
    "adadelta": {
        "learning_rate": (None, 1.0, "the paper's rule; None leaves the sign, and the loss rises"),
    },
    "adamax": {"eps": (1e-8, 0.0, _PAPER_ADAMAX)},
    "adamaxw": {"eps": (1e-8, 0.0, _PAPER_ADAMAX)},
    "amsgrad": {
        "bias_correction_mu": (True, False, _AMSGRAD),
        "bias_correction_nu": (True, False, _AMSGRAD),
    },
    "nadam": {"nesterov": (True, ABSENT, _NADAM)},
    "nadamw": {"nesterov": (True, ABSENT, _NADAM)},
    "scale_by_adamax": {"eps": (1e-8, 0.0, _PAPER_ADAMAX)},
    "scale_by_amsgrad": {
        "bias_correction_mu": (True, False, _AMSGRAD),
        "bias_correction_nu": (True, False, _AMSGRAD),
    },
    "scale_by_learning_rate": {
        "learning_rate": (None, REQUIRED, "None is an identity that keeps the sign: a trap"),
    },
    "scale_by_yogi": {"bias_correction": (ABSENT, False, _YOGI)},
    "sophia": {
        "verbose": (False, ABSENT, _PRINTS),
        "print_win_rate_every_n_steps": (0, ABSENT, _PRINTS),
        "bias_correction": (ABSENT, False, _SOPHIA),
    },
    "yogi": {"bias_correction": (ABSENT, False, _YOGI)},
    "scale_by_factored_rms": {
        "decay_rate_fn": ("_decay_rate_pow", None, "None is the same function, with its digits"),
    },
}
