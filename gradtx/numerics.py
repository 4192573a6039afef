"""Arithmetic for rules: safe roots and quotients, averages, counts, sums over an array.

Sums, means and maxima over an array go by `array_sum`, `array_mean` and `array_max` (and its shape
by `array_shape`), so that a rule is right inside `jax.shard_map`, too.
"""

from ._core.numerics import abs2 as abs2
from ._core.numerics import average as average
from ._core.numerics import debiasing as debiasing
from ._core.numerics import divide as divide
from ._core.numerics import magnitude as magnitude
from ._core.numerics import root as root
from ._core.numerics import safe_increment as safe_increment
from ._core.numerics import sign as sign
from ._core.reduce import array_max as array_max
from ._core.reduce import array_mean as array_mean
from ._core.reduce import array_shape as array_shape
from ._core.reduce import array_sum as array_sum
