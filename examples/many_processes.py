"""Train on several processes, kill one in the middle, and go on with fewer.

python examples/many_processes.py            from 4 processes to 2 to 1, two ways to train
python examples/many_processes.py --quick    from 4 to 2 and from 2 to 1, fewer steps

Each process stands for a machine: they share nothing but a folder for checkpoints, and talk over
the network (here the loopback) with jax.distributed. The same program runs on real machines when
something else than processes_parts/launcher.py starts it there. Read processes_parts/worker.py
for what each process does, and ways.py for what is trained and how it is split.
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from processes_parts.launcher import DEVICES, Ended, run
from processes_parts.task import Task
from rich.console import Console
from rich.table import Table


class Stage(NamedTuple):
    """So many processes train until `victim` is killed, some time after it reports step `at`."""

    processes: int
    victim: int | None = None  # None: to the end
    at: int = 0


class Plan(NamedTuple):
    task: Task
    stages: tuple[Stage, ...]


# A checkpoint falls between two meetings of the replicas, when these differ from one another.
# `processes` is how many the undisturbed run has; the numbers do not depend on it.
FULL = Task(
    steps=400, log_every=50, save_every=40, batch_size=64, every=25, replicas=4, processes=4
)
QUICK = FULL._replace(steps=80, log_every=20, save_every=15, every=20, replicas=2, processes=2)

# Process 0 is the one that the others find each other through; nobody is spared.
FULL_PLANS = [
    Plan(FULL._replace(way="data-parallel"), (Stage(4, 3, at=150), Stage(2, 1, at=250), Stage(1))),
    Plan(FULL._replace(way="DiLoCo"), (Stage(4, 0, at=150), Stage(2, 1, at=250), Stage(1))),
]
QUICK_PLANS = [
    Plan(QUICK._replace(way="data-parallel"), (Stage(4, 3, at=40), Stage(2))),
    Plan(QUICK._replace(way="DiLoCo"), (Stage(2, 0, at=40), Stage(1))),
]


class Outcome(NamedTuple):
    task: Task
    stages: tuple[Stage, ...]
    losses: dict[int, float]  # by step; of steps made twice, the second time
    accuracy: float
    resumed: list[int]  # the steps of the checkpoints that it went on from


class Journal:
    """Runs stages, and tells what happens."""

    def __init__(self, console: Console, folder: Path):
        self._console, self._folder, self._began = console, folder, time.perf_counter()

    def say(self, who: str, what: str) -> None:
        seconds = time.perf_counter() - self._began
        self._console.print(f"{seconds:6.1f} s  {who:<12}{what}", soft_wrap=True)

    def head(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/]", soft_wrap=True)

    def follow(self, name: str, task: Task, stages: tuple[Stage, ...]) -> Outcome:
        """Go through the stages of one training run; each finds the checkpoints of the last."""
        folder = self._folder / task.way / name
        task = task._replace(folder=str(folder / "checkpoints"))
        losses, saved, resumed = {}, {}, []
        for stage in stages:
            logs = folder / f"on-{stage.processes}"
            logs.mkdir(parents=True)
            ended = self._stage(task._replace(processes=stage.processes), stage, logs)
            resumed += check_continuity(ended, task, stage, saved)
            saved |= {r["step"]: r["fingerprint"] for r in ended.of("saved")}
            losses |= {r["step"]: r["loss"] for r in ended.of("step")}
        accuracy = ended.of("done")[0]["accuracy"]
        return Outcome(task, stages, losses, accuracy, resumed)

    def _stage(self, task: Task, stage: Stage, logs: Path) -> Ended:
        shot = False

        def heard(report, processes):
            nonlocal shot
            self._tell(report, task)
            marked = (report["process"], report["event"]) == (stage.victim, "step")
            if marked and report["step"] >= stage.at and not shot:
                processes[stage.victim].kill()  # SIGKILL: it cannot clean up
                self.say(f"process {stage.victim}", f"step {report['step']:4}  KILLED")
                shot = True

        ended = run(task, logs, heard)
        if shot:
            self.say(
                "launcher", f"process {ended.process} is gone; ended the others, which wait for it"
            )
        elif ended.code:
            raise RuntimeError(f"process {ended.process} ended with {ended.code}:\n{ended.words}")
        return ended

    def _tell(self, report: dict, task: Task) -> None:
        event, step = report["event"], f"step {report['step']:4}"
        if report["process"]:
            return  # the others say the same at the same time; that is checked at the end
        if event == "step":
            numbers = f"loss {report['loss']:.4f}  accuracy {100 * report['accuracy']:.1f} %"
            self.say("process 0", f"{step}  {numbers}")
        elif event == "saved":
            self.say("all", f"{step}  saved {len(report['fingerprint'])} arrays")
        elif event in ("began", "resumed"):
            mesh = " x ".join(f"{name} {size}" for name, size in report["mesh"].items())
            bits = ", restored bit for bit" if event == "resumed" else ""
            self.say("all", f"{step}  {event} on {_processes(task)}, mesh {mesh}{bits}")


def check_continuity(ended: Ended, task: Task, stage: Stage, saved: dict) -> list[int]:
    """Check where a stage began and ended; return the step that it resumed from, if it did."""
    if stage.victim is None:
        done = [ended.of("done", process)[0] for process in range(stage.processes)]
        assert {d["step"] for d in done} == {task.steps}, "a process stopped early"
        assert all(d["counts"] == [task.steps] for d in done), "an optimizer lost count"
        assert len({(d["loss"], d["accuracy"]) for d in done}) == 1, "processes disagree"
    else:
        assert ended.code != 0, f"training was over before process {stage.victim} was killed"
    starts = ended.of("resumed")
    assert bool(starts) == bool(saved), "a run must resume if and only if there is a checkpoint"
    for start in starts:
        # A save may have finished without the time to report it; then the processes' own
        # comparison with what lies beside the arrays has to do.
        assert start["step"] >= max(saved), "the newest checkpoint was not taken"
        assert start["fingerprint"] == saved.get(start["step"], start["fingerprint"])
        assert start["counts"] == [start["step"]], "the optimizer's count is not the checkpoint's"
    return [start["step"] for start in starts]


def compare(whole: Outcome, broken: Outcome) -> float:
    """Check that the interrupted run is the uninterrupted one; return how far losses differ."""
    assert whole.losses.keys() == broken.losses.keys(), "steps are missing"
    assert len(broken.resumed) == len(broken.stages) - 1, "a stage did not resume"
    farthest = max(abs(loss - broken.losses[step]) for step, loss in whole.losses.items())
    # The mesh decides the order in which numbers are summed, no more.
    assert farthest < 0.01, f"the losses differ by up to {farthest}"
    assert abs(whole.accuracy - broken.accuracy) <= 0.01, "the accuracies differ"
    return farthest


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer steps and processes")
    plans = QUICK_PLANS if parser.parse_args().quick else FULL_PLANS
    # A polite request to end becomes an exception, so that the processes are ended on the way.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    console, rows = Console(highlight=False), []
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(console, Path(folder))
        for task, stages in plans:
            journal.head(f"{task.way}: {_processes(task)}, undisturbed")
            unsaved = task._replace(save_every=task.steps)
            whole = journal.follow("whole", unsaved, (Stage(task.processes),))
            path = [str(stage.processes) for stage in stages]
            journal.head(f"{task.way}: the same on {', then '.join(path)}")
            broken = journal.follow("broken", task, stages)
            rows.append((path, whole, broken, compare(whole, broken)))
    console.print(_table(rows))
    print("Every run went on from its last checkpoint, bit for bit, and lost no step.")


def _processes(task: Task) -> str:
    return f"{task.processes} process" + "es" * (task.processes > 1)


def _table(rows: list) -> Table:
    table = Table(title=f"Interrupted against undisturbed ({DEVICES} devices a process)")
    for name in ("way", "processes", "resumed at", "accuracy", "undisturbed"):
        table.add_column(name, no_wrap=True)
    table.add_column("losses differ by", justify="right")
    for path, whole, broken, farthest in rows:
        steps = ", ".join(str(step) for step in broken.resumed)
        scores = (f"{100 * run.accuracy:.1f} %" for run in (broken, whole))
        table.add_row(whole.task.way, ", ".join(path), f"step {steps}", *scores, f"{farthest:.0e}")
    return table


if __name__ == "__main__":
    main()
