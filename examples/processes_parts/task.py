"""What the launcher tells a process: one JSON object on its command line."""

import json
from typing import NamedTuple


class Task(NamedTuple):
    steps: int
    log_every: int
    save_every: int
    batch_size: int  # of all processes together
    every: int  # steps between two meetings of the replicas, for DiLoCo
    replicas: int  # they outlive the processes that they began on
    processes: int
    way: str = ""  # to train: a key of ways.WAYS
    folder: str = ""  # of the checkpoints
    process: int = 0  # which of the processes this one is
    port: int = 0  # where process 0 listens and the others call

    def to_json(self) -> str:
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> "Task":
        return cls(**json.loads(text))
