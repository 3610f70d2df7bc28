"""The catalogue holds every model that it should, and contradicts itself nowhere."""

from __future__ import annotations

import subprocess
import sys
from itertools import product

import pytest

from orbmm.checkpoints.architecture import Architecture
from orbmm.checkpoints.catalog import default_model, find_record, list_models
from orbmm.errors import ModelError

MATERIALS = [f"orb-v3-{kind}-{near}-{data}" for kind, near, data in product(
    ("direct", "conservative"), ("20", "inf"), ("omat", "mpa"))]  # fmt: skip
MOLECULES = ["orb-v3-direct-omol", "orb-v3-conservative-omol"]
EMBEDDED = [f"orb-mini-{kind}-inf-{data}" for kind, data in product(("direct", "conservative"), ("xtb", "proteins"))]

every_record = pytest.mark.parametrize("record", list_models(), ids=lambda record: record.name)


def test_the_catalogue_holds_all_published_and_embedded_models():
    assert sorted(record.name for record in list_models()) == sorted(MATERIALS + MOLECULES + EMBEDDED)


def test_no_name_or_alias_stands_for_two_models():
    names = [name for record in list_models() for name in (record.name, *record.aliases)]
    assert len(names) == len(set(names))


@every_record
def test_a_record_agrees_with_its_name(record):
    assert record.kind in record.name
    assert record.max_neighbors == (20 if "-20-" in record.name else 120)
    assert record.takes_charge is record.architecture.charge_and_spin is record.name.endswith("omol")
    summed = record.kind == "direct" or record.name.endswith(
        "-proteins"
    )  # trained here, where energies of parts add up
    assert record.oddities.zbl_aggregation == ("sum" if summed else "mean")
    assert record.oddities.subtracts_mean_force is record.oddities.removes_net_torque is (record.kind == "direct")


@every_record
def test_a_record_says_where_its_weights_are_and_what_they_are_for(record):
    assert (record.url is None) != (record.file is None)
    for text in (record.purpose, record.level_of_theory, record.friction_reason, record.dispersion, record.note):
        assert text.strip() == text and text
    assert record.friction_per_ps > 0
    assert list(record.elements) == sorted(set(record.elements))


@pytest.mark.parametrize("name", MATERIALS + MOLECULES)
def test_published_models_have_the_published_size_and_file_name(name):
    record = find_record(name)
    assert record.url.startswith("https://orbitalmaterials-public-models.s3.us-west-1.amazonaws.com/forcefields/")
    assert f"/{name}-2025" in record.url and record.url.endswith(".ckpt")
    small = {"charge_and_spin": record.takes_charge, "has_stress_head": record.architecture.has_stress_head}
    assert record.architecture == Architecture(**small)


@pytest.mark.parametrize("name", MATERIALS + MOLECULES)
def test_urls_and_neighbours_are_those_of_orb_models(name):
    pretrained = pytest.importorskip("orb_models.forcefield.pretrained")
    inspect = pytest.importorskip("inspect")
    loader = pretrained.ORB_PRETRAINED_MODELS[name]
    assert find_record(name).url == inspect.signature(loader).parameters["weights_path"].default
    assert f"max_num_neighbors={find_record(name).max_neighbors}" in inspect.getsource(loader)


def test_only_direct_models_for_materials_have_a_stress_head():
    with_head = {record.name for record in list_models() if record.architecture.has_stress_head}
    assert with_head == {name for name in MATERIALS if "direct" in name}


def test_elements_are_those_of_the_training_sets():
    assert len(find_record("orb-v3-direct-20-omat").elements) == 89
    assert not {84, 85, 86, 87, 88} & set(find_record("orb-v3-direct-20-mpa").elements)
    assert find_record("orb-v3-direct-omol").elements == tuple(range(1, 84))
    assert find_record("orb-mini-direct-inf-xtb").elements == (1, 6, 7, 8)
    assert find_record("orb-mini-direct-inf-proteins").elements == (1, 6, 7, 8, 11, 16, 17, 30)


def test_the_default_model_is_embedded_and_conservative():
    record = find_record(default_model())
    assert record.file is not None and record.kind == "conservative"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("orb-v3-direct-inf-omat", "orb-v3-direct-inf-omat"),
        ("orbmol-v1-direct", "orb-v3-direct-omol"),
        ("orbmol-v1-conservative", "orb-v3-conservative-omol"),
        ("orbmm-orb-v3-conservative-inf-omat", "orb-v3-conservative-inf-omat"),
        ("orbmm-orb-v3-conservative-omol", "orb-v3-conservative-omol"),
    ],
)
def test_models_are_found_by_name_alias_and_prefixed_name(asked, found):
    assert find_record(asked).name == found


@pytest.mark.parametrize("asked", ["orb-v3-direct-inf-omta", "orbmm-orb-v3-direct-inf-oma", "Orb-v3-direct-inf-omat"])
def test_an_unknown_model_is_refused_with_the_nearest_name(asked):
    with pytest.raises(ModelError, match=f"'{asked}': did you mean 'orb-v3-direct-inf-omat'"):
        find_record(asked)


def test_a_name_like_none_is_refused_with_all_names():
    with pytest.raises(ModelError, match="known: orb-mini-conservative-inf-proteins, .*orbmol-v1-direct"):
        find_record("%%%")


def test_the_catalogue_is_read_without_torch_and_openmm():
    code = "import sys, orbmm.checkpoints.catalog as c; c.list_models(); print({'torch', 'openmm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
