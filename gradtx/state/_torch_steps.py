"""How many steps torch did: it counts them for each parameter, a rule here once."""

from collections.abc import Iterable, Mapping
from typing import Any


class Steps:
    """The numbers of steps of torch's parameters.

    Args:
        owner: Who asks, for messages.
        there: What torch keeps for each parameter, by its name.
        counts: What the caller gave: "start", "saved" or the number for all.
    """

    def __init__(self, owner: str, there: Mapping[str, Mapping[str, Any]], counts: Any):
        self.owner, self.counts = owner, counts
        told = counts if isinstance(counts, str) else "given"
        self.known = {
            name: int(kept["step"])
            for name, kept in there.items()
            if "step" in kept and told == "saved"
        }

    @property
    def most(self) -> int | None:
        """The largest number of steps, None if nobody knows any."""
        if not isinstance(self.counts, str):
            return self.counts
        return max(self.known.values(), default=None)

    @property
    def of_others(self) -> Any:
        """What `restore` is told of counts that no rule has from torch."""
        # Where they differ it takes those of the rules that are nearest.
        return (
            self.most
            if len(set(self.known.values())) < 2 and self.most is not None
            else self.counts
        )

    def of_rule(self, rule: str, names: Iterable[str]) -> int | None:
        """The number of steps that a rule has done, None if nobody knows it.

        Args:
            rule: What it is called.
            names: torch's names of the parameters that it moves.

        Raises:
            ValueError: If they are at different steps.
        """
        if not isinstance(self.counts, str):
            return self.counts
        # torch's Muon counts no steps, the AdamW beside it does.
        mine = {name: self.known[name] for name in names if name in self.known} or self.known
        if len(set(mine.values())) > 1:
            low, high = min(mine, key=mine.__getitem__), max(mine, key=mine.__getitem__)
            raise ValueError(
                f"{self.owner}: parameters are at different steps, {low} at {mine[low]} and {high} "
                f"at {mine[high]}, and {rule} has one count for all that it moves. Put them into "
                f"different groups, which count by themselves, or give the number: "
                f"counts={mine[high]}."
            )
        return next(iter(mine.values()), None)
