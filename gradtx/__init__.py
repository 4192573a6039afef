"""Composable gradient transformations for JAX."""

from ._core.apply import apply_updates as apply_updates
from ._core.combine import chain as chain
from ._core.combine import identity as identity
from ._core.combine import named_chain as named_chain
from ._core.combine import parallel as parallel
from ._core.combine import stateless as stateless
from ._core.combine import stateless_with_tree_map as stateless_with_tree_map
from ._core.config import from_config as from_config
from ._core.constructor import schedule as schedule
from ._core.describe import register as register
from ._core.fuse import clear_caches as clear_caches
from ._core.numerics import add as add
from ._core.numerics import divide as divide
from ._core.numerics import multiply as multiply
from ._core.numerics import safe_increment as safe_increment
from ._core.precision import with_state_dtype as with_state_dtype
from ._core.rule import Rule as Rule
from ._core.rule import decay as decay
from ._core.state import EmptyState as EmptyState
from ._core.transformation import GradientTransformation as GradientTransformation
from ._core.transformation import lift as lift
from ._core.transformation import transformation as transformation
from ._moments.adam import ScaleByAdamState as ScaleByAdamState
from ._moments.adam import scale_by_adam as scale_by_adam
from ._parts.clip import clip_by_global_norm as clip_by_global_norm
from ._parts.decay import add_decayed_weights as add_decayed_weights
from ._parts.decay import AddDecayedWeightsState as AddDecayedWeightsState
from ._parts.scale import scale as scale
from ._parts.scale import scale_by_learning_rate as scale_by_learning_rate
from ._parts.scale import scale_by_schedule as scale_by_schedule
from ._parts.scale import ScaleByScheduleState as ScaleByScheduleState

__version__ = "0.1.0"
