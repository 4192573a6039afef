"""Training on many devices: where state lies, what a step sends, local steps, small exchanges.

Names here work on JAX's own meshes (`jax.set_mesh`, `jax.sharding`), with automatic and explicit
axes and inside `jax.shard_map`.
"""

from ._coded import int8_mean_over as int8_mean_over
from ._coded import sign_mean_over as sign_mean_over
from ._collectives import Collective as Collective
from ._collectives import collectives as collectives
from ._collectives import sent_bytes as sent_bytes
from ._exchange import mean_over as mean_over
from ._feedback import ErrorFeedbackState as ErrorFeedbackState
from ._layout import StateLeaf as StateLeaf
from ._layout import abstract_state as abstract_state
from ._layout import shardings_of as shardings_of
from ._layout import state_layout as state_layout
from ._local import DilocoState as DilocoState
from ._local import diloco as diloco
from ._low_rank import LowRankState as LowRankState
from ._low_rank import low_rank_mean_over as low_rank_mean_over
from ._plan import Plan as Plan
from ._plan import plan as plan
from ._sharded import sharded as sharded
from ._specs import spread as spread
from ._top_k import top_k_mean_over as top_k_mean_over
