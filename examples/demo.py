"""The main job: compare a dozen optimizers, and write what happened to one HTML report.

python examples/demo.py             everything, in two minutes or so on two cores
python examples/demo.py --tune      also repeat the whole search for learning rates
python examples/demo.py --quick     a few steps of everything, to see that it works
"""

import argparse
import time
from pathlib import Path

from demo_parts import comparison, data, descent, plane, report, sections
from demo_parts.networks import NETWORKS
from demo_parts.optimizers import GRID, GROUPS, OPTIMIZERS, RATES
from demo_parts.training import Settings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gradtx import plot

FULL = Settings()
QUICK = Settings(steps=20, points=4, seeds=(0, 1), tuning_seeds=(100, 101))
QUICK_NAMES = "SGD", "RMSProp", "Adam", "Lion"


def main() -> None:
    """Run all experiments and write the report."""
    options = _options()
    began = time.perf_counter()
    settings, grid = (QUICK, GRID[4:7]) if options.quick else (FULL, GRID)
    names = options.optimizers or (QUICK_NAMES if options.quick else OPTIMIZERS)
    optimizers = {name: OPTIMIZERS[name] for name in names}
    groups = {
        group: [name for name in names if name in optimizers] for group, names in GROUPS.items()
    }
    groups = {group: names for group, names in groups.items() if names}
    styles = plot.line_styles(OPTIMIZERS)
    digits = data.load()
    searched = tuple(net.name for net in NETWORKS) if options.tune else ("MLP",)
    rates = None if options.tune else RATES
    console = Console()

    work = comparison.tasks(optimizers, settings, searched, grid)
    work += len(plane.SCENES) * len(optimizers) + 4 + 8
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("data", total=work)

        def tick():
            bar.advance(task)

        def say(what):
            bar.update(task, description=what)

        results = comparison.compare(optimizers, rates, digits, settings, searched, tick, say, grid)
        say("paths in the plane")
        planes = plane.run(optimizers, 12 if options.quick else 80, tick)
        say("GD against SGD")
        curves = descent.run(digits.train, 3 if options.quick else 300, tick)

        say("figures")
        album = report.Album(options.out / "figures", dpi=60 if options.quick else 120)
        found = []
        for result in results:
            found.append(sections.training(album, result, settings, digits, groups, styles))
            tick()
        found.append(sections.sensitivity(album, results[0], grid, groups, styles))
        tick()
        frames = 6 if options.quick else 72
        found += sections.paths(album, planes, frames, groups, styles)
        bar.advance(task, 2)
        found.append(sections.oscillation(album))
        tick()
        found.append(sections.gradient_descent(album, curves, digits))
        tick()
        found.append(sections.learning_rates(album))
        tick()

    names = comparison.order(results)
    if options.tune:
        _print_search(console, results, grid)
    _print_table(console, names, results)
    seconds = time.perf_counter() - began
    about = report.machine() | {
        "run time": f"{seconds:.0f} s",
        "data": f"scikit-learn's digits: {len(digits.train.labels)} images for training, "
        f"{len(digits.validation.labels)} for validation, {len(digits.test.labels)} for the test",
        "seeds": f"{settings.seeds} for the results, {settings.tuning_seeds} for the search; "
        "a seed gives every optimizer the same weights and batches",
        "made by": "python examples/demo.py" + (" --quick" if options.quick else ""),
    }
    path = options.out / "report.html"
    report.write(
        path,
        "report.html.jinja",
        names=names,
        optimizers=optimizers,
        results=results,
        planes=planes,
        sections=found,
        settings=settings,
        styles=styles,
        grid=grid,
        full_grid=GRID,
        level=round(100 * comparison.LEVEL),
        best={r.network.name: max(row.accuracy for row in r.rows.values()) for r in results},
        compile_seconds=sum(result.compile_seconds for result in results),
        test_size=len(digits.test.labels),
        rates_are_stored=rates is not None,
        about=about,
    )
    console.print(f"Finished in {seconds:.0f} s. The report:")
    print(path.resolve())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it works")
    parser.add_argument("--tune", action="store_true", help="search the rates for both networks")
    parser.add_argument("--out", type=Path, default=Path("demo_report"), help="folder to write to")
    parser.add_argument(
        "--optimizers",
        nargs="+",
        choices=tuple(OPTIMIZERS),
        metavar="NAME",
        help=f"which to run, of: {', '.join(OPTIMIZERS)}",
    )
    return parser.parse_args()


def _print_table(console: Console, names, results) -> None:
    table = Table(title="Test accuracy after training, best first")
    table.add_column("optimizer")
    for result in results:
        table.add_column(f"{result.network.name}: lr", justify="right", no_wrap=True)
        table.add_column("test, %", justify="right", no_wrap=True)
        table.add_column("ms", justify="right", no_wrap=True)
    for name in names:
        cells = []
        for result in results:
            row = result.rows[name]
            accuracy = f"{100 * row.accuracy:.1f} ± {100 * row.spread:.1f}"
            cells += [f"{row.rate:g}", accuracy, f"{1000 * row.seconds:.0f}"]
        table.add_row(name, *cells)
    console.print(table)


def _print_search(console: Console, results, grid) -> None:
    """The table of the search, and what to store in `demo_parts/optimizers.py`."""
    for result in results:
        table = Table(title=f"{result.network.name}: mean validation accuracy of the run, %")
        table.add_column("optimizer \\ lr")
        for rate in grid:
            table.add_column(f"{rate:g}", justify="right")
        for name, scores in result.scores.items():
            cells = [f"{100 * score:.1f}" for score in scores]
            cells[int(scores.argmax())] = f"[bold green]{cells[int(scores.argmax())]}[/]"
            table.add_row(name, *cells)
            if scores.argmax() in (0, len(grid) - 1):
                console.print(f"{result.network.name}, {name}: the best rate is at the edge.")
        Console(width=max(console.width, 120)).print(table)
        console.print({name: row.rate for name, row in result.rows.items()})


if __name__ == "__main__":
    main()
