"""Check the published weights: download, audit, compare with orb-models and with published reference energies.

    python scripts/checks/check_official_weights.py --toluene toluene.pdb --alanine-box alanine-dipeptide-explicit.pdb
    python scripts/checks/check_official_weights.py --without-references            # all models; 1 GB of downloads
    python scripts/checks/check_official_weights.py orb-v3-direct-inf-omat --json report.json
    python scripts/checks/check_official_weights.py --state-dict-from-orb-models    # random weights; no download

The two PDB files are in openmm-ml, test/data/toluene and test/data/alanine-dipeptide; the energies expected for them
are those of openmm-ml's own tests. orb-models is compared with where it can be imported (pip install orb-models).
Ends with 0 when every check passed, else with 1; a reference energy that was not compared, for its structure was not
given, has not passed, unless --without-references is given.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import openmm.app
import torch
from openmm import unit
from rich.console import Console
from rich.table import Table

import orbmm
from orbmm.checkpoints.catalog import CheckpointRecord, find_record, list_models
from orbmm.checkpoints.state_dict import audit_state_dict, read_state_dict
from orbmm.checkpoints.store import locate_weights
from orbmm.model.load import make_network
from orbmm.settings.paths import CACHE_VARIABLE
from orbmm.units import KJ_PER_MOL_PER_EV

# Both sides compute in float64; what differs is the order of sums.
ORACLE_TOLERANCES = {"energy, eV/atom": 1e-9, "forces, relative": 1e-8, "stress, relative": 1e-8, "confidence": 1e-9}


@dataclass(frozen=True)
class Structure:
    """positions: (N, 3) [Å]; cell: (3, 3) [Å], rows are lattice vectors, or None."""

    name: str
    atomic_numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray | None = None


@dataclass(frozen=True)
class Reference:
    """A total energy [kJ/mol] computed in float32 by others, and how far [eV/atom] its rounding may have moved it."""

    model: str
    structure: str
    charge: int | None
    multiplicity: int | None
    energy: float
    tolerance: float


# The network's own rounding in float32 stays below 0.1 meV/atom. An omol total of toluene is spaced by 0.03 meV/atom in
# float32, and for the box its authors summed 2,269 atomic references of hundreds of eV in it.
REFERENCES = (
    Reference("orb-v3-conservative-inf-omat", "toluene", None, None, -8909.64071834225, 1e-4),
    Reference("orb-v3-conservative-omol", "toluene", 0, 1, -712903.547903221, 2e-4),
    Reference("orb-v3-conservative-omol", "toluene", -1, 3, -712892.4765882556, 2e-4),
    Reference("orb-v3-conservative-omol", "alanine box", 0, 1, -151632910.67503712, 2e-3),
)
# These energies are of the coordinates in these files; any others of the same molecules have other energies.
STRUCTURE_OPTIONS = {
    "toluene": "--toluene, openmm-ml's test/data/toluene/toluene.pdb",
    "alanine box": "--alanine-box, openmm-ml's test/data/alanine-dipeptide/alanine-dipeptide-explicit.pdb",
}


@dataclass(frozen=True)
class Check:
    """One line of the table; passed is None for a check that was left out, the others where it has no numbers."""

    model: str
    what: str
    passed: bool | None
    difference: float | None = None
    allowed: float | None = None
    remark: str = ""


def make_methanol() -> Structure:
    """One methanol molecule, bent a little out of its symmetry."""
    numbers = np.array([6, 8, 1, 1, 1, 1])
    positions = np.array(
        [
            [-0.047, 0.664, 0.000],
            [-0.047, -0.758, 0.010],
            [-1.093, 0.969, -0.020],
            [0.878, -1.046, 0.000],
            [0.437, 1.071, 0.889],
            [0.437, 1.081, -0.893],
        ]
    )
    return Structure("methanol", numbers, positions)


def make_magnesia() -> Structure:
    """Eight atoms of rock salt in a slightly sheared cell, displaced so that no two neighbours are equally far."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    numbers = np.where(corners.sum(axis=1) % 2 == 0, 12, 8)
    cell = 4.2 * np.eye(3) + np.array([[0, 0, 0], [0.3, 0, 0], [0.1, -0.2, 0]])
    displacements = np.random.default_rng(1).normal(scale=0.1, size=(8, 3))
    return Structure("magnesia", numbers, corners / 2 @ cell + displacements, cell)


def read_pdb(name: str, path: Path) -> Structure:
    """A structure from a PDB file, periodic where the file has a cell."""
    pdb = openmm.app.PDBFile(str(path))
    numbers = np.array([atom.element.atomic_number for atom in pdb.topology.atoms()])
    positions = np.array(pdb.getPositions(asNumpy=True).value_in_unit(unit.angstrom))
    vectors = pdb.topology.getPeriodicBoxVectors()
    return Structure(name, numbers, positions, vectors and np.array(vectors.value_in_unit(unit.angstrom)))


