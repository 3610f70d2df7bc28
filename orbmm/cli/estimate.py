"""`orbmm estimate`: how fast a system would run on this machine, and whether it fits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orbmm.benchmark.estimate import Estimate
    from orbmm.settings import Settings


def estimate(
    system: Annotated[Path, typer.Argument(metavar="SYSTEM.toml", help="A prepared system.")],
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, ...; default: the system's own.")] = None,
    precision: Annotated[str | None, typer.Option(help="Default: the system's own.")] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="benchmark.json", help="What was measured before; default: measure small boxes now."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(help="Processor threads; 0: all cores.", min=0)] = 0,
) -> None:
    """Predict steps per second, ns/day and peak memory from what an edge costs; says what would fit."""
    from orbmm.benchmark.estimate import choose, iterate_estimates, list_ways
    from orbmm.checkpoints.catalog import find_record
    from orbmm.model.device import find_device
    from orbmm.model.inference.memory import read_free_bytes
    from orbmm.settings import override_settings, read_settings

    settings = override_settings(read_settings(system), {"model": {"device": device, "precision": precision}})
    place = find_device(settings.model.device)
    atoms, edges = count_edges(settings)
    free_mb = read_free_bytes(place) / 1e6
    typer.echo(f"{settings.system.name}: {atoms} atoms, {edges} edges; {free_mb / 1000:.1f} GB free on {place}")
    typer.echo(HEADER)
    ways = list_ways(find_record(settings.model.name), settings.model.precision, place.type)
    machine = (settings.model.device, threads or os.cpu_count() or 1, free_mb)
    estimates = []
    for one in iterate_estimates(ways, source, machine, edges, settings.run.timestep_fs):
        typer.echo(format_estimate(one))
        estimates.append(one)
    typer.echo(conclude(estimates, choose(estimates)))


HEADER = f"{'precision':16} {'mode':5} {'steps/s':>9} {'ns/day':>9} {'memory':>10}"


def count_edges(settings: Settings) -> tuple[int, int]:
    """Atoms and edges of the start of a system, as its model sees them."""
    import torch

    from orbmm.checkpoints.catalog import find_record
    from orbmm.graph.edges import find_edges
    from orbmm.simulation.start import read_start
    from orbmm.units import ANGSTROM_PER_NM

    record = find_record(settings.model.name)
    start = read_start(settings.system)
    vectors = start.topology.getPeriodicBoxVectors()
    cell = None if vectors is None else torch.tensor([list(row._value) for row in vectors]) * ANGSTROM_PER_NM
    positions = torch.tensor(start.positions) * ANGSTROM_PER_NM
    edges = find_edges(positions, cell, record.architecture.cutoff_angstrom, record.max_neighbors)
    return len(positions), len(edges)


def format_estimate(one: Estimate) -> str:
    """One line of the table."""
    verdict = "fits" if one.fits else "does not fit"
    return (
        f"{one.way.precision:16} {one.way.memory:5} {1 / one.step_s:9.3g} {one.ns_per_day:9.3g} "
        f"{one.memory_mb / 1000:7.2f} GB  {verdict}"
    )


def conclude(estimates: list[Estimate], chosen: Estimate | None) -> str:
    """What to write into system.toml."""
    if chosen is None:
        least = min(estimates, key=lambda one: one.memory_mb)
        return (
            f"nothing fits: the least is {least.memory_mb / 1000:.1f} GB, in {least.way.precision}; "
            "take a smaller box, a model with 20 neighbours, or a device with more memory"
        )
    mode = "" if chosen.way.memory == "auto" else f', memory = "{chosen.way.memory}"'
    return f'take [model] precision = "{chosen.way.precision}"{mode}'
