"""Types for those who write their own rules: what state fields hold, what arguments may be.

State fields: `Count` of steps, `Clock`, a count of steps that has nothing to do with the arrays
beside it, `Tally` of other things (calls that may have been no steps, micro-steps), `Scalar`,
`Scalars`, `Key` (one for the whole tree), `PerParam`, `PerParamReal`, `PerParamStack`,
`PerParamReduced` (a tree like the parameters), `InnerState` (the state of what a wrapper wraps).
Arguments of constructors: `Real`, `NonNegative`, `Positive`, `Fraction` in [0, 1], `Decay` in
[0, 1), `Threshold` in [0, inf], `PositiveInt`, `NonNegativeInt`, `DType`, and with a schedule
allowed `LearningRate`, `RealOrSchedule`, `NonNegativeOrSchedule`, `DecayOrSchedule`. They are
checked when a constructor decorated with `gradtx.transformation` or `gradtx.schedule` is called.
"""

from ._core.arguments import Decay as Decay
from ._core.arguments import DecayOrSchedule as DecayOrSchedule
from ._core.arguments import DType as DType
from ._core.arguments import Fraction as Fraction
from ._core.arguments import Interval as Interval
from ._core.arguments import LearningRate as LearningRate
from ._core.arguments import NonNegative as NonNegative
from ._core.arguments import NonNegativeInt as NonNegativeInt
from ._core.arguments import NonNegativeOrSchedule as NonNegativeOrSchedule
from ._core.arguments import Numeric as Numeric
from ._core.arguments import Positive as Positive
from ._core.arguments import PositiveInt as PositiveInt
from ._core.arguments import Real as Real
from ._core.arguments import RealOrSchedule as RealOrSchedule
from ._core.arguments import ScalarOrSchedule as ScalarOrSchedule
from ._core.arguments import Schedule as Schedule
from ._core.arguments import Threshold as Threshold
from ._core.state import Clock as Clock
from ._core.state import Count as Count
from ._core.state import Field as Field
from ._core.state import InnerState as InnerState
from ._core.state import Key as Key
from ._core.state import OptState as OptState
from ._core.state import Params as Params
from ._core.state import PerParam as PerParam
from ._core.state import PerParamReal as PerParamReal
from ._core.state import PerParamReduced as PerParamReduced
from ._core.state import PerParamStack as PerParamStack
from ._core.state import Scalar as Scalar
from ._core.state import Scalars as Scalars
from ._core.state import Tally as Tally
from ._core.state import Updates as Updates
