"""`orbmm models`: list the models, or show the details of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from orbmm.cli.screen import open_console

if TYPE_CHECKING:
    from rich.table import Table

    from orbmm.checkpoints.architecture import Architecture
    from orbmm.checkpoints.catalog import CheckpointRecord
    from orbmm.checkpoints.proof import Check


def models(name: Annotated[str | None, typer.Argument(help="Show all that is known of this model.")] = None) -> None:
    """List the models, or show all details of one."""
    from orbmm.checkpoints.catalog import default_model, find_record, list_models

    console = open_console()
    if name is not None:
        console.print(_show_details(find_record(name)))
        return
    models = list_models()
    longest = max(len(record.name) for record in models)
    for theory, records in groupby(models, lambda record: record.level_of_theory):
        console.print(_list_records(theory, list(records), longest))
    console.print(
        f"\n{default_model()} is used where no model is named. "
        "`orbmm models NAME` shows all that is known of one; published weights are downloaded when first used "
        "and compared with published values; unverified: none was published, and the weights passed all other checks."
    )


def _list_records(theory: str, records: list[CheckpointRecord], width: int) -> Table:
    """Return a table of the models of one level of theory; equal widths align the tables. width: of the longest name"""
    from rich.table import Table

    table = Table(title=f"\n{theory}", title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("name", width=width, no_wrap=True)
    table.add_column("near", width=4, justify="right")
    table.add_column("weights", width=11)
    table.add_column("for")
    for record in records:
        table.add_row(record.name, str(record.max_neighbors), _describe_weights(record), record.purpose)
    return table


def _show_details(record: CheckpointRecord) -> Table:
    """Return a table of the details of one model."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for fact, value in _collect_facts(record):
        table.add_row(fact, value)
    return table


def _collect_facts(record: CheckpointRecord) -> Iterator[tuple[str, str]]:
    """Yield the details of a model, the most often needed first."""
    from orbmm.checkpoints.catalog import describe_elements

    yield "name", record.name
    if record.aliases:
        yield "also called", ", ".join(record.aliases)
    yield "for", record.purpose
    yield "note", record.note
    yield "level of theory", record.level_of_theory
    yield "dispersion", record.dispersion
    yield "elements", describe_elements(record.elements)
    yield "charge", "total charge and spin multiplicity must be given" if record.takes_charge else "takes none"
    yield "kind", _explain_kind(record)
    yield "neighbours", f"at most {record.max_neighbors} nearest within {record.architecture.cutoff_angstrom:g} Å"
    yield "network", _describe_network(record.architecture)
    yield "friction", f"{record.friction_per_ps:g}/ps: {record.friction_reason}"
    yield "oddities", "\n".join(f"{name} = {value}" for name, value in asdict(record.oddities).items())
    yield from _collect_weights_facts(record)


def _explain_kind(record: CheckpointRecord) -> str:
    if record.kind == "conservative":
        return "conservative: forces and stress are derivatives of the energy"
    stress = "" if record.architecture.has_stress_head else "; it predicts no stress"
    return f"direct: forces come from a head of their own, faster and not the gradient of an energy{stress}"


def _describe_network(architecture: Architecture) -> str:
    size = f"{architecture.layers} layers, latent {architecture.latent_dim}, hidden {architecture.mlp_hidden_dim}"
    return f"{size}, {architecture.radial_functions} Bessel functions, harmonics to degree {architecture.max_degree}"


def _collect_weights_facts(record: CheckpointRecord) -> Iterator[tuple[str, str]]:
    from orbmm.checkpoints.proof import find_proof, find_verdict
    from orbmm.checkpoints.store import published_path, state_of_weights
    from orbmm.download.checksum import read_checksum

    yield "weights", state_of_weights(record)
    sha256 = record.sha256
    if record.url is not None:
        path = published_path(record)
        sha256 = sha256 or read_checksum(path)
        yield "address", record.url
        yield "file", str(path)
    yield "sha256", sha256 or "noted when the weights are first seen"
    yield "proof", find_verdict(record)
    proof = find_proof(record, sha256) if record.url is not None and sha256 is not None else None
    for check in proof.checks if proof is not None else ():
        yield "", _describe_check(check)


def _describe_check(check: Check) -> str:
    passed = "not compared" if check.passed is None else "passed"
    numbers = "" if check.difference is None else f", off by {check.difference:.1e}, allowed {check.allowed:.1e}"
    return f"{check.what}: {passed}{numbers}" + (f"; {check.remark}" if check.remark else "")


def _describe_weights(record: CheckpointRecord) -> str:
    """Return in one word where the weights are or, where that was tried, whether they reproduce published values."""
    from orbmm.checkpoints.proof import UNVERIFIED, VERIFIED, find_verdict
    from orbmm.checkpoints.store import state_of_weights

    state = state_of_weights(record)
    words = {VERIFIED: "verified", UNVERIFIED: "unverified"}
    return words.get(find_verdict(record), state) if state == "cached" else state
