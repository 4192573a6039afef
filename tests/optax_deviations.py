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
_MECHANIC = (
    "the paper keeps the reward from falling below 0; Optax does not, and bounds what enters it"
)
_FOURTH_ROOT = "None is the fourth root, too, but compares and prints by value"
_MUON = "the authors have AdamW; Optax hands `nesterov` on to the Adam that it calls AdamW"
_GALORE = "the paper projects the smaller side; Optax the larger"

DEVIATIONS = {
    "adopt": {"clip_value_fn": ("<lambda>", None, _FOURTH_ROOT)},
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
    "MultiSteps": {
        "accumulator_dtype": (
            "float32",
            None,
            "None is float32 too, or wider where the gradients are",
        ),
    },
    "dpsgd": {"seed": (REQUIRED, None, "`key` is the same; one of the two must be given")},
    "galore": {"project": (ABSENT, "smaller", _GALORE)},
    "muon": {"adam_nesterov": (ABSENT, False, _MUON)},
    "mechanize": {"clip_reward": (ABSENT, False, _MECHANIC)},
    "scale_by_adamax": {"eps": (1e-8, 0.0, _PAPER_ADAMAX)},
    "scale_by_adopt": {"clip_value_fn": ("<lambda>", None, _FOURTH_ROOT)},
    "scale_by_amsgrad": {
        "bias_correction_mu": (True, False, _AMSGRAD),
        "bias_correction_nu": (True, False, _AMSGRAD),
    },
    "scale_by_distance_over_gradients": {
        "param_dtype": ("float32", None, "None is float32 too, or wider where the params are"),
    },
    "scale_by_galore": {"project": (ABSENT, "smaller", _GALORE)},
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

# Constructors, or lines of tests/cases, whose numbers are not Optax's for the same arguments.
_ACPROP = "the paper centers on the mean that knows the gradient; Optax on the one before"
_ADAN = "the paper weighs the change of the gradient by its decay; Optax by 1 minus its decay"
_ADAFACTOR = "the paper's relative step; in Optax no learning rate means steps as long as weights"
_MECHANIZE = "the sum of updates is kept, where Optax divides a difference that rounding has eaten"
_MOMO = "the distance is divided by 1 + the weight decay, as the authors do and Optax does not"
_RANDOM = "other random numbers"
_RPROP = "the update is that of this gradient; Optax's is that of the gradient before"
_TREES = "Optax does not take this tree"
_YOGI_START = _YOGI + ", and starts the mean at 1e-6"

NUMBERS = {
    "acprop": _ACPROP,
    "adafactor": _ADAFACTOR + ", and momentum comes before the rate",
    "adan": _ADAN,
    "add_noise": _RANDOM,
    "chain / empty": "Optax has no chain of nothing",
    "galore": _GALORE,
    "hutchinson_estimator_diag_hessian": _RANDOM,
    "inject_hyperparams": "a mask is left alone; Optax takes it for a schedule, and decays nothing",
    "mechanize": _MECHANIZE,
    "momo": _MOMO,
    "momo_adam": _MOMO,
    "muon": _TREES + "; Adam for the rest is without Nesterov's momentum, as the authors have it",
    "noisy_sgd": _RANDOM,
    "rprop": _RPROP,
    "scale_by_acprop": _ACPROP,
    "scale_by_adam / nesterov": "a mean kept in bfloat16 enters as it is kept",
    "scale_by_adan": _ADAN,
    "scale_by_backtracking_linesearch": "Optax fails on float64 parameters and a float32 loss",
    "scale_by_galore": _GALORE,
    "scale_by_muon": _TREES,
    "scale_by_radam": "a threshold below 4, where Optax's factor is none",
    "scale_by_rprop": _RPROP,
    "scale_by_yogi": _YOGI_START,
    "scale_by_zoom_linesearch": "the trial points in an interval are SciPy's",
    "schedule_free_adamw": "each step has the weight of its own rate; in Optax of the next one's",
    "selective_transform": "the mask may be a function here, and is one in this line",
    "yogi": _YOGI_START,
}

# Constructors, or lines of tests/cases, whose state is built otherwise than Optax's.
_FACTORED = (
    "vectors keep the axes they stand for, at length 1, so that what they are means of can be "
    "read off; in the place of what a parameter does not have there is None"
)
_AVERAGE = "x is kept for parameters that are stored narrower than z; else it costs nothing"
_DELTA = "the sum of the updates itself, which Optax loses to rounding in (p - p_0) / sum of s"
_NO_STATE = "None, where a parameter has no such state"
_SLOW = "the slow parameters can be kept here, so that the parameters are those of the model"
_DECAY = "the decay is a link of the chain, which Optax has not"
_COUNTS_STEPS = "it counts steps where Optax has a flag for the first, so weights may be schedules"

STATES = {
    "adafactor": _FACTORED + "; momentum comes before the rate",
    "add_decayed_weights / schedule": "Optax's class is private and says Schedule",
    "add_decayed_weights / start": "Optax has no decay towards the start",
    "chain / empty": "Optax has no chain of nothing",
    "dadapt_adamw / decay": "the start is kept, towards which it decays",
    "fromage": "the rate is used twice, so one rule with one count has both uses",
    "galore": _NO_STATE,
    "hutchinson_estimator_diag_hessian": "the key is a typed one",
    "inject_hyperparams": "a function that is no schedule, such as a mask, is left alone",
    "lookahead": _SLOW,
    "mechanize": _DELTA,
    "monitor": "Optax's grows at the first step, and so cannot be carried through a scan",
    "muon": "a dict of two chains whose rules have masks: nothing is wrapped",
    "optimistic_adam": _COUNTS_STEPS,
    "optimistic_adam_v2": _COUNTS_STEPS,
    "optimistic_gradient_descent": _COUNTS_STEPS,
    "scale_by_distance_over_gradients": "one number an array, where Optax has an axis of length 1",
    "scale_by_factored_rms": _FACTORED,
    "scale_by_galore": _NO_STATE,
    "scale_by_muon": _NO_STATE,
    "scale_by_optimistic_gradient": _COUNTS_STEPS,
    "scale_by_sm3": _FACTORED,
    "schedule_free": _AVERAGE,
    "schedule_free_adamw": _AVERAGE,
    "schedule_free_sgd": _AVERAGE,
    "selective_transform": "the mask may be a function here, and is one in this line",
    "sm3": _FACTORED,
    "sophia": "the estimate of the Hessian is a wrapper's, for every rule that takes one",
    "rmsprop / decay": _DECAY,
    "sgd / decay": _DECAY,
}

# Public state classes whose fields differ.
STATE_CLASSES = {
    "AddDecayedWeightsState": "there an alias of EmptyState, for a constant decay",
    "InjectHyperparamsState": "there the older class, which Optax makes no more",
    "LookaheadState": _SLOW,
    "MechanicState": _DELTA,
    "ScheduleFreeState": _AVERAGE,
}

# Modules and names of Optax that gradtx leaves out.
_OTHER_SUBJECT = "no optimization of parameters by gradients"

NOT_TAKEN = {
    "SophiaState": "its fields are those of ScaleBySophiaState and WithHessianDiagonalState",
    "assignment": _OTHER_SUBJECT,
    "experimental": "may change there from one release to the next",
    "perturbations": _OTHER_SUBJECT,
    "second_order": "deprecated there: gradtx.curvature",
    "tree_utils": "deprecated there: gradtx.tree has the functions",
}

# What is being written: empty in every release.
PENDING: tuple[str, ...] = ()
