"""Curvature of a loss: products with its second derivatives, and what can be learnt from them.

An `Operator` is a symmetric matrix known by its products: the Hessian of a loss, the Gauss-Newton
matrix, the Fisher matrix, for any tree of parameters, over one batch or many. From products alone
come the extreme eigenvalues, the condition number, the density of the spectrum, trace and diagonal;
each says how accurate it is.
"""

from ._condition import ConditionNumber as ConditionNumber
from ._condition import condition_number as condition_number
from ._density import SpectralDensity as SpectralDensity
from ._density import spectral_density as spectral_density
from ._eigenvalues import Eigenvalues as Eigenvalues
from ._eigenvalues import eigenvalues as eigenvalues
from ._operator import Operator as Operator
from ._operator import linear_operator as linear_operator
from ._products import empirical_fisher as empirical_fisher
from ._products import fisher as fisher
from ._products import gauss_newton as gauss_newton
from ._products import hessian as hessian
from ._search import Progress as Progress
from ._second_order import fisher_diag as fisher_diag
from ._second_order import hessian_diag as hessian_diag
from ._second_order import hvp as hvp
from ._sharpness import Sharpness as Sharpness
from ._sharpness import sharpness as sharpness
from ._trace import Estimate as Estimate
from ._trace import diagonal as diagonal
from ._trace import hutch_plus_plus as hutch_plus_plus
from ._trace import trace as trace
