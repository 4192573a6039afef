"""For testing transformations, also your own: the contract, reference loops, trees, problems."""

from ._contract import check_transformation as check_transformation
from ._reference import check_formula as check_formula
from ._reference import gradient_sequence as gradient_sequence
from ._reference import run_steps as run_steps
from ._trees import awkward_params as awkward_params
from ._trees import constant_like as constant_like
from ._trees import gradients_like as gradients_like
from ._trees import many_leaves as many_leaves
