"""`orbmm estimate`: predict the speed of a system on this machine, and whether it fits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orbmm.cli.screen import say

if TYPE_CHECKING:
    from orbmm.benchmark.estimate import Estimate
    from orbmm.settings import Settings
    from orbmm.settings.model import ModelSettings


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
    """Predict steps per second, ns/day and peak memory from the cost of an edge, and advise on settings that fit."""
    from orbmm.benchmark.estimate import choose, iterate_estimates, list_ways
    from orbmm.model.inference.memory import read_free_bytes
    from orbmm.model.precision import find_device
    from orbmm.settings import override_settings, read_settings
    from orbmm.settings.model import NO_DISPERSION

    settings = override_settings(read_settings(system), {"model": {"device": device, "precision": precision}})
    place = find_device(settings.model.device)
    atoms, edges = count_edges(settings)
    free_mb = read_free_bytes(place) / 1e6
    say(f"{settings.system.name}: {atoms} atoms, {edges} edges; {free_mb / 1000:.1f} GB free on {place}")
    say(HEADER)
    model = settings.model
    ways = list_ways(name_network(model), model.precision, place.type, model.edges_per_block)
    machine = (place, threads or os.cpu_count() or 1, free_mb)
    estimates = []
    for one in iterate_estimates(ways, source, machine, edges, settings.run.timestep_fs):
        say(format_estimate(one))
        estimates.append(one)
    say(conclude(estimates, choose(estimates)))
    note = describe_compiling(model, atoms, sum(stage.steps for stage in settings.stages))
    if note:
        say(note)
    if model.fast:
        say(f"this is for {model.name} in every step; multiple time steps with {model.fast} are not estimated")
    if model.dispersion != NO_DISPERSION:
        say(f"this is without {model.dispersion}; see docs/dispersion.md for its time")


HEADER = f"{'precision':16} {'mode':5} {'steps/s':>9} {'ns/day':>9} {'memory':>10}"


def name_network(model: ModelSettings) -> str:
    """Return the name by which an estimate knows the network: of the catalogue, or the path of its weights file."""
    from orbmm.checkpoints.record_in_file import resolve_record
    from orbmm.settings.paths import OWN_NAME

    record = resolve_record(model.name, model.weights)
    return str(model.weights) if record.load_name == OWN_NAME else record.name


def count_edges(settings: Settings) -> tuple[int, int]:
    """Return the number of atoms and edges of a system at its start, with the cutoff of its model."""
    import torch

    from orbmm.checkpoints.record_in_file import resolve_record
    from orbmm.graph.edges import find_edges
    from orbmm.simulation.start.structure import read_start
    from orbmm.units import ANGSTROM_PER_NM

    record = resolve_record(settings.model.name, settings.model.weights)
    start = read_start(settings.system)
    vectors = start.topology.getPeriodicBoxVectors()
    cell = None if vectors is None else torch.tensor([list(row._value) for row in vectors]) * ANGSTROM_PER_NM
    positions = torch.tensor(start.positions) * ANGSTROM_PER_NM
    edges = find_edges(positions, cell, record.architecture.cutoff_angstrom, record.max_neighbors)
    return len(positions), len(edges)


def format_estimate(one: Estimate) -> str:
    """Return one line of the table."""
    from orbmm.benchmark.estimate import MEMORY_MARGIN

    verdict = f"{'fits' if one.fits else 'does not fit'} with {MEMORY_MARGIN:.0%} to spare"
    return (
        f"{one.way.precision:16} {one.way.memory:5} {1 / one.step_s:9.3g} {one.ns_per_day:9.3g} "
        f"{one.memory_mb / 1000:7.2f} GB  {verdict}"
    )


def conclude(estimates: list[Estimate], chosen: Estimate | None) -> str:
    """Return the advice on what to write into system.toml.

    Adds the first estimate that would fit in smaller blocks if it is preferred to the chosen one.
    """
    preferred = estimates[: estimates.index(chosen)] if chosen is not None else estimates
    in_blocks = next((one for one in preferred if one.fits_in_blocks and not one.fits), None)
    if chosen is not None:
        advice = f"take [model] {_name_settings(chosen)}"
        return f"{advice}; or, more slowly, {_name_settings(in_blocks, in_blocks=True)}" if in_blocks else advice
    if in_blocks is not None:
        return f"nothing fits as it is; take, more slowly, [model] {_name_settings(in_blocks, in_blocks=True)}"
    least = min(estimates, key=lambda one: one.memory_mb)
    return (
        f"nothing fits: the least is {least.memory_mb / 1000:.1f} GB, in {least.way.precision}; "
        "take a smaller box, a model with 20 neighbours, or a device with more memory"
    )


def _name_settings(one: Estimate, *, in_blocks: bool = False) -> str:
    """Return the lines for the table [model]; in_blocks: with the smallest blocks."""
    from orbmm.model.inference.memory import FEWEST_EDGES_PER_BLOCK

    mode = "" if one.way.memory == "auto" else f', memory = "{one.way.memory}"'
    block = f", edges_per_block = {FEWEST_EDGES_PER_BLOCK}" if in_blocks else ""
    return f'precision = "{one.way.precision}"{mode}{block}'


def describe_compiling(model: ModelSettings, atoms: int, steps: int) -> str | None:
    """Return a note on the compilation that the figures leave out, or None if the run would not be compiled."""
    from orbmm.checkpoints.record_in_file import resolve_record
    from orbmm.forces.resolve import resolve_compile
    from orbmm.model.precision import find_device

    if model.compile:
        return "figures and advice are for plain execution, and [model] says compile = true: take one or the other"
    if not resolve_compile(model, resolve_record(model.name, model.weights), find_device(model.device), atoms, steps):
        return None
    return (
        f"the figures are for plain execution; a run of {steps} steps would be compiled, "
        "unless [model] says compile = false or names memory or edges_per_block"
    )
