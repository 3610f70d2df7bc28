"""A healthy GPU passes in every way of working, each planted fault is caught, and the result is kept."""

from __future__ import annotations

import json
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from first_contact.conftest import CONSERVATIVE, DIRECT, WATER, meet_spoiled
from oracles.stand_in_gpu.tensor import StandInTensor

from orbmm.errors import DeviceError, OutOfMemory
from orbmm.first_contact import meet as meeting_module
from orbmm.first_contact.case import build_case, choose_atoms
from orbmm.first_contact.compare import CPU, GPU
from orbmm.first_contact.emulation import cut
from orbmm.first_contact.meet import Atoms, describe_meeting, make_contact
from orbmm.first_contact.record import list_contacts
from orbmm.model.inference.execution import Execution
from orbmm.model.inference.kernels.plain import PlainKernels
from orbmm.model.load import load_model
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.heads import HeadPerceptron
from orbmm.model.network.orb import Prediction
from orbmm.model.potential import Potential

PRECISIONS = ("float64", "float32-highest", "float32-high", "float16", "bfloat16")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", [CONSERVATIVE, DIRECT])
def test_a_healthy_gpu_passes_in_every_precision(name: str, precision: str) -> None:
    contact = meet_spoiled(name=name, precision=precision)
    assert contact.faults == () and contact.comparison.repeats and contact.comparison.weights_agree
    assert contact.comparison.errors.confidence is not None


@pytest.mark.parametrize(
    "options",
    [{"memory": "lean"}, {"edges_per_block": 700}, {"search": "kd_tree"}, {"cuda_graphs": True}],
    ids=str,
)
def test_a_healthy_gpu_passes_in_every_way_of_working(options: dict[str, object]) -> None:
    assert meet_spoiled(**options).faults == ()


def test_a_direct_network_passes_without_a_box() -> None:
    assert meet_spoiled(name=DIRECT, periodic=False).faults == ()


# --- planted faults ------------------------------------------------------------------------------------------------


