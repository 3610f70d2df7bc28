"""`orbmm models` shows every model, and all that is known of one."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from orbmm.checkpoints.catalog import describe_elements, find_record, list_models
from orbmm.checkpoints.proof import Check, WeightsProof, keep_proof
from orbmm.checkpoints.published import hash_published_values
from orbmm.checkpoints.store import published_path
from orbmm.cli.models import models
from orbmm.doctor.installation import State, check_proofs
from orbmm.download.checksum import note_checksum
from orbmm.errors import ModelError


def call(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(models)
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "100"}, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_every_model_is_listed_with_where_its_weights_are():
    lines = call().splitlines()
    for record in list_models():
        line = next(line for line in lines if line.startswith(record.name))
        assert record.kind in line and str(record.max_neighbors) in line
        assert ("embedded" if record.file else "to download") in line


@pytest.mark.parametrize(("passed", "word"), [(True, "verified"), (None, "unverified")])
def test_the_proof_of_cached_weights_is_shown_in_a_word_and_in_rows_and_by_doctor(passed, word):
    record = find_record("orb-v3-direct-inf-omat")
    path = published_path(record)
    path.parent.mkdir(parents=True)
    path.write_text("weights")
    note_checksum(path, "1" * 64)
    assert next(line for line in call().splitlines() if line.startswith(record.name)).split()[2] == "cached"
    assert "not yet checked" in call(record.name)
    check = Check("published, copper: energy, eV", passed, 1e-5, 2e-4, "by this test", published=True)
    keep_proof(WeightsProof(record.name, "1" * 64, hash_published_values(), 1.0, (check,)))
    assert next(line for line in call().splitlines() if line.startswith(record.name)).split()[2] == word
    assert f"energy, eV: {'passed' if passed else 'not compared'}, off by 1.0e-05" in call(record.name)
    finding = check_proofs()[0]
    assert (finding.subject, finding.state) == (record.name, State.GOOD if passed else State.LIMITED)


@pytest.mark.parametrize("record", list_models(), ids=lambda record: record.name)
def test_one_model_is_shown_with_its_oddities_and_address(record):
    text = call(record.name)
    assert f"zbl_aggregation = {record.oddities.zbl_aggregation}" in text
    assert record.level_of_theory in text
    assert record.url is None or record.url in "".join(
        line.strip().removeprefix("address").strip() for line in text.splitlines()
    )


def test_an_alias_shows_the_model_that_it_stands_for():
    assert call("orbmol-v1-direct").splitlines()[0].split() == ["name", "orb-v3-direct-omol"]


def test_an_unknown_model_is_an_error_with_the_nearest_name():
    with pytest.raises(ModelError, match="did you mean 'orb-v3-direct-20-mpa'"):
        call("orb-v3-direct-20-mpaa")


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((1, 6, 7, 8), "H, C, N, O"),
        ((1, 2, 3, 4, 30), "H to Be, Zn"),
        ((*range(1, 84), *range(89, 95)), "H to Bi, Ac to Pu"),
    ],
)
def test_elements_are_described_in_words(numbers, words):
    assert describe_elements(numbers) == words
