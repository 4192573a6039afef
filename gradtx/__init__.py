"""Composable gradient transformations for JAX."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import losses as losses
from . import microbatching as microbatching
from . import projections as projections
from . import schedules as schedules
from . import sharding as sharding
from . import tree as tree
from ._accumulate.accumulate import accumulate as accumulate
from ._accumulate.multi_steps import MultiSteps as MultiSteps
from ._accumulate.multi_steps import ShouldSkipUpdateFunction as ShouldSkipUpdateFunction
from ._accumulate.multi_steps import skip_large_updates as skip_large_updates
from ._accumulate.multi_steps import skip_not_finite as skip_not_finite
from ._core.apply import apply_updates as apply_updates
from ._core.arguments import ScalarOrSchedule as ScalarOrSchedule
from ._core.arguments import Schedule as Schedule
from ._core.combine import chain as chain
from ._core.combine import identity as identity
from ._core.combine import named_chain as named_chain
from ._core.combine import parallel as parallel
from ._core.combine import stateless as stateless
from ._core.combine import stateless_with_tree_map as stateless_with_tree_map
from ._core.combine import with_extra_args_support as with_extra_args_support
from ._core.config import from_config as from_config
from ._core.config import to_config as to_config
from ._core.constructor import schedule as schedule
from ._core.describe import register as register
from ._core.fuse import clear_caches as clear_caches
from ._core.numerics import add as add
from ._core.numerics import divide as divide
from ._core.numerics import multiply as multiply
from ._core.numerics import safe_increment as safe_increment
from ._core.paths import excluding as excluding
from ._core.paths import matching as matching
from ._core.paths import norms_biases_embeddings as norms_biases_embeddings
from ._core.precision import with_state_dtype as with_state_dtype
from ._core.protocols import MaskOrFn as MaskOrFn
from ._core.protocols import TransformInitFn as TransformInitFn
from ._core.protocols import TransformUpdateExtraArgsFn as TransformUpdateExtraArgsFn
from ._core.protocols import TransformUpdateFn as TransformUpdateFn
from ._core.rule import Rule as Rule
from ._core.rule import as_decay as as_decay
from ._core.state import OptState as OptState
from ._core.state import Params as Params
from ._core.state import Updates as Updates
from ._core.state import init_empty_state as init_empty_state
from ._core.transformation import GradientTransformation as GradientTransformation
from ._core.transformation import lift as lift
from ._core.transformation import transformation as transformation
from ._groups.by_path import groups as groups
from ._groups.by_path import trainable as trainable
from ._groups.groups import MaskedNode as MaskedNode
from ._groups.groups import freeze as freeze
from ._groups.groups import masked as masked
from ._groups.groups import multi_transform as multi_transform
from ._groups.groups import partition as partition
from ._groups.groups import selective_transform as selective_transform
from ._groups.scale_by_path import scale_by_path as scale_by_path
from ._guard.finite import apply_if_finite as apply_if_finite
from ._guard.guard import guard as guard
from ._guard.judge import check_guards as check_guards
from ._guard.loss_scale import loss_scale as loss_scale
from ._guard.loss_scale import loss_scaling as loss_scaling
from ._guard.spikes import spikes as spikes
from ._hyperparams.hyperparams import hyperparams as hyperparams
from ._hyperparams.hyperparams import release_hyperparams as release_hyperparams
from ._hyperparams.hyperparams import set_hyperparams as set_hyperparams
from ._hyperparams.hyperparams import sweep as sweep
from ._hyperparams.tunable import tunable as tunable
from ._linesearch.backtracking import (
    scale_by_backtracking_linesearch as scale_by_backtracking_linesearch,
)
from ._linesearch.from_state import value_and_grad_from_state as value_and_grad_from_state
from ._linesearch.lbfgs import scale_by_lbfgs as scale_by_lbfgs
from ._linesearch.zoom import ZoomLinesearchInfo as ZoomLinesearchInfo
from ._linesearch.zoom import scale_by_zoom_linesearch as scale_by_zoom_linesearch
from ._matrix.axes import GaLoreDimensionNumbers as GaLoreDimensionNumbers
from ._matrix.axes import MuonDimensionNumbers as MuonDimensionNumbers
from ._matrix.galore import scale_by_galore as scale_by_galore
from ._matrix.muon import scale_by_muon as scale_by_muon
from ._matrix.muon import scale_by_shape as scale_by_shape
from ._matrix.nnls import nnls as nnls
from ._matrix.roots import matrix_inverse_pth_root as matrix_inverse_pth_root
from ._matrix.roots import power_iteration as power_iteration
from ._metrics.metrics import metrics as metrics
from ._metrics.metrics import with_metrics as with_metrics
from ._metrics.monitor import measure_with_ema as measure_with_ema
from ._metrics.monitor import monitor as monitor
from ._metrics.monitor import snapshot as snapshot
from ._moments.acprop import scale_by_acprop as scale_by_acprop
from ._moments.adadelta import scale_by_adadelta as scale_by_adadelta
from ._moments.adafactor import scale_by_factored_rms as scale_by_factored_rms
from ._moments.adagrad import scale_by_rss as scale_by_rss
from ._moments.adahessian import scale_by_adahessian as scale_by_adahessian
from ._moments.adam import scale_by_adam as scale_by_adam
from ._moments.adamax import scale_by_adamax as scale_by_adamax
from ._moments.adan import scale_by_adan as scale_by_adan
from ._moments.ademamix import scale_by_ademamix as scale_by_ademamix
from ._moments.adopt import scale_by_adopt as scale_by_adopt
from ._moments.amsgrad import scale_by_amsgrad as scale_by_amsgrad
from ._moments.average import correct_bias as correct_bias
from ._moments.average import ema as ema
from ._moments.average import moving_average as moving_average
from ._moments.belief import scale_by_belief as scale_by_belief
from ._moments.denominators import infinity_norm as infinity_norm
from ._moments.denominators import root_max_mean_square as root_max_mean_square
from ._moments.denominators import root_mean_square as root_mean_square
from ._moments.denominators import root_sum_square as root_sum_square
from ._moments.lion import scale_by_lion as scale_by_lion
from ._moments.madgrad import scale_by_madgrad as scale_by_madgrad
from ._moments.momentum import scale_by_momentum as scale_by_momentum
from ._moments.momentum import trace as trace
from ._moments.nadam import scale_by_nadam as scale_by_nadam
from ._moments.nesterov import lookahead_point as lookahead_point
from ._moments.nesterov import nesterov_lookahead as nesterov_lookahead
from ._moments.novograd import scale_by_novograd as scale_by_novograd
from ._moments.optimistic import scale_by_optimistic_gradient as scale_by_optimistic_gradient
from ._moments.polyak import scale_by_polyak as scale_by_polyak
from ._moments.radam import scale_by_radam as scale_by_radam
from ._moments.rms import scale_by_rms as scale_by_rms
from ._moments.rms import scale_by_stddev as scale_by_stddev
from ._moments.rprop import scale_by_rprop as scale_by_rprop
from ._moments.simplified_ademamix import (
    scale_by_simplified_ademamix as scale_by_simplified_ademamix,
)
from ._moments.sm3 import scale_by_sm3 as scale_by_sm3
from ._moments.sophia import scale_by_sophia as scale_by_sophia
from ._moments.trust_ratio import scale_by_trust_ratio as scale_by_trust_ratio
from ._moments.yogi import scale_by_yogi as scale_by_yogi
from ._narrow.rounding import with_rounding as with_rounding
from ._optimizers.adam import adam as adam
from ._optimizers.adam import adamax as adamax
from ._optimizers.adam import adamaxw as adamaxw
from ._optimizers.adam import adamw as adamw
from ._optimizers.adam import amsgrad as amsgrad
from ._optimizers.adam import nadam as nadam
from ._optimizers.adam import nadamw as nadamw
from ._optimizers.adaptive import adadelta as adadelta
from ._optimizers.adaptive import adagrad as adagrad
from ._optimizers.adaptive import rmsprop as rmsprop
from ._optimizers.asynchronous import acprop as acprop
from ._optimizers.asynchronous import adopt as adopt
from ._optimizers.dual_averaging import madgrad as madgrad
from ._optimizers.factored import adafactor as adafactor
from ._optimizers.factored import sm3 as sm3
from ._optimizers.layerwise import fromage as fromage
from ._optimizers.layerwise import lamb as lamb
from ._optimizers.layerwise import lars as lars
from ._optimizers.layerwise import novograd as novograd
from ._optimizers.lbfgs import lbfgs as lbfgs
from ._optimizers.learning_rate_free import cocob as cocob
from ._optimizers.learning_rate_free import dadapt_adamw as dadapt_adamw
from ._optimizers.learning_rate_free import dog as dog
from ._optimizers.learning_rate_free import dowg as dowg
from ._optimizers.learning_rate_free import prodigy as prodigy
from ._optimizers.matrix import galore as galore
from ._optimizers.matrix import muon as muon
from ._optimizers.mixing import ademamix as ademamix
from ._optimizers.mixing import simplified_ademamix as simplified_ademamix
from ._optimizers.momo import momo as momo
from ._optimizers.momo import momo_adam as momo_adam
from ._optimizers.noisy import noisy_sgd as noisy_sgd
from ._optimizers.optimistic import optimistic_adam as optimistic_adam
from ._optimizers.optimistic import optimistic_adam_v2 as optimistic_adam_v2
from ._optimizers.optimistic import optimistic_gradient_descent as optimistic_gradient_descent
from ._optimizers.polyak import polyak_sgd as polyak_sgd
from ._optimizers.private import dpsgd as dpsgd
from ._optimizers.schedule_free import schedule_free_adamw as schedule_free_adamw
from ._optimizers.schedule_free import schedule_free_sgd as schedule_free_sgd
from ._optimizers.second_order import adahessian as adahessian
from ._optimizers.second_order import sophia as sophia
from ._optimizers.sgd import sgd as sgd
from ._optimizers.sign import lion as lion
from ._optimizers.sign import rprop as rprop
from ._optimizers.sign import sign_sgd as sign_sgd
from ._optimizers.sign import signum as signum
from ._optimizers.variants import adabelief as adabelief
from ._optimizers.variants import adan as adan
from ._optimizers.variants import radam as radam
from ._optimizers.variants import yogi as yogi
from ._parts.apply_every import ApplyEvery as ApplyEvery
from ._parts.apply_every import apply_every as apply_every
from ._parts.center import centralize as centralize
from ._parts.clip import adaptive_grad_clip as adaptive_grad_clip
from ._parts.clip import clip as clip
from ._parts.clip import clip_by_block_norm as clip_by_block_norm
from ._parts.clip import clip_by_block_rms as clip_by_block_rms
from ._parts.clip import clip_by_global_norm as clip_by_global_norm
from ._parts.decay import add_decayed_weights as add_decayed_weights
from ._parts.decay import shrink_weights as shrink_weights
from ._parts.decay_value import WeightDecay as WeightDecay
from ._parts.decay_value import decay as decay
from ._parts.decay_value import decay_from as decay_from
from ._parts.examples import per_example_global_norm_clip as per_example_global_norm_clip
from ._parts.examples import per_example_layer_norm_clip as per_example_layer_norm_clip
from ._parts.noise import add_noise as add_noise
from ._parts.nonnegative import keep_params_nonnegative as keep_params_nonnegative
from ._parts.normalize import normalize as normalize
from ._parts.normalize import normalize_by_block_norm as normalize_by_block_norm
from ._parts.normalize import normalize_by_update_norm as normalize_by_update_norm
from ._parts.normalize import scale_by_param_block_norm as scale_by_param_block_norm
from ._parts.normalize import scale_by_param_block_rms as scale_by_param_block_rms
from ._parts.per_example import add_private_noise as add_private_noise
from ._parts.per_example import clip_per_example as clip_per_example
from ._parts.plateau import reduce_on_plateau as reduce_on_plateau
from ._parts.private import differentially_private_aggregate as differentially_private_aggregate
from ._parts.scale import scale as scale
from ._parts.scale import scale_by_learning_rate as scale_by_learning_rate
from ._parts.scale import scale_by_schedule as scale_by_schedule
from ._parts.shrink import step_and_shrink as step_and_shrink
from ._parts.sign import scale_by_sign as scale_by_sign
from ._parts.units import unitwise_clip as unitwise_clip
from ._parts.units import unitwise_norm as unitwise_norm
from ._parts.zero import set_to_zero as set_to_zero
from ._parts.zero import zero_nans as zero_nans
from ._states import *
from ._stepsize.cocob import scale_by_cocob as scale_by_cocob
from ._stepsize.dog import scale_by_distance_over_gradients as scale_by_distance_over_gradients
from ._stepsize.dog import scale_by_dog as scale_by_dog
from ._stepsize.dowg import scale_by_dowg as scale_by_dowg
from ._stepsize.mechanic import mechanize as mechanize
from ._tools.aliases import GradientTransformationExtraArgs as GradientTransformationExtraArgs
from ._tools.aliases import safe_int32_increment as safe_int32_increment
from ._tools.aliases import tree_map_params as tree_map_params
from ._tools.gradient import scale_gradient as scale_gradient
from ._tools.moved import missing as _missing
from ._tools.normal import multi_normal as multi_normal
from ._tools.norms import global_norm as global_norm
from ._tools.norms import safe_norm as safe_norm
from ._tools.norms import safe_root_mean_squares as safe_root_mean_squares
from ._tools.targets import incremental_update as incremental_update
from ._tools.targets import periodic_update as periodic_update
from ._wrap.averages import with_average as with_average
from ._wrap.averages import with_ema as with_ema
from ._wrap.averages import with_swa as with_swa
from ._wrap.complex import split_real_and_imaginary as split_real_and_imaginary
from ._wrap.conditional import ConditionFn as ConditionFn
from ._wrap.conditional import conditionally_mask as conditionally_mask
from ._wrap.conditional import conditionally_transform as conditionally_transform
from ._wrap.estimators import gauss_newton_bartlett_estimator as gauss_newton_bartlett_estimator
from ._wrap.estimators import (
    hutchinson_estimator_diag_hessian as hutchinson_estimator_diag_hessian,
)
from ._wrap.flat import flatten as flatten
from ._wrap.hessian_diagonal import with_hessian_diagonal as with_hessian_diagonal
from ._wrap.lookahead import LookaheadParams as LookaheadParams
from ._wrap.lookahead import lookahead as lookahead
from ._wrap.sam import sam as sam
from ._wrap.schedule_free import schedule_free as schedule_free
from ._wrap.schedule_free import schedule_free_eval_params as schedule_free_eval_params
from ._wrap.sharpness import penalize_gradient_norm as penalize_gradient_norm
from .losses._binary import hinge_loss as hinge_loss
from .losses._binary import sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy
from .losses._binary import sigmoid_focal_loss as sigmoid_focal_loss
from .losses._contrastive import ntxent as ntxent
from .losses._cosine import cosine_distance as cosine_distance
from .losses._cosine import cosine_similarity as cosine_similarity
from .losses._ctc import ctc_loss as ctc_loss
from .losses._ctc import ctc_loss_with_forward_probs as ctc_loss_with_forward_probs
from .losses._divergence import convex_kl_divergence as convex_kl_divergence
from .losses._divergence import generalized_kl_divergence as generalized_kl_divergence
from .losses._divergence import kl_divergence as kl_divergence
from .losses._regression import huber_loss as huber_loss
from .losses._regression import l2_loss as l2_loss
from .losses._regression import log_cosh as log_cosh
from .losses._regression import squared_error as squared_error
from .losses._smoothing import smooth_labels as smooth_labels
from .losses._softmax import safe_softmax_cross_entropy as safe_softmax_cross_entropy
from .losses._softmax import softmax_cross_entropy as softmax_cross_entropy
from .losses._softmax import (
    softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels,
)
from .microbatching._microbatch import microbatch as microbatch
from .schedules._cycle import cosine_onecycle_schedule as cosine_onecycle_schedule
from .schedules._cycle import cosine_restarts_schedule as cosine_restarts_schedule
from .schedules._cycle import linear_onecycle_schedule as linear_onecycle_schedule
from .schedules._cycle import sgdr_schedule as sgdr_schedule
from .schedules._decay import constant_schedule as constant_schedule
from .schedules._decay import cosine_decay_schedule as cosine_decay_schedule
from .schedules._decay import exponential_decay as exponential_decay
from .schedules._decay import inverse_sqrt_schedule as inverse_sqrt_schedule
from .schedules._decay import inverse_time_schedule as inverse_time_schedule
from .schedules._decay import linear_schedule as linear_schedule
from .schedules._decay import polynomial_schedule as polynomial_schedule
from .schedules._inject import inject_hyperparams as inject_hyperparams
from .schedules._inject import inject_stateful_hyperparams as inject_stateful_hyperparams
from .schedules._join import join_schedules as join_schedules
from .schedules._join import piecewise_constant_schedule as piecewise_constant_schedule
from .schedules._join import piecewise_interpolate_schedule as piecewise_interpolate_schedule
from .schedules._stateful import StatefulSchedule as StatefulSchedule
from .schedules._stateful import WrappedSchedule as WrappedSchedule
from .schedules._warmup import warmup as warmup
from .schedules._warmup import warmup_constant_schedule as warmup_constant_schedule
from .schedules._warmup import warmup_cosine_decay_schedule as warmup_cosine_decay_schedule
from .schedules._warmup import (
    warmup_exponential_decay_schedule as warmup_exponential_decay_schedule,
)
from .schedules._warmup import warmup_stable_decay_schedule as warmup_stable_decay_schedule
from .tree._moments import bias_correction as bias_correction
from .tree._moments import update_infinity_moment as update_infinity_moment
from .tree._moments import update_moment as update_moment
from .tree._moments import update_moment_per_elem_norm as update_moment_per_elem_norm

if _TYPE_CHECKING:
    from . import curvature as curvature
    from . import state as state

__version__ = "0.1.0"

# Imported when they are first asked for: the first would take a fifth of `import gradtx`, and they
# make no transformation, so that no config needs them.
_ON_REQUEST = ("curvature", "state")
# These may need what is not installed, so `dir` does not show them.
_WITH_PARTNERS = ("plot", "testing")


def __getattr__(name: str) -> _Any:
    if name in (*_ON_REQUEST, *_WITH_PARTNERS):
        return _import_module(f".{name}", __name__)
    raise _missing(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_REQUEST})
