"""The precision policy: what state is stored in. Arithmetic is always in float32 or wider."""

import dataclasses
from typing import Any

from .arguments import check_dtype
from .body import Body
from .lifted import Lifted
from .transformation import GradientTransformation, as_transformation, from_body, transformation
from .wrap import Around, innermost, map_rules


@transformation
def with_state_dtype(inner: Any, **dtypes: Any) -> GradientTransformation:
    """Store chosen state fields in another dtype; the formula stays the same.

    Whatever a field is stored in, a rule computes with it in float32 or wider (float64 where
    the parameter or the gradient is), and rounds it to the stored dtype when the step is done.
    `with_state_dtype(adamw(1e-3), mu="bfloat16")` halves the memory of the first moment. A
    second moment in bfloat16 stalls: 0.999 nu + 0.001 g^2 rounds back to nu once nu is near
    half of what it should be, so ask for it only with a small b2.

    Shapes: those of the inner state.

    Args:
        inner: A transformation, however nested.
        **dtypes: Dtype by the name of a per-parameter field, for every rule that has it.

    Returns:
        The transformation; its state has the inner one's structure.

    Raises:
        ValueError: If no rule has a field of that name; the message lists those there are.
        TypeError: If a value is no dtype.
    """
    for name, dtype in dtypes.items():
        check_dtype(f"with_state_dtype: `{name}`", dtype)
    child = as_transformation(inner, "with_state_dtype")
    body = child.update.body
    rules = (part.rule for part in innermost(body) if isinstance(part, Lifted))
    there = {field for rule in rules for field in rule.per_param_fields}
    for name in dtypes:
        if name not in there:
            raise ValueError(
                f"with_state_dtype: no rule has a per-parameter field `{name}`; there are "
                f"{sorted(there)}."
            )
    return from_body(Around("with_state_dtype", child, _with_dtypes(body, dtypes)))


def _with_dtypes(body: Body, dtypes: dict[str, Any]) -> Body:
    def change(rule: Lifted) -> Lifted:
        own = {k: v for k, v in dtypes.items() if k in rule.rule.per_param_fields}
        return dataclasses.replace(rule, dtypes=rule.dtypes | own)

    return map_rules(body, change)
