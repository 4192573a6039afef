"""Start processes on this machine, listen to them, and see to it that none outlives its run."""

import contextlib
import json
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from .task import Task

EXAMPLES = Path(__file__).parents[1]
DEVICES = 2  # simulated on each process
# Seconds until a run that says nothing is given up. Much longer than a step on a busy machine.
SILENCE = 120
ATTEMPTS = 3  # to find a port


class Ended(NamedTuple):
    """How one set of processes came to its end."""

    code: int  # of the process that ended first with an error, 0 if all finished
    process: int | None  # which that was
    words: str  # the last that it printed
    reports: list[dict[str, Any]]  # of all processes, in the order of their arrival

    def of(self, event: str, process: int = 0) -> list[dict[str, Any]]:
        """The reports of one kind that one process gave."""
        return [r for r in self.reports if (r["event"], r["process"]) == (event, process)]


def run(task: Task, logs: Path, heard: Callable[[dict, list[subprocess.Popen]], None]) -> Ended:
    """Start the processes of a task and wait until all have finished or one has died.

    If one dies the others are ended, too. Each is waiting for it in an exchange, and by itself
    would be for minutes; what they know is no loss, since training goes on from a checkpoint.

    Args:
        task: What to do. Process and port are filled in here.
        logs: A folder for what the processes print.
        heard: Is called with each report and the processes, which it may kill.

    Raises:
        TimeoutError: If no process says anything for long.
    """
    for _ in range(ATTEMPTS):
        ended = _attempt(task, logs, heard)
        # Somebody else may have taken the port between our choice and its use.
        if ended.code == 0 or ended.reports or "RPC server" not in ended.words:
            break
    return ended


def _attempt(task: Task, logs: Path, heard: Callable) -> Ended:
    reports: list[dict[str, Any]] = []
    with _started(task, logs) as (processes, arrived):
        running = set(range(task.processes))
        while running:
            try:
                process, line = arrived.get(timeout=SILENCE)
            except queue.Empty:
                words = _last_words(logs, min(running))
                raise TimeoutError(f"{running} said nothing for {SILENCE} s.\n{words}") from None
            if line:
                reports.append({"process": process, **json.loads(line)})
                heard(reports[-1], processes)
                continue
            running.discard(process)  # an empty line is the end of its pipe
            if code := processes[process].wait(timeout=SILENCE):
                return Ended(code, process, _last_words(logs, process), reports)
    return Ended(0, None, "", reports)


def _last_words(logs: Path, process: int) -> str:
    text = (logs / f"{process}.log").read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-25:])


@contextlib.contextmanager
def _started(task: Task, logs: Path) -> Iterator[tuple[list[subprocess.Popen], queue.Queue]]:
    """The processes of a task with a queue of their lines; afterwards they are gone."""
    task = task._replace(port=_free_port())
    # Level 1: these programs take longer to compile than to run.
    flags = f"--xla_force_host_platform_device_count={DEVICES} --xla_backend_optimization_level=1"
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": flags,
        "PYTHONPATH": os.pathsep.join([str(EXAMPLES), os.environ.get("PYTHONPATH", "")]),
    }
    processes: list[subprocess.Popen] = []
    listeners: list[threading.Thread] = []
    arrived: queue.Queue = queue.Queue()
    try:
        for i in range(task.processes):
            with open(logs / f"{i}.log", "w") as log:
                command = [sys.executable, "-m", "processes_parts.worker"]
                process = subprocess.Popen(
                    [*command, task._replace(process=i).to_json()],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=environment,
                    # Ctrl-C reaches the launcher alone, which then ends the processes.
                    start_new_session=True,
                )
            processes.append(process)
            listeners.append(threading.Thread(target=_listen, args=(i, process.stdout, arrived)))
            listeners[-1].start()
        yield processes, arrived
    finally:
        for process in processes:
            process.kill()  # not terminate(): JAX takes SIGTERM for a notice, and goes on
        for process, listener in zip(processes, listeners, strict=True):
            process.wait()
            process.stdin.close()
            listener.join()


def _listen(process: int, pipe: IO[str], arrived: queue.Queue) -> None:
    with pipe:
        for line in pipe:
            if line.endswith("\n"):  # not what a killed process could not finish
                arrived.put((process, line))
    arrived.put((process, ""))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
