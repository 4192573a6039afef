"""Safe arithmetic for rules: roots and quotients that stay finite, averages, counts."""

from ._core.numerics import abs2 as abs2
from ._core.numerics import average as average
from ._core.numerics import debiasing as debiasing
from ._core.numerics import divide as divide
from ._core.numerics import magnitude as magnitude
from ._core.numerics import root as root
from ._core.numerics import safe_increment as safe_increment
from ._core.numerics import sign as sign
