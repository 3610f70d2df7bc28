"""MLPotential with our names: createSystem, createMixedSystem, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit
from openmmml import MLPotential

from orbmm.checkpoints.catalog import find_record, list_models
from orbmm.errors import DeviceError, ForceError, ModelError, OrbmmError, SettingsError, StructureError
from orbmm.forces.attach import create_system
from orbmm.forces.versions import is_at_least, read_versions
from orbmm.settings.model import ModelSettings

CONSERVATIVE = "orb-mini-conservative-inf-xtb"
OWNED_BY_OPENMMML = {"orb-v3-conservative-inf-omat", "orb-v3-conservative-omol"}
ENERGY_TOLERANCE = 1e-5  # kJ/mol: sums of force fields in float64
FORCE_TOLERANCE = 1e-4  # kJ/mol/nm


@pytest.fixture
def potential(random_weights) -> MLPotential:
    return MLPotential(CONSERVATIVE, weights=random_weights(CONSERVATIVE))


def make_mm_system(topology: app.Topology) -> openmm.System:
    """Flexible TIP3P without a cutoff."""
    return app.ForceField("amber14/tip3p.xml").createSystem(topology, rigidWater=False)


# --- names -----------------------------------------------------------------------------------------------------------


def test_every_model_has_an_entry_point_and_nobody_else_loses_one():
    ours = {point.name for point in entry_points(group="openmmml.potentials") if point.value.startswith("orbmm.")}
    named = {name for record in list_models() for name in (record.name, *record.aliases)}
    assert ours == (named - OWNED_BY_OPENMMML) | {f"orbmm-{name}" for name in OWNED_BY_OPENMMML} | {"orbmm"}


def test_every_entry_point_finds_its_record():
    for point in entry_points(group="openmmml.potentials"):
        if point.value.startswith("orbmm.") and point.name != "orbmm":  # that one needs a file
            impl = point.load()().createImpl(point.name)
            assert impl.name == find_record(point.name).name


def test_openmmml_is_imported_without_torch():
    code = "import sys, openmmml; print(sorted({'torch', 'openmmtorch', 'orbmm.forces.attach'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_our_plugin_is_registered_and_could_be_seen_importing_torch():
    """The twin of the test above: the same look at sys.modules does find torch once a System was made."""
    assert CONSERVATIVE in MLPotential._implFactories
    assert {"torch", "orbmm.forces.attach"} <= set(sys.modules)


# --- whole systems ---------------------------------------------------------------------------------------------------


def test_create_system_gives_what_our_own_function_gives(kind, potential, random_weights, make_water, compute):
    water = make_water("dodecahedron")
    model = ModelSettings(CONSERVATIVE, random_weights(CONSERVATIVE), "float64", "cpu", kind)
    system = potential.createSystem(water.topology, precision="float64", device="cpu", force=kind)
    energy, forces = compute(system, water.positions)
    expected_energy, expected_forces = compute(create_system(water.topology, model), water.positions)
    assert energy == pytest.approx(expected_energy, rel=1e-12)
    assert np.abs(forces - expected_forces).max() < 1e-8


def test_one_line_says_which_kind_was_taken_and_why(kind, potential, make_water, caplog):
    with caplog.at_level("INFO", logger="orbmm"):
        potential.createSystem(make_water("cube").topology, force=kind)
    lines = [record.getMessage() for record in caplog.records if kind in record.getMessage()]
    assert len(lines) == 1 and lines[0].startswith(f"{CONSERVATIVE} acts through {kind}")


def test_options_may_be_given_as_numpy_and_torch_give_them(potential, make_water):
    topology = make_water("open").topology
    assert potential.createSystem(topology, device=torch.device("cpu"), charge=None, multiplicity=None)
    with pytest.raises(ModelError, match="takes no charge"):
        potential.createSystem(topology, charge=np.int64(0))


# --- mixed systems ---------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed_case(kind, potential, random_weights, make_water, compute):
    """Eight waters, the second and the fifth by the network, and what the whole should give by adding up its parts."""
    water, atoms = make_water("open"), [3, 4, 5, 12, 13, 14]
    mm_system = make_mm_system(water.topology)
    options = {"precision": "float64", "device": "cpu", "force": kind}
    pair = make_water("open", molecules=2)
    model = ModelSettings(CONSERVATIVE, random_weights(CONSERVATIVE), **options)
    mm_energy, mm_forces = compute(mm_system, water.positions)
    ml_energy, ml_forces = compute(create_system(pair.topology, model), water.positions[atoms])
    inner_energy, inner_forces = compute(make_mm_system(pair.topology), water.positions[atoms])
    forces = mm_forces.copy()
    forces[atoms] += ml_forces - inner_forces
    return water, atoms, mm_system, options, (mm_energy, mm_forces), (mm_energy + ml_energy - inner_energy, forces)


def test_a_mixed_system_adds_up_from_its_parts(mixed_case, potential, compute):
    water, atoms, mm_system, options, _, (expected_energy, expected_forces) = mixed_case
    mixed = potential.createMixedSystem(water.topology, mm_system, atoms, **options)
    energy, forces = compute(mixed, water.positions)
    assert energy == pytest.approx(expected_energy, rel=0, abs=ENERGY_TOLERANCE)
    assert np.abs(forces - expected_forces).max() < FORCE_TOLERANCE


def test_an_interpolated_system_goes_from_force_field_to_network(mixed_case, potential, compute):
    water, atoms, mm_system, options, (mm_energy, mm_forces), (ml_energy, ml_forces) = mixed_case
    mixed = potential.createMixedSystem(water.topology, mm_system, atoms, interpolate=True, **options)
    for scale in (0.0, 0.25, 1.0):
        energy, forces = compute(mixed, water.positions, lambda_interpolate=scale)
        assert energy == pytest.approx(scale * ml_energy + (1 - scale) * mm_energy, rel=0, abs=ENERGY_TOLERANCE)
        assert np.abs(forces - scale * ml_forces - (1 - scale) * mm_forces).max() < FORCE_TOLERANCE
    assert abs(ml_energy - mm_energy) > 1  # kJ/mol: the two ends differ


def test_a_periodic_mixed_system_is_periodic_for_the_network_too(kind, potential, make_water, compute):
    water, atoms = make_water("cube"), [3, 4, 5, 12, 13, 14]
    force_field = app.ForceField("amber14/tip3p.xml")
    mm_system = force_field.createSystem(
        water.topology, nonbondedMethod=app.CutoffPeriodic, nonbondedCutoff=0.3 * unit.nanometer, rigidWater=False
    )
    mixed = potential.createMixedSystem(water.topology, mm_system, atoms, precision="float64", force=kind)
    energy, forces = compute(mixed, water.positions)
    moved = water.positions.copy()
    moved[12:15] += water.box[0] - 2 * water.box[2]
    moved_energy, moved_forces = compute(mixed, moved)
    assert moved_energy == pytest.approx(energy, rel=0, abs=1e-3)  # the force field's cutoff is in float32 nowhere near
    assert np.abs(moved_forces - forces).max() < 1e-2


@pytest.mark.skipif(not is_at_least(read_versions().openmmml, 1, 8), reason="openmm-ml caps cut bonds from 1.8 on")
def test_a_cut_bond_is_capped_with_a_hydrogen_that_the_network_sees(potential, compute):
    topology = app.Topology()
    residue = topology.addResidue("ETH", topology.addChain())
    names = ("C1", "H1", "H2", "H3", "C2", "H4", "H5", "H6")
    atoms = [topology.addAtom(name, app.Element.getBySymbol(name[0]), residue) for name in names]
    system = openmm.System()
    for atom in atoms:
        system.addParticle(atom.element.mass)
    for first, second in [(0, 1), (0, 2), (0, 3), (4, 5), (4, 6), (4, 7), (0, 4)]:
        topology.addBond(atoms[first], atoms[second])
    positions = np.array([
        [0, 0, 0], [-0.036, 0.103, 0], [-0.036, -0.051, 0.089], [-0.036, -0.051, -0.089],
        [0.153, 0, 0], [0.189, -0.103, 0], [0.189, 0.051, 0.089], [0.189, 0.051, -0.089],
    ])  # fmt: skip
    far, near = (
        potential.createMixedSystem(
            topology, system, [0, 1, 2, 3], precision="float64", force="auto",
            linkAtomDistances=[(0, 4, distance * unit.nanometer)], returnInfo=True,
        )["system"]
        for distance in (0.109, 0.100)
    )  # fmt: skip
    assert far.getNumParticles() == 9 and far.isVirtualSite(8)
    with_site = np.concatenate([positions, [[0.109, 0, 0]]])
    energy, forces = compute(far, with_site)
    assert abs(forces[4]).max() > 0  # the cap passes its force on to the atom it stands for
    with_site[8, 0] = 0.100
    assert abs(compute(near, with_site)[0] - energy) > ENERGY_TOLERANCE


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"presicion": "float64"}, ModelError, "does not take 'presicion': did you mean 'precision'"),
        ({"removeCMmotion": False}, ModelError, "does not take 'removeCMmotion': did you mean 'removeCMMotion'"),
        ({"weights": "x.ckpt"}, ModelError, "belongs to MLPotential"),
        ({"precision": "float8"}, SettingsError, "precision is 'float8'"),
        ({"force": "Torchforce"}, OrbmmError, "did you mean 'TorchForce'"),
        ({"force": "PythonTorchForce"}, ForceError, "no release of openmmtorch has PythonTorchForce yet"),
        ({"charge": 1.5}, SettingsError, "charge is 1.5"),
        ({"charge": 0, "multiplicity": 1}, ModelError, "takes no charge and no multiplicity"),
        ({"device": f"cuda:{torch.cuda.device_count()}"}, DeviceError, "was requested"),
        ({"device": "gpu"}, DeviceError, "unknown device 'gpu'"),
    ],
)
def test_a_wrong_option_of_create_system_is_named(options, error, words, potential, make_water):
    with pytest.raises(error, match=words):
        potential.createSystem(make_water("open").topology, **options)


def test_a_wrong_keyword_of_the_potential_is_named():
    with pytest.raises(ModelError, match="does not take 'weight', only 'weights'"):
        MLPotential(CONSERVATIVE, weight="x.ckpt")
    with pytest.raises(ModelError, match="'device', which belongs to createSystem"):
        MLPotential(CONSERVATIVE, device="cpu")


def test_omol_without_a_charge_is_refused_before_anything_is_downloaded(make_water):
    with pytest.raises(ModelError, match="orb-v3-direct-omol needs charge and multiplicity"):
        MLPotential("orb-v3-direct-omol").createSystem(make_water("open").topology)
    with pytest.raises(ModelError, match="orb-v3-conservative-omol needs multiplicity"):
        MLPotential("orbmm-orb-v3-conservative-omol").createSystem(make_water("open").topology, charge=0)


def test_an_element_that_the_model_does_not_know_is_named(potential):
    topology = app.Topology()
    topology.addAtom("ZN", app.Element.getBySymbol("Zn"), topology.addResidue("ZN", topology.addChain()))
    with pytest.raises(StructureError, match="not trained on Zn"):
        potential.createSystem(topology)


def test_an_atom_without_an_element_is_named(potential, make_water):
    topology = app.Topology()
    topology.addAtom("EP", None, topology.addResidue("HOH", topology.addChain()))
    with pytest.raises(StructureError, match=r"atom 0 \(EP\) has no element"):
        potential.createSystem(topology)


@pytest.mark.parametrize(
    ("atoms", "words"),
    [([], "no atoms"), ([3, 4, 3], "twice"), ([3, 24], "atom 24 does not exist"), ([-1], "atom -1 does not exist")],
)
def test_an_impossible_subset_is_named(atoms, words, potential, make_water):
    impl, topology = potential._impl, make_water("open").topology
    with pytest.raises(StructureError, match=words):
        impl.addForces(topology, openmm.System(), atoms, 0)


def test_the_network_is_local():
    assert MLPotential(CONSERVATIVE)._impl.getMLLongRange() is False
