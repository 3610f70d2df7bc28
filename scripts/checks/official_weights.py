"""Check the published weights of the whole catalogue: the proof that a first load makes, and more where it can be had.

    python scripts/checks/official_weights.py                              # all models; 1 GB of downloads
    python scripts/checks/official_weights.py --folder weights             # files at hand, under their published names
    python scripts/checks/official_weights.py --structures pdb --json report.json
    python scripts/checks/official_weights.py orb-v3-direct-20-omat --random    # random weights of orb-models' making

--structures is a folder of the files that some published energies belong to: toluene.pdb and
alanine-dipeptide-explicit.pdb of openmm-ml's test/data (the latter has 2,269 atoms and takes minutes). orb-models,
where it can be imported, is compared with too (pip install orb-models). Random weights reproduce nothing that was
published: for them only that comparison is made. Ends with 0 when no check failed, else with 1; --strict counts a
published value that was not compared as a failure.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
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
from orbmm.checkpoints.download import check_weights
from orbmm.checkpoints.proof import Check, WeightsProof
from orbmm.checkpoints.published import TestStructure, hash_published_values, list_published_values
from orbmm.checkpoints.state_dict import read_state_dict
from orbmm.checkpoints.store import WeightsFile, locate_weights, published_path
from orbmm.errors import CheckpointError, StructureError
from orbmm.files import hash_file
from orbmm.model.load import assemble_network
from orbmm.model.potential import Potential
from orbmm.model.prove import make_exact_potential, prove_weights

# Both sides compute in float64; what differs is the order of sums.
ORACLE_TOLERANCES = {"energy, eV/atom": 1e-9, "forces, relative": 1e-8, "stress, relative": 1e-8, "confidence": 1e-9}

Structures = Mapping[str, TestStructure]


@dataclass(frozen=True)
class Structure:
    """positions: (N, 3) [Å]; cell: (3, 3) [Å], rows are lattice vectors, or None."""

    name: str
    atomic_numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray | None = None


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


def read_structures(folder: Path | None) -> dict[str, TestStructure]:
    """Return the structures of published values whose files are in the folder.

    Raises StructureError for a file with another number of atoms.
    """
    values = [value for record in list_models() for value in list_published_values(record)]
    known = {value.system.structure.name: value.system.structure for value in values if value.system.structure.file}
    if folder is None:
        return {}
    found = {name: folder / str(structure.file) for name, structure in known.items()}
    return {name: read_pdb(path, known[name]) for name, path in found.items() if path.is_file()}


def read_pdb(path: Path, structure: TestStructure) -> TestStructure:
    """Return the structure with the coordinates in a PDB file, periodic where the file has a cell."""
    pdb = openmm.app.PDBFile(str(path))
    numbers = tuple(atom.element.atomic_number for atom in pdb.topology.atoms())
    if len(numbers) != structure.atoms:
        raise StructureError(f"{path} has {len(numbers)} atoms, but {structure.name} has {structure.atoms}")
    positions = pdb.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
    vectors = pdb.topology.getPeriodicBoxVectors()
    cell = None if vectors is None else freeze(vectors.value_in_unit(unit.angstrom))
    return TestStructure(structure.name, len(numbers), numbers, freeze(positions), cell)


def freeze(rows: object) -> tuple[tuple[float, ...], ...]:
    """Return an array of two dimensions as tuples."""
    return tuple(tuple(row) for row in np.array(rows, dtype=float).tolist())


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


def check_model(record: CheckpointRecord, file: WeightsFile, structures: Structures, proves: bool) -> WeightsProof:
    """Return all checks of one model. proves: also compare with published values, which random weights fail"""
    check_weights(record, file.path, str(file.path))
    network = assemble_network(record, read_state_dict(file.path))
    checks: list[Check] = []
    seconds = 0.0
    if proves:
        proof = prove_weights(record, network, file.sha256, structures)
        checks, seconds = list(proof.checks), proof.seconds
    if find_spec("orb_models"):
        checks.extend(compare_with_official(make_exact_potential(record, network, file.sha256), file.path))
    return WeightsProof(record.name, file.sha256, hash_published_values(), seconds, tuple(checks))


def compare_with_official(ours: Potential, weights: Path) -> Iterator[Check]:
    """Yield the largest differences from orb-models on a molecule and on a crystal."""
    try:
        theirs = OfficialModel(ours.record, weights)
    except (RuntimeError, KeyError) as error:  # tensors that it needs to load and not to predict
        yield Check("orb-models: loads the file", False, remark=str(error).partition("\n")[0])
        return
    states = [(1, 2), (1, 0)] if ours.record.takes_charge else [(None, None)]  # 0: an unknown multiplicity
    for structure, (charge, multiplicity) in ((make_methanol(), states[0]), (make_magnesia(), states[-1])):
        got = ours.predict(structure.atomic_numbers, structure.positions, structure.cell, charge, multiplicity)
        expected = theirs.predict(structure, charge, multiplicity)
        differences = {
            "energy, eV/atom": abs(got.energy - expected["energy"].item()) / len(structure.atomic_numbers),
            "forces, relative": relative_difference(got.forces, expected["forces"]),
        }
        if got.confidence is not None:
            differences["confidence"] = float(np.abs(got.confidence - expected["confidence"]).max())
        if "stress" in expected and got.stress is not None:
            differences["stress, relative"] = relative_difference(got.stress, expected["stress"].reshape(6))
        for what, difference in differences.items():
            allowed = ORACLE_TOLERANCES[what]
            yield Check(f"orb-models, {structure.name}: {what}", difference <= allowed, difference, allowed)


def relative_difference(got: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference over the largest expected value."""
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def find_weights(record: CheckpointRecord, folder: Path | None) -> WeightsFile:
    """Return the weights of a model: from the folder, or from the cache, into which they are downloaded.

    Raises CheckpointError if they are in neither.
    """
    if folder is None:
        return locate_weights(record)
    path = folder / published_path(record).name
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist: put the file of {record.name} there, or name other models")
    return WeightsFile(path, hash_file(path))


