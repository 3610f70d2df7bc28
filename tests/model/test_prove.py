"""Official weights prove themselves at their first load: here random ones, with values that orb-models gives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.orb_models_reference import VARIANTS, Variant, build_official_model, evaluate_official_model
from oracles.random_weights import randomize_state_dict
from oracles.structures import Structure

from orbmm.checkpoints import published
from orbmm.checkpoints.architecture import Architecture
from orbmm.checkpoints.catalog import CheckpointRecord, find_record, list_models
from orbmm.checkpoints.proof import (
    EMBEDDED,
    NOT_YET,
    OWN_WEIGHTS,
    UNVERIFIED,
    VERIFIED,
    find_proof,
    find_verdict,
)
from orbmm.checkpoints.published import find_structure, list_published_values
from orbmm.checkpoints.state_dict import read_state_dict
from orbmm.checkpoints.store import WeightsFile, locate_weights, published_path
from orbmm.errors import CheckpointError
from orbmm.files import hash_file
from orbmm.model.load import assemble_network, check_proof, load_model, make_network
from orbmm.model.network.orb import Orb
from orbmm.model.potential import Potential
from orbmm.model.prove import allow_energy, prove_weights

DIRECT, CONSERVATIVE, OMOL = "orb-v3-direct-inf-omat", "orb-v3-conservative-inf-omat", "orb-v3-conservative-omol"
WITHOUT_VALUES = "orb-v3-conservative-20-mpa"
# model, structure, charge, multiplicity. Displaced copper has forces; bonds of benzene are in the repulsion's range.
CASES = [
    (DIRECT, "displaced_copper", None, None),
    (CONSERVATIVE, "benzene", None, None),
    (OMOL, "benzene", 1, 0),
]
SMALL = Architecture(latent_dim=16, mlp_hidden_dim=32, head_hidden_dim=16, layers=2)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test alone."""
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Called with [[value]] tables as TOML: they are what was published, and any energy is plausible."""
    real = published._read_file().decode()
    structures = real[: real.index("[[value]]")]

    def replace_values(values: str = "", lowest: float = -1e6, highest: float = 1e6) -> None:
        plausible = "".join(
            f'[[plausible]]\ntakes_charge = {charge}\nstructure = "{structure}"\n'
            f'lowest_ev_per_atom = {lowest}\nhighest_ev_per_atom = {highest}\nsource = "this test"\n'
            for charge, structure in (("false", "displaced_copper"), ("true", "water"))
        )
        text = f"{structures}\n{values or 'value = []'}\n{plausible}"
        if not values:
            text = f"value = []\n{structures}\n{plausible}"
        monkeypatch.setattr(published, "_read_file", lambda: text.encode())
        published._read_table.cache_clear()

    yield replace_values
    monkeypatch.undo()
    published._read_table.cache_clear()


def put_into_cache(name: str, source: Path) -> WeightsFile:
    """Publish a weights file: it lies in the cache as if it had been downloaded."""
    path = published_path(find_record(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)
    return WeightsFile(path, hash_file(path))


def write_random(name: str, path: Path) -> Path:
    """Random weights of an official model, written without orb-models."""
    record = find_record(name)
    torch.save(randomize_state_dict(make_network(record).state_dict(), 3, record.takes_charge), path)
    return path


def ask_orb_models(
    variant: Variant, weights: Path, structure: str, charge: int | None, multiplicity: int | None
) -> str:
    """A [[value]] table: what orb-models itself computes in float32, as published values were."""
    known = find_structure(structure)
    cell = None if known.cell is None else np.array(known.cell)
    found = Structure(structure, np.array(known.atomic_numbers), np.array(known.positions), cell)
    model = build_official_model(variant, weights, torch.float32)
    expected = evaluate_official_model(model, found, charge, multiplicity)
    state = "" if charge is None else f"charge = {charge}\nmultiplicity = {multiplicity}\n"
    stress = "" if expected.stress is None else f"stress = {expected.stress.tolist()}\n"
    return (
        f'[[value]]\nmodel = "{variant.name}"\nstructure = "{structure}"\n{state}{stress}'
        f'energy_ev = {expected.energy!r}\nforces = {expected.forces.tolist()}\nsource = "orb-models"\n'
    )


def make_small(name: str) -> tuple[CheckpointRecord, Orb]:
    """A published model but for its size, and its network with random weights."""
    record = find_record(name)
    size = replace(SMALL, charge_and_spin=record.takes_charge, has_stress_head=record.architecture.has_stress_head)
    record = replace(record, architecture=size)
    tensors = randomize_state_dict(make_network(record).state_dict(), 3, record.takes_charge)
    return record, assemble_network(record, tensors)


def change_one_weight(source: Path, target: Path, name: str) -> Path:
    tensors = torch.load(source, weights_only=True)
    tensors[name].view(-1)[0] += 0.1
    torch.save(tensors, target)
    return target


@pytest.mark.parametrize(("name", "structure", "charge", "multiplicity"), CASES)
def test_weights_reproduce_what_orb_models_publishes_and_with_one_weight_changed_they_do_not(
    name, structure, charge, multiplicity, official_weights, publish, tmp_path
):
    variant = VARIANTS[name]
    weights = official_weights(variant)
    publish(ask_orb_models(variant, weights, structure, charge, multiplicity))
    file = put_into_cache(name, weights)
    assert find_verdict(find_record(name)) == NOT_YET
    model = load_model(name, device="cpu")
    assert find_verdict(find_record(name)) == VERIFIED and model.weights_sha256 == file.sha256
    compared = [check for check in find_proof(find_record(name), file.sha256).checks if check.published]
    assert [check.what.split(": ")[1].split(",")[0] for check in compared][:2] == ["energy", "forces"]

    changed = change_one_weight(weights, tmp_path / "changed.ckpt", "model.gnn_stacks.2._edge_mlp.mlp.NN-1.bias")
    bad = put_into_cache(name, changed)
    with pytest.raises(
        CheckpointError, match=rf"published weights of {name} \(published, {structure}.*off by"
    ) as error:
        check_proof(find_record(name), bad)
    assert "\n" not in str(error.value) and error.value.exit_code == 2
    assert find_proof(find_record(name), bad.sha256) is None


@pytest.mark.parametrize(("name", "charge", "multiplicity"), [(CONSERVATIVE, None, None), (OMOL, 1, 0)])
def test_a_repulsion_that_is_summed_where_it_must_be_averaged_is_caught(
    name, charge, multiplicity, official_weights, publish
):
    weights, record = official_weights(VARIANTS[name]), find_record(name)
    publish(ask_orb_models(VARIANTS[name], weights, "benzene", charge, multiplicity))
    wrong = replace(record, oddities=replace(record.oddities, zbl_aggregation="sum"))
    proofs = [
        prove_weights(each, assemble_network(each, read_state_dict(weights)), "0" * 64) for each in (record, wrong)
    ]
    assert [proof.verdict for proof in proofs] == [VERIFIED, UNVERIFIED]
    failed = [check.what for check in proofs[1].checks if check.passed is False]
    assert failed and all("published, benzene" in what for what in failed)


def test_another_charge_is_caught(official_weights, publish):
    weights, record = official_weights(VARIANTS[OMOL]), find_record(OMOL)
    value = ask_orb_models(VARIANTS[OMOL], weights, "benzene", 1, 0)
    network = assemble_network(record, read_state_dict(weights))
    for line, other in (("charge = 1", "charge = 0"), ("multiplicity = 0", "multiplicity = 1")):
        publish(value.replace(line, other))
        assert any(check.published and check.passed is False for check in prove_weights(record, network, "0").checks)


def test_weights_without_published_values_are_checked_once_and_marked(publish, tmp_path, monkeypatch, caplog):
    publish()
    file = put_into_cache(WITHOUT_VALUES, write_random(WITHOUT_VALUES, tmp_path / "any.ckpt"))
    with caplog.at_level("INFO", "orbmm"):
        load_model(WITHOUT_VALUES, device="cpu")
    assert "not verified against published values" in caplog.text and "forces as the gradient" in caplog.text
    proof = find_proof(find_record(WITHOUT_VALUES), file.sha256)
    assert [check.passed for check in proof.checks] == [True] * len(proof.checks)
    monkeypatch.setattr("orbmm.model.load.prove_weights", None)  # a second proof would call it
    load_model(WITHOUT_VALUES, device="cpu", precision="float64")
    assert find_verdict(find_record(WITHOUT_VALUES)) == UNVERIFIED


def test_implausible_energies_stop_the_load_with_one_sentence(publish, tmp_path):
    publish(lowest=1000.0, highest=1001.0)
    put_into_cache(WITHOUT_VALUES, write_random(WITHOUT_VALUES, tmp_path / "any.ckpt"))
    with pytest.raises(
        CheckpointError, match=r"plausible energy: -?\d+\.\d+ eV/atom, expected 1000\.0 to 1001\.0"
    ) as error:
        load_model(WITHOUT_VALUES, device="cpu")
    assert "delete it to download it again" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "change", "caught"),
    [
        (WITHOUT_VALUES, "scale", "forces as the gradient"),
        (WITHOUT_VALUES, "nan", "forces as the gradient"),
        ("orb-v3-direct-omol", "push", "net force"),
        ("orb-v3-direct-omol", "turn", "net torque"),
        ("orb-v3-direct-20-mpa", "push", "net force"),
    ],
)
def test_inconsistent_forces_are_caught(name, change, caught, publish, monkeypatch):
    publish()
    (record, network), predict = make_small(name), Potential.predict

    def predict_wrongly(self, numbers, positions, *rest):
        right = predict(self, numbers, positions, *rest)
        forces = right.forces.copy()
        if change == "scale":
            forces *= 1.001
        elif change == "nan":
            forces[0, 0] = np.nan
        elif change == "push":
            forces[0, 2] += 1e-6
        else:
            forces[[1, 2], 0] += [1e-6, -1e-6]
        return replace(right, forces=forces)

    assert [check for check in prove_weights(record, network, "0").checks if not check.passed] == []
    monkeypatch.setattr(Potential, "predict", predict_wrongly)
    failed = [check.what for check in prove_weights(record, network, "0").checks if check.passed is False]
    assert failed and all(caught in what for what in failed)


def test_a_value_for_a_file_is_left_out_without_it_and_does_not_verify(publish):
    value = f'[[value]]\nmodel = "{CONSERVATIVE}"\nstructure = "toluene"\nenergy_ev = 1.0\nsource = "this test"\n'
    publish(value)
    record, network = make_small(CONSERVATIVE)
    proof = prove_weights(record, network, "0")
    assert proof.verdict == UNVERIFIED and proof.checks[-1].passed is None
    assert "toluene.pdb of openmm-ml" in proof.checks[-1].remark
    given = {"toluene": replace(find_structure("benzene"), name="toluene")}
    assert prove_weights(record, network, "0", given).checks[-1].passed is False


def test_a_damaged_proof_or_one_with_other_values_is_made_again(publish, tmp_path, cache):
    publish()
    record = find_record("orb-v3-direct-20-mpa")
    file = put_into_cache(record.name, write_random(record.name, tmp_path / "any.ckpt"))
    kept = cache / "proofs" / f"{record.name}-{file.sha256}.json"
    for spoil in (None, "{", '{"checks": 3}', "other values", "failed"):
        if spoil == "other values":
            publish(highest=1e7)
        elif spoil == "failed":
            kept.write_text(kept.read_text().replace('"passed": true', '"passed": false'))
        elif spoil is not None:
            kept.write_text(spoil)
        assert find_proof(record, file.sha256) is None
        assert check_proof(record, file) == UNVERIFIED
        assert json.loads(kept.read_text())["sha256"] == file.sha256
        assert find_proof(record, file.sha256) is not None


def test_a_proof_that_cannot_be_kept_is_a_warning(publish, tmp_path, cache, caplog):
    publish()
    record = find_record("orb-v3-direct-20-mpa")
    file = put_into_cache(record.name, write_random(record.name, tmp_path / "any.ckpt"))
    (cache / "proofs").write_text("in the way")
    assert check_proof(record, file) == UNVERIFIED
    assert "checked at every load" in caplog.text


def test_own_weights_are_not_compared_unless_they_have_the_published_name(publish, tmp_path):
    publish(lowest=1000.0, highest=1001.0)  # random weights fail
    record = find_record(WITHOUT_VALUES)
    own = write_random(WITHOUT_VALUES, tmp_path / "mine.ckpt")
    file = locate_weights(record, own)
    assert check_proof(record, file) == OWN_WEIGHTS
    file.path.unlink()
    claimed = tmp_path / published_path(record).name
    own.rename(claimed)
    for path in (claimed, locate_weights(record, claimed).path):  # the copy in the cache, by which a System finds it
        with pytest.raises(CheckpointError, match="plausible energy"):
            load_model(WITHOUT_VALUES, weights=path, device="cpu")


def test_embedded_weights_are_known_by_their_hash():
    record = find_record("orb-mini-direct-inf-xtb")
    assert check_proof(record, locate_weights(record)) == find_verdict(record) == EMBEDDED
    assert check_proof(record, WeightsFile(Path("other"), "0" * 64)) == OWN_WEIGHTS


def test_the_published_values_belong_to_models_and_structures_that_exist():
    table, names = published._read_table(), {record.name for record in list_models() if record.url}
    assert {value["model"] for value in table["value"]} <= names
    for record in list_models():
        for value in list_published_values(record):
            structure = value.system.structure
            assert (
                len(structure.positions) == len(structure.atomic_numbers) == (0 if structure.file else structure.atoms)
            )
            assert set(structure.atomic_numbers) <= set(record.elements)
            assert (value.system.charge is not None) == record.takes_charge
            per_atom = value.energy_ev / structure.atoms
            assert (-800 < per_atom < -400) if record.takes_charge else (-10 < per_atom < -3)


def test_the_structures_are_those_of_ase():
    build = pytest.importorskip("ase.build")
    crystal = build.bulk("Cu", "fcc", a=3.58, cubic=True)
    expected = {"water": build.molecule("H2O"), "benzene": build.molecule("C6H6"), "copper": crystal}
    for name, atoms in expected.items():
        structure = find_structure(name)
        assert atoms.numbers.tolist() == list(structure.atomic_numbers)
        assert np.allclose(atoms.positions, structure.positions, atol=1e-12)
        assert structure.cell is None or np.allclose(atoms.cell.array, structure.cell, atol=1e-12)


def test_the_tolerance_is_the_published_one_and_the_rounding_of_float32():
    assert allow_energy(-14.991, 4) == pytest.approx(1e-4 + 4 * 3e-5, abs=1e-5)
    assert allow_energy(-6316.6646, 12) == pytest.approx(1e-4 + 12 * 3e-5 + 12**0.5 * 2**-11)


@pytest.mark.weights
@pytest.mark.network
@pytest.mark.parametrize("record", [record for record in list_models() if record.url], ids=lambda record: record.name)
def test_the_published_weights_prove_themselves(record, monkeypatch):
    monkeypatch.delenv("ORBMM_CACHE")  # the user's own, so that they are downloaded once
    verdict = check_proof(record, locate_weights(record))
    assert verdict == (VERIFIED if list_published_values(record) else UNVERIFIED)
