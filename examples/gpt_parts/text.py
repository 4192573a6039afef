"""Text that is on every machine: the source of Python's standard library, as bytes."""

import sysconfig
from pathlib import Path
from typing import NamedTuple

import numpy as np

VOCABULARY = 128  # ASCII


class Corpus(NamedTuple):
    """Bytes to learn from, and bytes of other files to judge by."""

    train: np.ndarray
    validation: np.ndarray

    @classmethod
    def load(cls, most: int = 4_000_000) -> "Corpus":
        """The modules at the top of the standard library; every tenth is for validation."""
        files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
        parts: tuple[list[bytes], list[bytes]] = ([], [])
        for number, file in enumerate(files):
            parts[number % 10 == 0].append(file.read_text("utf-8").encode("ascii", "replace"))
        return cls(*(np.frombuffer(b"\n".join(p), np.uint8)[:most] for p in parts))


def batch(text: np.ndarray, size: int, length: int, *seed: int) -> np.ndarray:
    """Windows of `length` + 1 bytes at random places, the same for the same seed."""
    starts = np.random.default_rng(seed).integers(0, len(text) - length - 1, size)
    return text[starts[:, None] + np.arange(length + 1)].astype(np.int32)