def check_all(arguments: argparse.Namespace) -> list[WeightsProof]:
    """Return the checks of all models; an error of one is a failed check, and the next model follows."""
    records = [find_record(name) for name in arguments.models] or [record for record in list_models() if record.url]
    structures = read_structures(arguments.structures)
    proofs = []
    for record in records:
        with tempfile.TemporaryDirectory() as temporary:
            folder = arguments.folder
            try:
                if arguments.random:
                    folder = Path(temporary)
                    write_random_weights(record, folder / published_path(record).name)
                proof = check_model(record, find_weights(record, folder), structures, not arguments.random)
            except orbmm.OrbmmError as error:
                proof = WeightsProof(
                    record.name, "", hash_published_values(), 0.0, (Check("load", False, remark=str(error)),)
                )
        proofs.append(proof)
    return proofs


VERDICTS = {True: "passed", False: "[red]FAILED", None: "[yellow]not compared"}


def show(proofs: list[WeightsProof]) -> Table:
    """Return the checks as a table."""
    table = Table("model", "check", "difference", "allowed", "verdict")
    table.add_column("remark", overflow="fold")
    for proof in proofs:
        for check in proof.checks:
            numbers = ["" if number is None else f"{number:.1e}" for number in (check.difference, check.allowed)]
            table.add_row(proof.model, check.what, *numbers, VERDICTS[check.passed], check.remark)
        table.add_section()
    return table


def has_passed(proofs: list[WeightsProof], strict: bool) -> bool:
    """Return False if a check failed, with `strict` also if one was left out."""
    wrong = (False, None) if strict else (False,)
    return not any(check.passed in wrong for proof in proofs for check in proof.checks)


def read_versions() -> dict[str, str | None]:
    """Return the versions of what took part; None for what is not installed."""
    versions: dict[str, str | None] = {}
    for package in ("orbmm", "orb-models", "torch", "openmm"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return versions


def main() -> int:
    """Check, show the table, write the JSON file; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="names of the catalogue; all published ones by default")
    parser.add_argument("--folder", type=Path, help="weights files under their published names; downloads nothing")
    parser.add_argument("--structures", type=Path, help="folder of the structure files of published energies")
    parser.add_argument("--strict", action="store_true", help="published values that are not compared are failures")
    parser.add_argument("--json", type=Path, help="also write the checks to this file")
    parser.add_argument("--random", action="store_true", help="random weights that orb-models writes, not published")
    arguments = parser.parse_args()
    try:
        proofs = check_all(arguments)
    except orbmm.OrbmmError as error:
        print(error, file=sys.stderr)
        return 2
    console = Console()
    console.print(show(proofs))
    if not find_spec("orb_models"):
        console.print("orb-models is not installed, so nothing was compared with it")
    if arguments.json:
        models = [{"verdict": proof.verdict, **asdict(proof)} for proof in proofs]
        report = {"versions": read_versions(), "models": models}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if has_passed(proofs, arguments.strict) else 1


if __name__ == "__main__":
    sys.exit(main())
