"""Which force kind runs with which versions; the versions are given, not installed."""

from __future__ import annotations

import os

import pytest

from orbmm.errors import ForceError
from orbmm.forces.kinds import choose_force_kind, judge_force_kinds, list_force_kinds
from orbmm.forces.versions import Versions, advise_on_worker_thread, find_bad_pairs, is_at_least, read_versions

TORCHFORCE_SET = Versions(openmm="8.5.2", openmmml="1.7", openmmtorch="1.5", torch="2.9.1+cu128")
NEWEST_SET = Versions(openmm="8.6.1", openmmml="1.8", openmmtorch=None, torch="2.13.0+cpu")
CRASHING_PAIR = Versions(openmm="8.6.1", openmmml="1.8", openmmtorch="1.5", torch="2.9.1")
FIXED_PAIR = Versions(openmm="8.6.1", openmmml="1.8", openmmtorch="1.6", torch="2.13.0")
OLD_OPENMM = Versions(openmm="8.4.0", openmmml="1.4", openmmtorch="1.5", torch="2.9.1")


def loads() -> None:
    return None


def fails() -> str:
    return "libc10_cuda.so: cannot open shared object file"


def must_not_be_called() -> str:
    raise AssertionError("openmm-torch was loaded although its versions are refused")


def available(versions: Versions, load_plugin=loads) -> list[str]:
    return [kind.name for kind in judge_force_kinds(versions, load_plugin) if kind.available]


def reason(versions: Versions, name: str, load_plugin=loads) -> str:
    return {kind.name: kind.reason for kind in judge_force_kinds(versions, load_plugin)}[name]


def test_the_two_sets_run_what_the_version_table_says():
    assert available(TORCHFORCE_SET) == ["TorchForce", "PythonForce"]
    assert available(NEWEST_SET) == ["PythonForce"]
    assert available(OLD_OPENMM) == ["TorchForce"]


def test_auto_prefers_torch_force_and_falls_back_to_python_force():
    assert choose_force_kind("auto", judge_force_kinds(TORCHFORCE_SET, loads)).name == "TorchForce"
    assert choose_force_kind("auto", judge_force_kinds(TORCHFORCE_SET, fails)).name == "PythonForce"
    assert choose_force_kind("auto", judge_force_kinds(NEWEST_SET, loads)).name == "PythonForce"


def test_the_pair_that_crashes_is_refused_without_loading_it():
    assert available(CRASHING_PAIR, must_not_be_called) == ["PythonForce"]
    assert "OpenMM 8.6.1 crashes when it loads" in reason(CRASHING_PAIR, "TorchForce", must_not_be_called)
    assert available(FIXED_PAIR) == ["TorchForce", "PythonForce"]


def test_a_plugin_that_does_not_load_is_told_with_its_own_words():
    assert "libc10_cuda.so" in reason(TORCHFORCE_SET, "TorchForce", fails)
    assert "openmmtorch 1.5 does not load beside torch 2.9.1" in reason(TORCHFORCE_SET, "TorchForce", fails)


def test_bad_pairs_are_told_for_the_pairs_alone():
    assert "crashes" in find_bad_pairs(CRASHING_PAIR)[0]
    opencl, thread = find_bad_pairs(TORCHFORCE_SET)
    assert "OpenCL" in opencl and "worker thread" in thread
    assert find_bad_pairs(NEWEST_SET) == find_bad_pairs(FIXED_PAIR) == ()


def test_where_openmm_can_call_from_its_own_thread_only_with_several_gpus_no_newer_openmm_is_advised():
    assert "OpenMM 8.6 or newer with one GPU" in advise_on_worker_thread(TORCHFORCE_SET)
    assert "one GPU in DeviceIndex" in advise_on_worker_thread(NEWEST_SET)
    assert "8.6" not in advise_on_worker_thread(NEWEST_SET) and "TorchForce" not in advise_on_worker_thread(NEWEST_SET)


def test_python_torch_force_is_refused_with_one_sentence():
    for versions in (TORCHFORCE_SET, NEWEST_SET):
        with pytest.raises(ForceError, match="PythonTorchForce: no release of openmmtorch has PythonTorchForce yet"):
            choose_force_kind("PythonTorchForce", judge_force_kinds(versions, loads))


def test_a_kind_that_cannot_run_is_refused_with_its_reason():
    with pytest.raises(ForceError, match="TorchForce: openmmtorch is not installed"):
        choose_force_kind("TorchForce", judge_force_kinds(NEWEST_SET, loads))
    with pytest.raises(ForceError, match="PythonForce needs OpenMM 8.5 or newer, found 8.4.0"):
        choose_force_kind("PythonForce", judge_force_kinds(OLD_OPENMM, loads))


def test_auto_without_any_kind_tells_the_reasons_of_all():
    none = Versions(openmm="8.4.0", openmmml=None, openmmtorch=None, torch="2.9.1")
    with pytest.raises(ForceError, match="no force kind can run here.*TorchForce.*PythonTorchForce.*PythonForce"):
        choose_force_kind("auto", judge_force_kinds(none, loads))


def test_an_unknown_kind_is_named_with_the_nearest():
    with pytest.raises(ForceError, match="no force kind 'torchforce': did you mean 'TorchForce'"):
        choose_force_kind("torchforce", judge_force_kinds(TORCHFORCE_SET, loads))


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("8.5", True),
        ("8.5.0", True),
        ("8.10.1", True),
        ("9.0rc1", True),
        ("8.4.9", False),
        ("7.9", False),
        (None, False),
    ],
)
def test_versions_compare_by_number_and_not_by_letter(version, expected):
    assert is_at_least(version, 8, 5) is expected


def test_the_kinds_that_must_run_here_do_run():
    expected = set(filter(None, os.environ.get("ORBMM_EXPECT_FORCE_KINDS", "PythonForce").split(",")))
    assert expected <= {kind.name for kind in list_force_kinds() if kind.available}


def test_installed_versions_are_found():
    versions = read_versions()
    assert is_at_least(versions.openmm, 8, 5) and is_at_least(versions.torch, 2, 9)