class OfficialModel:
    """A model of orb-models 0.5 to 0.7 in float64 on the CPU."""

    def __init__(self, record: CheckpointRecord, weights: Path) -> None:
        from orb_models.forcefield import pretrained

        with official_precision():
            loaded = pretrained.ORB_PRETRAINED_MODELS[record.name](
                weights_path=str(weights), device="cpu", precision="float64", compile=False
            )
        # From 0.6 on the loaders return the model and what makes its graphs; before, the model knows how.
        self.model, self.adapter = loaded if isinstance(loaded, tuple) else (loaded, None)
        if record.kind == "direct":
            # A constant force on every atom is subtracted by newer releases and left in by 0.5: leave it out in all.
            self.model.heads["forces"].normalizer.bn.running_mean.zero_()

    def predict(self, structure: Structure, charge: int | None, multiplicity: int | None) -> dict[str, np.ndarray]:
        """energy [eV], forces (N, 3) [eV/Å], confidence (N, 50) and, where it has one, stress (6,) [eV/Å^3]."""
        import ase

        atoms = ase.Atoms(structure.atomic_numbers, structure.positions)
        if structure.cell is not None:
            atoms.set_cell(structure.cell)
            atoms.set_pbc(True)
        if charge is not None:
            atoms.info.update(charge=charge, spin=multiplicity)
        with official_precision():
            result = self.model.predict(self._make_graph(atoms))
        plain = {name.removeprefix("grad_"): value.detach().numpy() for name, value in result.items()}
        if structure.cell is None:
            plain.pop("stress", None)
        return plain

    def _make_graph(self, atoms: object) -> object:
        # The half supercell, automatic for large systems, loses edges in 0.5.
        if self.adapter is not None:
            return self.adapter.from_ase_atoms(atoms, half_supercell=False, device="cpu")
        from orb_models.forcefield.atomic_system import ase_atoms_to_atom_graphs

        return ase_atoms_to_atom_graphs(atoms, self.model.system_config, half_supercell=False, device="cpu")


