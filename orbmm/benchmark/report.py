"""Write the rows of a benchmark as lines of a table, as a JSON file and as a figure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orbmm.benchmark.run import Row
from orbmm.errors import SettingsError
from orbmm.outputs import OutputFolder
from orbmm.report.figures import format_figure
from orbmm.report.style import LINES, make_panels, name_axes

REPORT_FILES = ("benchmark.png", "benchmark.json")  # the numbers last, so that they are never older than the picture
RUNNER_FILE = "runner.json"
MARKS = "osD^v<>"
SHARES = {"an evaluation": "stages", "a step": "step_stages"}
HEADER = (
    f"{'case':26} {'atoms':>7} {'model':30} {'precision':15} {'evals/s':>9} {'no graph':>9} {'graph':>8} "
    f"{'steps/s':>9} {'ns/day':>9} {'memory':>10}  {'mode':5} force"
)


def format_row(row: Row) -> str:
    """Return one line of the table, with further lines for a comparison and for stages, or the reason to skip it."""
    start = f"{row['case']:26} {row.get('atoms', ''):>7} {row['model']:30} {row['precision']:15}"
    if "skipped" in row:
        return f"{start} skipped: {row['skipped']}"
    memory = row.get("device_mb", row.get("host_mb", float("nan")))
    steps = f"{1 / row['step_s']:9.3g} {row['ns_per_day']:9.3g}" if "step_s" in row else f"{'-':>9} {'-':>9}"
    line = (
        f"{start} {1 / row['evaluation_s']:9.3g} {1 / row['network_s']:9.3g} {1000 * row['graph_s']:5.1f} ms "
        f"{steps} {memory:7.0f} MB  {row['memory']:5} {row.get('force') or '-'}"
    )
    comparison = _format_comparison(row) if "peer" in row else ""
    stages = [_format_stages(what, row.get(key, {})) for what, key in SHARES.items()]
    return "\n".join(part for part in [line, comparison, *stages] if part)


def _format_comparison(row: Row) -> str:
    peer = row["peer"]
    name = peer["package"].split()[0]
    text = (
        f"  {peer['package']}: {1 / peer['evaluation_s']:.3g} evals/s, "
        f"{peer.get('device_mb', peer['host_mb']):.0f} MB; "
        f"orbmm is {row['speed_ratio']:.2f} times as fast ({row['cpu_time_ratio']:.2f} by CPU time) "
        f"with {row['memory_ratio']:.2f} of the memory; "
        f"{_format_spread('orbmm', row)}, {_format_spread(name, peer)}"
    )
    if "largest_difference_mev_per_angstrom" not in row:
        return text
    text += (
        f"\n  forces differ by at most {row['largest_difference_mev_per_angstrom']:.2g} meV/Å "
        f"(largest force {row['largest_force_mev_per_angstrom']:.3g})"
    )
    if "own_error_mev_per_angstrom" not in row:
        return text
    own, theirs = row["own_error_mev_per_angstrom"], row["peer_error_mev_per_angstrom"]
    return f"{text}; RMS error against float64: orbmm {own:.2g}, {name} {theirs:.2g} meV/Å"


def _format_spread(name: str, times: Row) -> str:
    """Return the number of evaluations behind a median, and their range."""
    least, greatest = times["evaluation_range_s"]
    return f"{name} {least:.3g}-{greatest:.3g} s in {times['evaluations']} evaluation{'s' * (times['evaluations'] > 1)}"


def _format_stages(what: str, stages: dict[str, float]) -> str:
    """Return the shares of the stages of an evaluation or a step; layers are combined."""
    together: dict[str, float] = defaultdict(float)
    for name, share in stages.items():
        together["layers" + name[len("layer 1") :] if name.startswith("layer ") else name] += share
    return f"  {what}: " + ", ".join(f"{name} {share:.1%}" for name, share in together.items()) if together else ""


def write_report(rows: list[Row], about: dict[str, Any], folder: Path) -> list[Path]:
    """Write benchmark.json, and benchmark.png if a row has numbers; return the paths.

    about: machine, versions, date, command. Raises the errors of `write_files`.
    """
    text = json.dumps({**about, "rows": rows}, indent=1, ensure_ascii=False) + "\n"
    if all("skipped" in row for row in rows):
        return write_files({REPORT_FILES[-1]: text.encode()}, folder)
    return sorted(write_files(dict(zip(REPORT_FILES, (draw_speed(rows), text.encode()), strict=True)), folder))


def write_files(contents: dict[str, bytes], folder: Path) -> list[Path]:
    """Write the files of a benchmark, and return their paths.

    Raises OutputError if a file that orbmm did not write has one of these names, SettingsError if the folder cannot be
    written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        OutputFolder(folder).write(contents)
    except OSError as error:
        raise SettingsError(f"{folder}: the benchmark cannot be written there ({error}); give --output") from error
    return [folder / name for name in contents]


def check_files(names: Sequence[str], folder: Path) -> None:
    """Raise the errors that `write_files` would raise, before anything is measured."""
    try:
        OutputFolder(folder).check(names)
    except OSError as error:
        raise SettingsError(f"{folder}: the benchmark cannot be written there ({error}); give --output") from error


def draw_speed(rows: list[Row]) -> bytes:
    """Return a PNG of force evaluations per second, graph included, over the number of atoms.

    There is one line for each model and precision.
    """
    lines: dict[str, dict[int, float]] = defaultdict(dict)
    for row in rows:
        if "skipped" not in row:
            lines[f"{row['model']}, {row['precision']}"][row["atoms"]] = 1 / row["evaluation_s"]
            if "peer" in row:
                lines[f"{row['model']}, {row['peer']['package']}"][row["atoms"]] = 1 / row["peer"]["evaluation_s"]
    figure, (panel,) = make_panels()
    for number, (label, points) in enumerate(sorted(lines.items())):
        style = LINES[number % len(LINES)]
        panel.plot(*zip(*sorted(points.items()), strict=True), marker=MARKS[number % len(MARKS)], label=label, **style)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.margins(0.1)
    name_axes(panel, "atoms", "force evaluations per second")
    panel.legend(fontsize="x-small", frameon=False)
    return format_figure(figure, "png")
