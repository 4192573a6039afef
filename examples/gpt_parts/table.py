"""The numbers of a run in a CSV file."""

import csv
from pathlib import Path


class Table:
    """A CSV file that grows by a row at a time; rows after a checkpoint are dropped on resume."""

    def __init__(self, path: Path, columns: tuple[str, ...], until: int):
        rows = csv.DictReader(path.read_text().splitlines() if path.exists() else [])
        kept = [row for row in rows if int(row["step"]) <= until]
        self._file = path.open("w", newline="")
        self._writer = csv.DictWriter(self._file, columns)
        self._writer.writeheader()
        self._writer.writerows(kept)

    def add(self, **row: float) -> None:
        """Write a row, at once."""
        self._writer.writerow({k: f"{float(v):.6g}" for k, v in row.items()})
        self._file.flush()
