"""Optimizers that see matrices, with Adam for what is none."""

import dataclasses
from collections.abc import Callable
from typing import Any

from .._core.combine import named_chain
from .._core.lifted import Lifted
from .._core.masks import all_of
from .._core.transformation import GradientTransformation, transformation
from .._core.wrap import map_rules_of
from .._matrix.axes import AxesOf, any_leaf, is_matrix
from .._matrix.galore import scale_by_galore
from .._matrix.muon import STANDARD, scale_by_muon, scale_by_shape
from .._parts.decay_value import DecayLike
from .._parts.descent import descend
from ..typing import (
    Decay,
    DType,
    LearningRate,
    NonNegative,
    PositiveInt,
    Real,
)
from .adam import adamw


@transformation
def muon(
    learning_rate: LearningRate,
    ns_coeffs: Any = STANDARD,
    ns_steps: PositiveInt = 5,
    beta: Decay = 0.95,
    eps: NonNegative = 1e-8,
    weight_decay: DecayLike = 0.0,
    weight_decay_mask: Any = None,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: str = "frobenius",
    adam_b1: Decay = 0.9,
    adam_b2: Decay = 0.999,
    adam_eps_root: NonNegative = 0.0,
    adam_weight_decay: DecayLike = 0.0,
    adam_learning_rate: LearningRate | None = None,
    muon_weight_dimension_numbers: Any = None,
    consistent_rms: NonNegative | None = None,
    adam_nesterov: bool = False,
    ns_dtype: DType | None = None,
) -> GradientTransformation:
    """Muon for matrices: steps of equal length in all directions. AdamW for all else.

    For each matrix w with rows and columns and its orthogonal direction u (see `scale_by_muon`):

        w = w - learning_rate (sqrt(max(1, columns / rows)) u + weight_decay w)

    or with `consistent_rms` the factor consistent_rms sqrt(max(rows, columns)). Rows are what the
    product x w sums over. All other arrays are moved by `adamw`.

    By default an array is a matrix if it has two axes. Embeddings and output layers have two as
    well; the authors leave them to AdamW, by None in their place of
    `muon_weight_dimension_numbers`.

    Shapes: the state costs one copy of the matrices and two of the other arrays.
    Units: `learning_rate` is in units of w: the largest singular value of a step is about
        learning_rate, times the factor. The authors' is 0.02.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        ns_coeffs: Coefficients of the iteration, three or a table, or "standard" or "dion".
        ns_steps: Number of its steps, at least 1; a table has one for each row.
        beta: Decay of the mean, in [0, 1).
        eps: Added to the norm of a matrix, and to Adam's root, in [0, inf).
        weight_decay: Decoupled weight decay of the matrices, in [0, inf), times the learning rate;
            a schedule; or `decay(...)`.
        weight_decay_mask: Which of them decay: a tree of booleans, a prefix of it, or a function
            of the parameters to one; None for all.
        mu_dtype: Dtype in which the means are stored; None for float32 or wider.
        nesterov: Whether to use Nesterov's momentum for the matrices.
        adaptive: Whether u is multiplied by the dual norm of the momentum.
        preconditioning: "frobenius", "spectral", "aol" or "schatten".
        adam_b1: Decay of Adam's mean, in [0, 1).
        adam_b2: Decay of Adam's mean square, in [0, 1).
        adam_eps_root: Added under Adam's root, in [0, inf).
        adam_weight_decay: Decoupled weight decay of the other arrays, given like `weight_decay`.
        adam_learning_rate: Their learning rate, or a schedule of such; None for `learning_rate`.
        muon_weight_dimension_numbers: Which arrays are matrices, and which of their axes are rows
            and columns: `MuonDimensionNumbers` for all arrays; or a tree of such like the
            parameters or the top of them, with None for what Adam moves; or a function of the
            parameters that returns one. None for every array with two axes.
        consistent_rms: About the root mean square of the entries of a step before the learning
            rate, in [0, inf), 0.2 for that of Adam; None for the factor above.
        adam_nesterov: Whether to use Nesterov's momentum for the other arrays.
        ns_dtype: Dtype to which the factors of the matrix products are rounded, such as
            "bfloat16"; None for float32 or wider.

    Returns:
        The transformation. Its update needs the parameters. Its state is a dict of two chains:
        "muon" of `scale_by_muon`, `scale_by_shape`, `add_decayed_weights` and
        `scale_by_learning_rate`, and "adam" of those of `adamw`. An array has state in one of them
        and None in the other.

    Raises:
        ValueError: If an argument is outside its range; on init and update, if the dimension
            numbers do not fit an array.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; Liu et al. 2025,
        https://arxiv.org/abs/2502.16982, for `consistent_rms`.
    Differs: both parts of Nesterov's momentum are corrected for the start of their means, as in
        Optax. Unlike there, Adam is without Nesterov's momentum, as the authors have it.
    """
    numbers = muon_weight_dimension_numbers
    axes = AxesOf("muon", numbers, default=is_matrix, everywhere=any_leaf)
    matrices = descend(
        scale_by_muon(
            ns_coeffs,
            ns_steps,
            beta,
            eps,
            mu_dtype,
            nesterov=nesterov,
            adaptive=adaptive,
            preconditioning=preconditioning,
            weight_dimension_numbers=numbers,
            ns_dtype=ns_dtype,
        ),
        scale_by_shape(numbers, consistent_rms),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=weight_decay_mask,
    )
    others = adamw(
        learning_rate if adam_learning_rate is None else adam_learning_rate,
        adam_b1,
        adam_b2,
        eps,
        adam_eps_root,
        mu_dtype,
        adam_weight_decay,
        nesterov=adam_nesterov,
    )
    return named_chain(
        ("muon", _restricted(matrices, axes.matrices, axes)),
        ("adam", _restricted(others, axes.others, axes)),
    )


