"""The description that a serialised System keeps: exact, strict, without anything but names and numbers."""

from __future__ import annotations

import dataclasses
import json

import pytest

from orbmm.errors import ForceError
from orbmm.forces.description import ForceDescription
from orbmm.model.inference.execution import Execution

DESCRIPTION = ForceDescription(
    model="orb-v3-direct-omol",
    weights_sha256="0123456789abcdef" * 4,
    precision="float32-high",
    device="cuda:1",
    atomic_numbers=(8, 1, 1),
    atoms=(5, 3, 4),
    periodic=True,
    charge=-1,
    multiplicity=2,
    execution=Execution(memory="lean", edges_per_block=1000, search="kd_tree"),
)
WRITTEN_BEFORE = (
    '{"atomic_numbers":[8,1,1],"atoms":[5,3,4],"charge":-1,"compile":false,"cuda_graphs":false,"device":"cuda:1",'
    '"edges_per_block":1000,"format":5,"kernels":"auto","memory":"lean","model":"orb-v3-direct-omol","multiplicity":2,'
    '"periodic":true,"precision":"float32-high","search":"kd_tree",'
    '"weights_sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}'
)
"""The text that a System holds which was saved before the description held an Execution."""

PLAIN = dataclasses.replace(DESCRIPTION, atoms=None, periodic=False, charge=None, multiplicity=None)


def alter(**changes: object) -> str:
    return json.dumps({**json.loads(DESCRIPTION.to_json()), **changes})


@pytest.mark.parametrize("description", (DESCRIPTION, PLAIN, dataclasses.replace(PLAIN, copies=3)))
def test_a_description_survives_its_text(description):
    again = ForceDescription.from_json(description.to_json())
    assert again == description
    assert again.to_json() == description.to_json()


def test_a_system_that_was_saved_before_still_loads():
    assert ForceDescription.from_json(WRITTEN_BEFORE) == DESCRIPTION
    now = WRITTEN_BEFORE.replace('"format":5', '"first_contact":"check","format":5')
    assert DESCRIPTION.to_json() == now.replace('"weights_sha256"', '"threads":null,"weights_sha256"')


def test_an_older_text_with_another_value_is_another_description():
    other = WRITTEN_BEFORE.replace('"kd_tree"', '"cell_list"')
    assert ForceDescription.from_json(other).execution == dataclasses.replace(DESCRIPTION.execution, search="cell_list")


def test_descriptions_that_differ_have_texts_that_differ():
    assert DESCRIPTION != PLAIN
    assert DESCRIPTION.to_json() != dataclasses.replace(DESCRIPTION, atoms=(3, 5, 4)).to_json()


def test_an_unknown_key_is_named_with_the_nearest():
    with pytest.raises(ForceError, match="unknown key 'mode': did you mean 'model'"):
        ForceDescription.from_json(alter(mode="x"))


def test_a_missing_key_is_named():
    entries = json.loads(DESCRIPTION.to_json())
    del entries["atoms"]
    with pytest.raises(ForceError, match="lacks atoms"):
        ForceDescription.from_json(json.dumps(entries))


def test_a_text_of_a_later_format_is_refused():
    with pytest.raises(ForceError, match="has format 6, and this orbmm reads format 5"):
        ForceDescription.from_json(alter(format=6))


@pytest.mark.parametrize("text", ("", "not json", "[1, 2]", "null", "{}"))
def test_what_is_no_description_is_refused(text):
    with pytest.raises(ForceError, match="description of a force"):
        ForceDescription.from_json(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", 3),
        ("weights_sha256", "../../etc/passwd"),
        ("weights_sha256", "AB" * 32),
        ("precision", "float8"),
        ("device", None),
        ("atomic_numbers", []),
        ("atomic_numbers", [8, 0, 1]),
        ("atomic_numbers", [8, 1.0, 1]),
        ("atomic_numbers", "811"),
        ("atoms", [3, 4]),
        ("atoms", [3, 3, 4]),
        ("atoms", [-1, 3, 4]),
        ("periodic", 1),
        ("compile", "yes"),
        ("memory", "laen"),
        ("edges_per_block", 0),
        ("kernels", "tritan"),
        ("search", "kd_treee"),
        ("cuda_graphs", 1),
        ("threads", 0),
        ("threads", 1.5),
        ("charge", 0.5),
        ("charge", True),
        ("multiplicity", -1),
        ("copies", 0),
        ("copies", True),
        ("copies", 2),  # of some atoms of a System
    ],
)
def test_an_impossible_value_is_named(key, value):
    with pytest.raises(ForceError, match=rf"description of a force .*\b{key} (=|is) "):
        ForceDescription.from_json(alter(**{key: value}))
