"""The settings of an ensemble become replicas; what a run could not have is refused before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orbmm.ensemble.plan import plan_ensemble
from orbmm.errors import OrbmmError, SettingsError
from orbmm.settings import EnsembleSettings, read_ensemble_settings

from .conftest import SYSTEM

Make = Callable[..., EnsembleSettings]


def test_every_value_is_combined_with_every_other_and_with_every_seed(make_settings: Make, tmp_path: Path) -> None:
    text = '[sweep]\nrun.temperature_kelvin = [300, 320]\n"run.friction_per_ps" = [1.0, 5.0, 20.0]\n'
    plan = plan_ensemble(make_settings("replicas = 2\n" + text))
    found = [
        (one.settings.run.temperature_kelvin, one.settings.run.friction_per_ps, one.settings.run.seed)
        for one in plan.replicas
    ]
    expected = [(t, f, seed) for t in (300.0, 320.0) for f in (1.0, 5.0, 20.0) for seed in (1, 2)]
    assert found == expected
    assert plan.replicas[3].name == "temperature_kelvin-300_friction_per_ps-5.0_seed-2"
    assert dict(plan.replicas[3].member.point) == {"run.temperature_kelvin": "300", "run.friction_per_ps": "5.0"}
    folders = {one.settings.run.output for one in plan.replicas}
    assert len(folders) == 12 and tmp_path / "out/replicas" / plan.replicas[0].name / "run" in folders
    assert not (tmp_path / "out").exists()


def test_seeds_count_up_from_that_of_the_system(make_settings: Make) -> None:
    plan = plan_ensemble(make_settings("replicas = 3", SYSTEM + "seed = 7\n"))
    assert [one.settings.run.seed for one in plan.replicas] == [7, 8, 9]
    assert [one.name for one in plan_ensemble(make_settings("seeds = [5, 2]")).replicas] == ["seed-5", "seed-2"]


def test_each_structure_of_a_folder_is_a_point(make_settings: Make, tmp_path: Path) -> None:
    (tmp_path / "boxes").mkdir()
    for name in ("b.pdb", "a.cif", "notes.txt"):
        (tmp_path / "boxes" / name).touch()
    plan = plan_ensemble(make_settings('[sweep]\nstructures = "boxes"'))
    assert [one.settings.system.structure for one in plan.replicas] == [
        tmp_path / "boxes/a.cif",
        tmp_path / "boxes/b.pdb",
    ]
    assert [one.name for one in plan.replicas] == ["structure-a_seed-1", "structure-b_seed-1"]


BAD = {
    "[sweep]\nrun.temperature_kelvn = [300]": "unknown key 'run.temperature_kelvn'; did you mean 'run.temperature_k",
    "[sweep]\nsystem.ph = [6.0, 7.0]": "system.ph acts on `orbmm prepare` only",
    "[sweep]\nrun.seed = [1, 2]": "run.seed cannot be swept: give `replicas` or `seeds`",
    "[sweep]\nrun.temperature_kelvin = 300": "must be a list of values",
    "[sweep]\nrun.temperature_kelvin = [300, 300]": "holds 300 twice",
    "[sweep]\nrun.temperature_kelvin = [300, -1]": "temperature_kelvin = -1: temperature_kelvin is -1.0, but must be",
    '[sweep]\nrun.temperature_kelvin = ["hot"]': "must be a number",
    "[sweep]\nrun.timestep_fs = [0.5, 0.3]": "whole number of time steps",
    '[sweep]\nstructures = "nowhere"': "there is no such folder",
    "[swep]\n": "unknown table [swep]",
    "seeds = [1, 2, 1]": "seeds holds 1 twice: two replicas with one seed are the same run",
    "seeds = []": "seeds is an empty list",
    "seeds = [1, 2]\nreplicas = 3": "replicas is 3, but seeds holds 2",
    "seeds = [0]": "must be at least 1",
    "replicas = 0": "must be at least 1",
    "replicas = 1000\n[sweep]\nrun.temperature_kelvin = " + str(list(range(200, 500))): "300,000 replicas",
    '[scheduler]\nkind = "slrum"': "did you mean 'slurm'?",
    '[scheduler]\nkind = "address"': "belong together",
    '[scheduler]\nkind = "slurm"\nmemory = "lots"': "memory is 'lots', but must be a size such as 4GB",
    '[scheduler]\nqueue = "gpu"': 'queue is for jobs of a cluster, but kind is "local"',
    '[scheduler]\nkind = "slurm"\ngpus = ["0"]': "a job asks for its GPU in `directives`",
    "[scheduler]\nworkers = 0": "must be at least 1",
    '[scheduler]\nmemory = "8GB"': 'memory is for jobs of a cluster, but kind is "local"; remove it',
    '[scheduler]\nkind = "address"\naddress = "tcp://x:1"\nworkers = 2': "workers are started by you",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_value_is_refused_with_one_sentence(text: str, make_settings: Make) -> None:
    with pytest.raises(OrbmmError) as refusal:
        plan_ensemble(make_settings(text))
    assert BAD[text] in str(refusal.value) and "\n" not in str(refusal.value)
    assert refusal.value.exit_code == 2


ADDRESSES = (
    "tcp://host:8786",
    "tls://10.0.0.7:1",
    "host.cluster.edu:65535",
    "tcp://[fe80::1%eth0]:8786",
    "ws://h_1:80",
)
NO_ADDRESSES = ("bananas", "", "tcp://host", "tcp://:8786", "tcp://host:0", "tcp://host:99999", "http://host:8787",
                "tcp://host:8786/status", "tcp://two words:1", "tcp://host:port", " tcp://host:1")  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES + NO_ADDRESSES)
def test_an_address_has_a_host_and_a_port(address: str, make_settings: Make) -> None:
    lines = f'[scheduler]\nkind = "address"\naddress = "{address}"'
    if address in ADDRESSES:
        assert make_settings(lines).scheduler.address == address
        return
    with pytest.raises(SettingsError) as refusal:
        make_settings(lines)
    assert f"address is '{address}', but must be protocol://host:port" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_sweep_that_a_stage_overrules_is_refused(make_settings: Make) -> None:
    stage = '[[stage]]\nkind = "produce"\ntemperature_kelvin = 310\n'
    sweep = "[sweep]\nrun.temperature_kelvin = [300, 320]"
    with pytest.raises(SettingsError, match=r"would not reach \[\[stage\]\] 1, whose temperature_kelvin is 310"):
        plan_ensemble(make_settings(sweep, SYSTEM + stage))
    assert len(plan_ensemble(make_settings(sweep, SYSTEM + stage.rsplit("t", 2)[0].split("temp")[0])).replicas) == 2


def test_structures_that_a_state_would_replace_are_refused(make_settings: Make, tmp_path: Path) -> None:
    (tmp_path / "boxes").mkdir()
    (tmp_path / "boxes/a.pdb").touch()
    system = SYSTEM.replace("[model]", 'state = "state.xml"\n[model]')
    with pytest.raises(SettingsError, match="whose positions replace them; remove state"):
        plan_ensemble(make_settings('[sweep]\nstructures = "boxes"', system))


def test_names_in_any_script_stay_apart(make_settings: Make, tmp_path: Path) -> None:
    (tmp_path / "boxes").mkdir()
    for name in ("蛋白.pdb", "蛋黄.pdb", "é ü.pdb"):
        (tmp_path / "boxes" / name).touch()
    plan = plan_ensemble(make_settings('[sweep]\nstructures = "boxes"'))
    assert [one.name for one in plan.replicas] == [
        "structure-é-ü_seed-1",
        "structure-蛋白_seed-1",
        "structure-蛋黄_seed-1",
    ]


def test_an_ensemble_of_an_ensemble_is_refused(make_settings: Make, tmp_path: Path) -> None:
    settings = make_settings()
    (tmp_path / "system.toml").write_text('[ensemble]\nsystem = "system.toml"\n')
    with pytest.raises(
        SettingsError, match=r"system\.toml has the settings of an ensemble, but this needs those of a system"
    ):
        plan_ensemble(settings)
    (tmp_path / "system.toml").write_text(SYSTEM)
    with pytest.raises(
        SettingsError, match=r"system\.toml has the settings of a system, but this needs those of an ensemble"
    ):
        read_ensemble_settings(tmp_path / "system.toml")


def test_two_structures_with_one_name_are_refused(make_settings: Make, tmp_path: Path) -> None:
    sweep = '[sweep]\n"system.structure" = ["one/a.pdb", "two/a.pdb"]'
    with pytest.raises(SettingsError, match="2 replicas would have the name structure-a_seed-1"):
        plan_ensemble(make_settings(sweep))
