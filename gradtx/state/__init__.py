"""State you can keep: names for its arrays, saved and restored by them, edited by path.

`export` makes a flat dict of a state, `restore` a state of such a dict, also for a transformation
or parameters that have changed since. `reset` starts the state of some parameters anew, `at_step`
sets what counts steps, and `resize` carries a state over to parameters of other shapes.
`from_torch`, `to_torch`, `from_optax` and `to_optax` carry it between libraries.
"""

from ._edit import at_step as at_step
from ._edit import reset as reset
from ._export import export as export
from ._optax import from_optax as from_optax
from ._optax import to_optax as to_optax
from ._report import Report as Report
from ._resize import resize as resize
from ._restore import restore as restore
from ._to_torch import to_torch as to_torch
from ._torch import from_torch as from_torch
from ._torch_split import Split as Split