class Predicts:
    """An engine whose predictions pass through a function before they are returned."""

    def __init__(self, inner: object, change: object) -> None:
        self.inner, self.change, self.calls = inner, change, 0

    def predict(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        self.calls += 1
        return self.change(self.inner.predict(graph, outputs), self.calls)


def change_weight(potential: Potential) -> Potential:
    with torch.no_grad():
        potential.network.model.gnn_stacks[1]._edge_mlp.mlp[0].weight[3, 5] += 1e-3
    return potential


def vary_after_the_first_pass(potential: Potential) -> Potential:
    def change(prediction: Prediction, call: int) -> Prediction:
        return replace(prediction, forces=prediction.forces * (1 + 1e-6)) if call > 3 else prediction

    return replace(potential, engine=Predicts(potential.engine, change))


def give_nan(potential: Potential) -> Potential:
    return replace(
        potential, engine=Predicts(potential.engine, lambda p, call: replace(p, energy=p.energy * torch.nan))
    )


class Unfinished:
    """Forces that are on their way: right only after the device was waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pending: list[tuple[torch.Tensor, torch.Tensor]] = []
        wait = torch.cuda.synchronize
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: (wait(device), self.finish()))

    def finish(self) -> None:
        for early, late in self.pending:
            early.copy_(late)

    def __call__(self, potential: Potential) -> Potential:
        def change(prediction: Prediction, call: int) -> Prediction:
            early = torch.zeros_like(prediction.forces)
            self.pending.append((early, prediction.forces))
            return replace(prediction, forces=early)

        return replace(potential, engine=Predicts(potential.engine, change))


def test_one_changed_weight_is_caught() -> None:
    with pytest.raises(DeviceError, match="the weights on it are not those of the file"):
        meet_spoiled(change_weight, precision="bfloat16")


def test_a_kernel_that_drops_one_gate_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    add_sums = PlainKernels.add_sums

    def drop(self: PlainKernels, totals: torch.Tensor, values: torch.Tensor, grouping: object, weights=None) -> None:
        if isinstance(values, StandInTensor) and weights is not None:
            weights = torch.ones_like(weights)
        add_sums(self, totals, values, grouping, weights)

    monkeypatch.setattr(PlainKernels, "add_sums", drop)
    with pytest.raises(DeviceError, match="forces differ by"):
        meet_spoiled(name=DIRECT, precision="float16")


def test_a_gpu_that_does_not_repeat_is_caught() -> None:
    with pytest.raises(DeviceError, match="a second evaluation gives other numbers"):
        meet_spoiled(vary_after_the_first_pass)


@pytest.mark.parametrize("precision", ["float32-high", "float32-highest"])
@pytest.mark.parametrize("name", [CONSERVATIVE, DIRECT])
def test_an_energy_head_in_tf32_is_caught(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = HeadPerceptron.forward

    def careless(head: HeadPerceptron, features: torch.Tensor) -> torch.Tensor:
        if not isinstance(features, StandInTensor):
            return exact(head, features)
        hidden = features.float()
        for number, layer in enumerate(head.linear_layers):
            active = F.silu(hidden) if number else hidden
            rounded = active + (cut(active.detach()) - active.detach())  # with the gradient of no rounding
            hidden = F.linear(rounded, cut(layer.weight), layer.bias)
        return hidden.double()

    monkeypatch.setattr(HeadPerceptron, "forward", careless)
    with pytest.raises(DeviceError, match="its energy head is not computed in float64"):
        meet_spoiled(name=name, precision=precision)


def test_forces_that_are_not_finished_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="forces differ by"):
        meet_spoiled(Unfinished(monkeypatch))


def test_nan_is_caught() -> None:
    with pytest.raises(DeviceError, match="the energy differs by inf"):
        meet_spoiled(give_nan)


# --- what is kept --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_box")
def test_the_second_meeting_reads_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    first = meet_spoiled()
    monkeypatch.setattr(meeting_module, "compare", lambda *_: pytest.fail("compared again"))
    assert meet_spoiled() == first
    assert list_contacts() == [first]


@pytest.mark.usefixtures("small_box")
@pytest.mark.parametrize(
    "change", [{"precision": "bfloat16"}, {"memory": "lean"}, {"name": DIRECT}, {"periodic": False}], ids=str
)
def test_any_other_way_meets_anew(change: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    meet_spoiled()
    compared = []
    compare = meeting_module.compare
    monkeypatch.setattr(meeting_module, "compare", lambda *given: compared.append(1) or compare(*given))
    meet_spoiled(**change)
    assert compared


@pytest.mark.usefixtures("small_box")
def test_another_card_or_driver_meets_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    first = meet_spoiled()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "another GPU")
    second = meet_spoiled()
    assert first.meeting.key != second.meeting.key and len(list_contacts()) == 2


@pytest.mark.usefixtures("small_box")
def test_a_fault_is_reported_in_one_sentence_and_a_file_without_paths(cache: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        meet_spoiled(change_weight)
    (report,) = (cache / "first-contact" / "reports").glob("*.json")
    assert str(report) in str(caught.value) and "\n" not in str(caught.value)
    text = report.read_text("utf-8")
    assert str(cache) not in text and str(Path.home()) not in text
    told = json.loads(text)
    assert told["faults"] and told["versions"]["torch"] and told["meeting"]["card"]["name"] == "stand-in GPU"
    assert np.shape(told["structure"]["frames"]) == (3, 27, 3)
    exact, found = (np.array(told["answers"][name]["forces"]) for name in (CPU, GPU))
    assert 1000 * np.abs(exact - found).max() == told["comparison"]["errors"]["forces_mev_per_angstrom"]
    with pytest.raises(DeviceError):
        meet_spoiled(change_weight)  # a kept fault is no pass
    assert meet_spoiled().faults == ()


@pytest.mark.usefixtures("small_box")
def test_a_later_fault_takes_an_earlier_pass_away() -> None:
    contact = meet_spoiled()
    execution, atoms = Execution(), Atoms(WATER, True)
    potential = change_weight(load_model(CONSERVATIVE, device="cuda:0"))
    with torch.inference_mode(False):
        _, report = make_contact(
            potential,
            describe_meeting(potential, execution, atoms),
            atoms,
            lambda precision: load_model(CONSERVATIVE, device="cpu", precision=precision),
        )
    assert report is not None and report.name == f"{contact.meeting.key}.json"
    assert list_contacts() == []


@pytest.mark.usefixtures("small_box")
def test_a_fault_is_told_where_no_report_can_be_written(cache: Path) -> None:
    cache.mkdir()
    (cache / "first-contact").write_text("in the way", encoding="utf-8")
    with pytest.raises(DeviceError, match="the weights on it are not those of the file") as caught:
        meet_spoiled(change_weight)
    assert "Send in" not in str(caught.value)


@pytest.mark.usefixtures("small_box")
def test_a_gpu_that_cannot_compute_is_told_in_one_sentence() -> None:
    def fail(prediction: Prediction, call: int) -> Prediction:
        raise RuntimeError("CUDA error: no kernel image is available\nCompile with TORCH_USE_CUDA_DSA")

    with pytest.raises(DeviceError, match="no kernel image is available") as caught:
        meet_spoiled(lambda potential: replace(potential, engine=Predicts(potential.engine, fail)))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("small_box")
def test_a_gpu_without_memory_is_told_in_one_sentence() -> None:
    def fail(prediction: Prediction, call: int) -> Prediction:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(OutOfMemory, match="while orb-mini-conservative-inf-xtb is compared with the CPU"):
        meet_spoiled(lambda potential: replace(potential, engine=Predicts(potential.engine, fail)))


@pytest.mark.usefixtures("small_box")
def test_changed_code_meets_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    first = meet_spoiled()
    monkeypatch.setattr(meeting_module, "hash_code", lambda: "0" * 16)
    assert meet_spoiled().meeting.key != first.meeting.key


@pytest.mark.usefixtures("small_box")
def test_a_damaged_record_is_compared_again(cache: Path) -> None:
    meet_spoiled()
    (kept,) = (cache / "first-contact").glob("*.json")
    kept.write_text('{"meeting": 3}', encoding="utf-8")
    assert meet_spoiled().faults == ()


@pytest.mark.usefixtures("small_box")
@pytest.mark.parametrize("damage", ["faults", "repeats", "errors"])
def test_a_kept_record_that_is_no_pass_is_compared_again(damage: str, cache: Path) -> None:
    passed = meet_spoiled()
    (path,) = (cache / "first-contact").glob("*.json")
    kept = json.loads(path.read_text(encoding="utf-8"))
    if damage == "faults":
        kept["faults"] = ["forces differ"]
    elif damage == "repeats":
        kept["comparison"]["repeats"] = False
    else:
        kept["comparison"]["errors"]["forces_mev_per_angstrom"] = 1e9
    path.write_text(json.dumps(kept), encoding="utf-8")
    again = meet_spoiled()
    assert again.faults == () and again.comparison == passed.comparison


# --- the case ------------------------------------------------------------------------------------------------------


def test_the_case_holds_every_element_of_the_user() -> None:
    numbers = [1] * 20_000 + [8] * 10_000 + [30]
    case = build_case(numbers, periodic=True)
    assert set(case.atomic_numbers.tolist()) == {1, 8, 30}
    assert len(case.atomic_numbers) <= 64
    gaps = case.frames[0][:, None] - case.frames[0][None]
    gaps -= 9.6 * np.round(gaps / 9.6)
    lengths = np.linalg.norm(gaps, axis=-1)[~np.eye(len(gaps), dtype=bool)]
    assert lengths.min() > 1.2


def test_rare_ions_of_a_protein_in_brine_are_in_the_box() -> None:
    counts = {1: 17_000, 6: 1_300, 7: 350, 8: 8_200, 11: 20, 16: 4, 17: 18, 30: 1}
    numbers = [number for number, count in counts.items() for _ in range(count)]
    chosen = choose_atoms(numbers, 64).tolist()
    assert len(chosen) == 64 and set(chosen) == set(counts)
    assert 35 <= chosen.count(1) <= 42 and 17 <= chosen.count(8) <= 20


def test_the_box_is_full_for_one_molecule_and_for_every_element() -> None:
    assert [choose_atoms([8, 1, 1], 64).tolist().count(number) for number in (1, 8)] == [43, 21]
    assert len(choose_atoms(list(range(1, 90)), 64)) == 64


def test_the_case_is_always_the_same() -> None:
    one, other = build_case(WATER, True), build_case(WATER, True)
    np.testing.assert_array_equal(one.frames, other.frames)
