"""The classes of states, for `gradtx`: it has all of them by their names."""

from ._accumulate.accumulate import AccumulateState as AccumulateState
from ._accumulate.multi_steps import MultiStepsState as MultiStepsState
from ._core.state import EmptyState as EmptyState
from ._groups.groups import MaskedState as MaskedState
from ._groups.groups import MultiTransformState as MultiTransformState
from ._groups.groups import PartitionState as PartitionState
from ._guard.finite import ApplyIfFiniteState as ApplyIfFiniteState
from ._guard.guard import GuardState as GuardState
from ._guard.loss_scale import LossScaleState as LossScaleState
from ._hyperparams.held import HeldDecay as HeldDecay
from ._hyperparams.held import HeldSchedule as HeldSchedule
from ._hyperparams.tunable import TunableState as TunableState
from ._linesearch.backtracking import (
    ScaleByBacktrackingLinesearchState as ScaleByBacktrackingLinesearchState,
)
from ._linesearch.lbfgs import ScaleByLBFGSState as ScaleByLBFGSState
from ._linesearch.zoom import ScaleByZoomLinesearchState as ScaleByZoomLinesearchState
from ._matrix.galore import GaLoreState as GaLoreState
from ._matrix.muon import MuonState as MuonState
from ._metrics.metrics import MetricsState as MetricsState
from ._metrics.monitor import MonitorState as MonitorState
from ._metrics.monitor import SnapshotState as SnapshotState
from ._moments.adadelta import ScaleByAdaDeltaState as ScaleByAdaDeltaState
from ._moments.adafactor import FactoredState as FactoredState
from ._moments.adagrad import ScaleByRssState as ScaleByRssState
from ._moments.adahessian import ScaleByAdaHessianState as ScaleByAdaHessianState
from ._moments.adam import ScaleByAdamState as ScaleByAdamState
from ._moments.adan import ScaleByAdanState as ScaleByAdanState
from ._moments.ademamix import ScaleByAdemamixState as ScaleByAdemamixState
from ._moments.amsgrad import ScaleByAmsgradState as ScaleByAmsgradState
from ._moments.average import CorrectBiasState as CorrectBiasState
from ._moments.average import EmaState as EmaState
from ._moments.average import MovingAverageState as MovingAverageState
from ._moments.belief import ScaleByBeliefState as ScaleByBeliefState
from ._moments.denominators import InfinityNormState as InfinityNormState
from ._moments.denominators import RootMaxMeanSquareState as RootMaxMeanSquareState
from ._moments.denominators import RootMeanSquareState as RootMeanSquareState
from ._moments.denominators import RootSumSquareState as RootSumSquareState
from ._moments.lion import ScaleByLionState as ScaleByLionState
from ._moments.madgrad import MadgradState as MadgradState
from ._moments.momentum import TraceState as TraceState
from ._moments.nadam import ScaleByNadamState as ScaleByNadamState
from ._moments.nesterov import NesterovLookaheadState as NesterovLookaheadState
from ._moments.novograd import ScaleByNovogradState as ScaleByNovogradState
from ._moments.optimistic import ScaleByOptimisticGradientState as ScaleByOptimisticGradientState
from ._moments.rms import ScaleByRmsState as ScaleByRmsState
from ._moments.rms import ScaleByRmsWithCountState as ScaleByRmsWithCountState
from ._moments.rms import ScaleByRStdDevState as ScaleByRStdDevState
from ._moments.rms import ScaleByRStdDevWithCountState as ScaleByRStdDevWithCountState
from ._moments.rprop import ScaleByRpropState as ScaleByRpropState
from ._moments.simplified_ademamix import (
    ScaleBySimplifiedAdEMAMixState as ScaleBySimplifiedAdEMAMixState,
)
from ._moments.sm3 import ScaleBySM3State as ScaleBySM3State
from ._moments.sophia import ScaleBySophiaState as ScaleBySophiaState
from ._narrow.rounding import KahanRoundingState as KahanRoundingState
from ._narrow.rounding import SplitRoundingState as SplitRoundingState
from ._narrow.rounding import StochasticRoundingState as StochasticRoundingState
from ._parts.decay import AddDecayedWeightsState as AddDecayedWeightsState
from ._parts.decay import DecayTowardsStartState as DecayTowardsStartState
from ._parts.noise import AddNoiseState as AddNoiseState
from ._parts.per_example import AddPrivateNoiseState as AddPrivateNoiseState
from ._parts.plateau import ReduceLROnPlateauState as ReduceLROnPlateauState
from ._parts.private import (
    DifferentiallyPrivateAggregateState as DifferentiallyPrivateAggregateState,
)
from ._parts.scale import ScaleByScheduleState as ScaleByScheduleState
from ._parts.shrink import StepAndShrinkState as StepAndShrinkState
from ._parts.zero import ZeroNansState as ZeroNansState
from ._stepsize.cocob import COCOBState as COCOBState
from ._stepsize.dadapt import DAdaptAdamWState as DAdaptAdamWState
from ._stepsize.dadapt import DAdaptAdamWTowardsStartState as DAdaptAdamWTowardsStartState
from ._stepsize.dog import DoGState as DoGState
from ._stepsize.dog import ScaleByDistanceOverGradientsState as ScaleByDistanceOverGradientsState
from ._stepsize.dowg import DoWGState as DoWGState
from ._stepsize.mechanic import MechanicState as MechanicState
from ._stepsize.momo import MomoAdamState as MomoAdamState
from ._stepsize.momo import MomoState as MomoState
from ._stepsize.prodigy import ProdigyState as ProdigyState
from ._tools.aliases import AdaptiveGradClipState as AdaptiveGradClipState
from ._tools.aliases import ClipByGlobalNormState as ClipByGlobalNormState
from ._tools.aliases import ClipState as ClipState
from ._tools.aliases import NonNegativeParamsState as NonNegativeParamsState
from ._tools.aliases import NormalizeState as NormalizeState
from ._tools.aliases import ScaleByTrustRatioState as ScaleByTrustRatioState
from ._tools.aliases import ScaleState as ScaleState
from ._wrap.averages import AverageState as AverageState
from ._wrap.complex import SplitRealAndImaginaryState as SplitRealAndImaginaryState
from ._wrap.conditional import ConditionallyMaskState as ConditionallyMaskState
from ._wrap.conditional import ConditionallyTransformState as ConditionallyTransformState
from ._wrap.estimators import GaussNewtonBartlettState as GaussNewtonBartlettState
from ._wrap.estimators import HutchinsonState as HutchinsonState
from ._wrap.hessian_diagonal import WithHessianDiagonalState as WithHessianDiagonalState
from ._wrap.lookahead import LookaheadState as LookaheadState
from ._wrap.sam import SAMState as SAMState
from ._wrap.schedule_free import ScheduleFreeState as ScheduleFreeState
from ._wrap.sharpness import PenalizeGradientNormState as PenalizeGradientNormState
from .schedules._inject import InjectHyperparamsState as InjectHyperparamsState
from .schedules._inject import InjectStatefulHyperparamsState as InjectStatefulHyperparamsState
from .schedules._stateful import WrappedScheduleState as WrappedScheduleState