@contextmanager
def official_precision() -> Iterator[None]:
    """Float64 as the default type, which orb-models takes its constants in; its settings do not outlive the block."""
    dtype, matmul = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    torch.set_default_dtype(torch.float64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_float32_matmul_precision(matmul)


def write_random_weights(record: CheckpointRecord, path: Path) -> Path:
    """What an official file of that model holds, at random: a state dict with statistics off their defaults."""
    from orb_models.forcefield import pretrained

    build = getattr(pretrained, f"orb_v3_{record.kind}_architecture")
    has_stress = record.architecture.has_stress_head or record.kind == "conservative"
    tensors = build(has_charge_spin_cond=record.takes_charge, has_stress=has_stress, device="cpu").state_dict()
    random = torch.Generator().manual_seed(1)
    for name, tensor in tensors.items():
        if name.endswith("running_mean"):
            tensor.normal_(generator=random).mul_(0.1)
        elif name.endswith(("running_var", "layer_norm.weight")):
            tensor.uniform_(0.5, 1.5, generator=random)
        elif name.endswith("reference.linear.weight"):
            tensor.uniform_(-9, 0, generator=random)
    torch.save(tensors, path)
    return path


def check_model(record: CheckpointRecord, weights: Path | None, extra: dict[str, Structure]) -> Iterator[Check]:
    """All checks of one model; weights: a file instead of the published one; extra: structures with references."""
    file = locate_weights(record, weights)
    shapes = {name: tuple(tensor.shape) for name, tensor in make_network(record).state_dict().items()}
    audit = audit_state_dict(read_state_dict(file.path), shapes)
    heads = f", extra heads {', '.join(audit.extra_heads)}" if audit.extra_heads else ""
    remark = f"{len(audit.used)} tensors used, {len(audit.unused)} known as unused{heads}; sha256 {file.sha256}"
    yield Check(record.name, "audit", True, remark=remark)
    if find_spec("orb_models"):
        yield from compare_with_official(record, file.path)
    if weights is None:
        yield from compare_with_references(record, extra)


def compare_with_official(record: CheckpointRecord, weights: Path) -> Iterator[Check]:
    """Largest differences from orb-models on a molecule and on a crystal."""
    ours = orbmm.load_model(record.name, weights, device="cpu", precision="float64")
    theirs = OfficialModel(record, weights)
    charge, multiplicity = (1, 2) if record.takes_charge else (None, None)
    for structure in (make_methanol(), make_magnesia()):
        got = ours.predict(structure.atomic_numbers, structure.positions, structure.cell, charge, multiplicity)
        expected = theirs.predict(structure, charge, multiplicity)
        differences = {
            "energy, eV/atom": abs(got.energy - expected["energy"].item()) / len(structure.atomic_numbers),
            "forces, relative": relative_difference(got.forces, expected["forces"]),
            "confidence": float(np.abs(got.confidence - expected["confidence"]).max()),
        }
        if "stress" in expected:
            differences["stress, relative"] = relative_difference(got.stress, expected["stress"].reshape(6))
        for what, difference in differences.items():
            allowed = ORACLE_TOLERANCES[what]
            yield Check(
                record.name, f"orb-models: {structure.name}, {what}", difference <= allowed, difference, allowed
            )


def relative_difference(got: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference over the largest expected value."""
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def compare_with_references(record: CheckpointRecord, structures: dict[str, Structure]) -> Iterator[Check]:
    """Differences from published energies; a row without numbers for a structure that was not given."""
    for reference in REFERENCES:
        if reference.model != record.name:
            continue
        state = "" if reference.charge is None else f"charge {reference.charge}, multiplicity {reference.multiplicity}"
        if reference.structure not in structures:
            what = f"not compared: reference energy of {reference.structure}"
            missing = f"needs {STRUCTURE_OPTIONS[reference.structure]}"
            yield Check(record.name, what, None, remark=f"{state}; {missing}" if state else missing)
            continue
        structure = structures[reference.structure]
        model = orbmm.load_model(record.name, precision="float32-highest")
        prediction = model.predict(
            structure.atomic_numbers, structure.positions, structure.cell, reference.charge, reference.multiplicity
        )
        expected = reference.energy / KJ_PER_MOL_PER_EV
        difference = abs(prediction.energy - expected) / len(structure.atomic_numbers)
        what = f"reference: {reference.structure}, energy, eV/atom"
        yield Check(record.name, what, difference <= reference.tolerance, difference, reference.tolerance, state)


def check_all(arguments: argparse.Namespace) -> list[Check]:
    """The checks of all asked-for models; an error of one model is a failed check, and the next model follows."""
    records = [find_record(name) for name in arguments.models] or [record for record in list_models() if record.url]
    given = {"toluene": arguments.toluene, "alanine box": arguments.alanine_box}
    structures = {name: read_pdb(name, path) for name, path in given.items() if path is not None}
    checks: list[Check] = []
    for record in records:
        with tempfile.TemporaryDirectory() as folder:
            weights = None
            if arguments.state_dict_from_orb_models:
                os.environ[CACHE_VARIABLE] = folder  # random weights are not worth a place in the user's cache
                weights = write_random_weights(record, Path(folder, "random.ckpt"))
            try:
                checks.extend(check_model(record, weights, structures))
            except orbmm.OrbmmError as error:
                checks.append(Check(record.name, "load", False, remark=str(error)))
    return checks


VERDICTS = {True: "passed", False: "[red]FAILED", None: "[yellow]not compared"}


def show(checks: list[Check]) -> Table:
    """The checks as a table."""
    table = Table("model", "check", "difference", "allowed", "verdict")
    table.add_column("remark", overflow="fold")
    for check in checks:
        numbers = ["" if number is None else f"{number:.1e}" for number in (check.difference, check.allowed)]
        table.add_row(check.model, check.what, *numbers, VERDICTS[check.passed], check.remark)
    return table


def is_enough(check: Check, without_references: bool) -> bool:
    """Whether a check allows the exit code 0; one that was left out does so only where that is wanted."""
    return without_references if check.passed is None else check.passed


def read_versions() -> dict[str, str | None]:
    """Versions of what took part; None for what is not installed."""
    versions: dict[str, str | None] = {}
    for package in ("orbmm", "orb-models", "torch", "openmm"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return versions


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="names of the catalogue; all published ones by default")
    parser.add_argument("--toluene", type=Path, help="openmm-ml's test/data/toluene/toluene.pdb")
    parser.add_argument("--alanine-box", type=Path, help="openmm-ml's alanine-dipeptide-explicit.pdb (slow on a CPU)")
    parser.add_argument("--without-references", action="store_true", help="reference energies may be left out")
    parser.add_argument("--json", type=Path, help="also write the checks to this file")
    parser.add_argument("--state-dict-from-orb-models", action="store_true", help="random weights instead of published")
    arguments = parser.parse_args()
    checks = check_all(arguments)
    Console().print(show(checks))
    if not find_spec("orb_models"):
        Console().print("orb-models is not installed, so nothing was compared with it")
    if arguments.json:
        report = {"versions": read_versions(), "checks": [asdict(check) for check in checks]}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if all(is_enough(check, arguments.without_references) for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
