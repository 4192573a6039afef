"""For testing transformations, also your own: the contract, reference loops, trees, problems."""

from ._reference import check_formula as check_formula
from ._reference import gradient_sequence as gradient_sequence
from ._reference import run_steps as run_steps