def _restricted(tx: Any, where: Callable[[Any], Any], axes: AxesOf) -> GradientTransformation:
    """A chain of rules that applies to some leaves; its rules still fuse with their neighbours."""

    def change(lifted: Lifted) -> Lifted:
        if lifted.rule.per_leaf is not None:
            return dataclasses.replace(lifted, where=axes)
        return dataclasses.replace(lifted, where=all_of(where, lifted.where))

    return map_rules_of(tx, change)


@transformation
def galore(
    learning_rate: LearningRate,
    rank: PositiveInt = 128,
    update_proj_gap: PositiveInt = 200,
    scale: Real = 1.0,
    base_optimizer: Any = None,
    weight_decay: DecayLike = 0.0,
    mask: Any = None,
    weight_dimension_numbers: Any = None,
    *,
    project: str = "smaller",
) -> GradientTransformation:
    """GaLore: Adam, or another rule, in the subspace where the gradients of a matrix mostly lie.

    The chain of `scale_by_galore`, `add_decayed_weights` and `scale_by_learning_rate`.

    Shapes: with Adam the state of a matrix with sides m <= n costs (m + 2 n) rank numbers instead
        of 2 m n.
    Units: those of the base optimizer: with Adam, `learning_rate` is in units of the parameters.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        rank: Dimension of the subspaces, at least 1.
        update_proj_gap: Number of steps from one choice of them to the next, at least 1.
        scale: Factor of the updates of the matrices, a number; the paper has 0.25.
        base_optimizer: The rule in the subspaces, one that does not read the parameters; None for
            `scale_by_adam()`.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule; or
            `decay(...)`.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function of the
            parameters to one; None for all.
        weight_dimension_numbers: Which arrays are matrices: see `scale_by_galore`.
        project: Which side of a matrix is projected, "smaller" or "larger".

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range, or the base optimizer reads the
            parameters.
        TypeError: If `base_optimizer` is no transformation.

    Source: Zhao et al. 2024, https://arxiv.org/abs/2403.03507, Algorithm 2.
    Differs: from Optax, which projects the larger side.
    """
    return descend(
        scale_by_galore(
            rank, update_proj_gap, scale, base_optimizer, weight_dimension_numbers, project=project
        ),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
    )
