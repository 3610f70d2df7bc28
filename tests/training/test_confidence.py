"""Confidence: what its head learns, online and refitted, and how expected errors are compared with true ones."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training.conftest import CONSERVATIVE, DIRECT
from typer.testing import CliRunner, Result

from orbmm.checkpoints.record_in_file import read_record, read_training
from orbmm.cli.main import build_app
from orbmm.errors import TrainingError
from orbmm.model.load import load_model
from orbmm.model.network.orb import Orb
from orbmm.training import refit_confidence
from orbmm.training.batches import LabelledGraph, join_graphs, prepare_frame
from orbmm.training.calibration import compare_errors, measure_calibration
from orbmm.training.confidence import LEFT_OUT, compute_atom_errors, expect_errors, find_bins, require_head
from orbmm.training.dataset import Frame, write_frames
from orbmm.training.loop import _clip
from orbmm.training.losses import compute_confidence_loss
from orbmm.training.refit import split_groups

OXYGEN_ERROR, HYDROGEN_ERROR = 0.2, 0.05  # eV/Å
HEAD = "heads.confidence."


@pytest.fixture(scope="module", params=[CONSERVATIVE, DIRECT])
def potential(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    return load_model(request.param, device="cpu", precision="float32-highest")


@pytest.fixture
def graphs(potential, frames: list[Frame]) -> list[LabelledGraph]:  # type: ignore[no-untyped-def]
    """Waters whose labels are the network's own forces but for an error that only the element decides."""
    found = []
    for frame in frames:
        graph = prepare_frame(frame, potential.record)
        own = potential.network(join_graphs([graph]).graph, {"forces"}).forces.detach()
        size = torch.where(graph.atomic_numbers == 8, OXYGEN_ERROR, HYDROGEN_ERROR)[:, None]
        found.append(replace(graph, forces=own + size * torch.sign(own)))
    return found


def test_the_bin_of_an_error_is_the_one_between_its_edges() -> None:
    edges = torch.tensor([0.0, 0.1, 0.2, 0.3])
    errors = torch.tensor([0.0, 0.05, 0.1, 0.25, 0.3, 7.0])
    assert find_bins(errors, edges, "last bin").tolist() == [0, 0, 1, 2, 2, 2]
    assert find_bins(errors, edges, "left out").tolist() == [0, 0, 1, 2, LEFT_OUT, LEFT_OUT]


def test_the_loss_is_the_mean_information_of_the_true_bins(potential, graphs: list[LabelledGraph]) -> None:  # type: ignore[no-untyped-def]
    batch = join_graphs([graph for graph in graphs if graph.cell is None])
    far = replace(batch, forces=batch.forces.index_add(0, torch.tensor([0]), torch.full((1, 3), 9.0)))
    prediction = potential.network(batch.graph, {"forces", "confidence", "confidence_logits"})
    errors = (prediction.forces.detach() - far.forces).abs().mean(dim=1).double().numpy()
    edges = potential.network.get_buffer(f"{HEAD}bin_edges").double().numpy()
    bins = np.minimum(np.searchsorted(edges, errors, side="right") - 1, len(edges) - 2)
    information = -np.log(prediction.confidence.detach().double().numpy()[np.arange(len(bins)), bins])
    loss = {
        rule: float(compute_confidence_loss(potential.network, prediction, far, rule).detach())
        for rule in ("last bin", "left out")
    }
    assert loss["last bin"] == pytest.approx(information.mean(), rel=1e-5)
    assert loss["left out"] == pytest.approx(information[errors < edges[-1]].mean(), rel=1e-5)
    assert loss["left out"] != pytest.approx(loss["last bin"], rel=1e-2)


def test_the_head_teaches_the_rest_of_the_network_nothing(potential, graphs: list[LabelledGraph]) -> None:  # type: ignore[no-untyped-def]
    network = deepcopy(potential.network).requires_grad_(True).train()
    batch = join_graphs([graphs[0]])
    found = network(batch.graph, {"forces", "confidence_logits"})
    compute_confidence_loss(network, found, batch, "last bin").backward()
    touched = {name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert touched == {name for name, _ in network.named_parameters() if name.startswith(HEAD)}


def test_a_steep_head_does_not_shorten_the_step_of_the_rest() -> None:
    network = deepcopy(load_model(CONSERVATIVE, device="cpu").network).requires_grad_(True)
    for name, weight in network.named_parameters():
        weight.grad = torch.full_like(weight, 1e6 if name.startswith(HEAD) else 1e-6)
    _clip(network, 10.0)
    parts = [[w.grad for n, w in network.named_parameters() if n.startswith(HEAD) == own] for own in (True, False)]
    norms = [float(torch.cat([grad.ravel() for grad in part]).norm()) for part in parts]
    assert norms[0] == pytest.approx(10.0, rel=1e-3)
    assert all((grad == 1e-6).all() for grad in parts[1])


def test_a_refit_finds_the_errors_and_changes_nothing_else(potential, graphs: list[LabelledGraph]) -> None:  # type: ignore[no-untyped-def]
    network = deepcopy(potential.network)
    refit_confidence(network, graphs[:6])
    before, after = potential.network.state_dict(), network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if not name.startswith(f"{HEAD}mlp."))
    assert not network.training and not any(weight.requires_grad for weight in network.parameters())
    assert _expect_by_element(network, graphs[6:]) == pytest.approx((OXYGEN_ERROR, HYDROGEN_ERROR), abs=0.01)
    assert _expect_by_element(potential.network, graphs[6:]) != pytest.approx((OXYGEN_ERROR, HYDROGEN_ERROR), abs=0.01)


def _expect_by_element(network: Orb, graphs: list[LabelledGraph]) -> tuple[float, float]:
    atoms = compute_atom_errors(network, graphs)
    expected = expect_errors(require_head(network), atoms.features)
    oxygen = torch.cat([graph.atomic_numbers for graph in graphs]) == 8
    return float(expected[oxygen].mean()), float(expected[~oxygen].mean())


def test_errors_beyond_the_last_bin_are_expected_only_where_they_count(potential, graphs: list[LabelledGraph]) -> None:  # type: ignore[no-untyped-def]
    beyond = [
        replace(graph, forces=torch.where(graph.atomic_numbers[:, None] == 8, 10.0 * graph.forces + 9.0, graph.forces))
        for graph in graphs
    ]
    counted, left_out = deepcopy(potential.network), deepcopy(potential.network)
    refit_confidence(counted, beyond, "last bin")
    refit_confidence(left_out, beyond, "left out")
    assert _expect_by_element(counted, beyond)[0] > 0.28  # eV/Å; the last bin ends at 0.3
    assert _expect_by_element(left_out, beyond)[0] < 0.2
    far = [replace(graph, forces=graph.forces + 90.0) for graph in graphs]
    with pytest.raises(TrainingError, match="no atom to learn from"):
        refit_confidence(left_out, far, "left out")


def test_a_calibration_counts_by_hand() -> None:
    expected = np.array([0.01, 0.03, 0.17, 0.17, 0.25])
    true = np.array([0.02, 0.02, 0.10, 0.50, 0.90])
    found = compare_errors(expected, true, last_edge=0.3)
    assert (found.atoms, found.large, found.flagged) == (5, 2, 1.0)
    assert found.false_alarms == pytest.approx(1 / 3)
    assert found.ratio == pytest.approx(0.63 / 1.54)
    rows = [(one.begin_mev_per_angstrom, one.atoms, one.true_mev_per_angstrom) for one in found.bins]
    assert np.array(rows) == pytest.approx(np.array([(0, 1, 20), (20, 1, 20), (160, 2, 300), (240, 1, 900)]))
    assert found.rank == pytest.approx(9.0 / 9.5)  # Pearson's correlation of ranks 1 2 3.5 3.5 5, 1.5 1.5 3 4 5


def test_bins_are_monotonic_only_where_the_true_error_rises() -> None:
    expected = np.repeat([0.01, 0.05, 0.09, 0.13], [200, 200, 200, 5])
    rising = np.repeat([0.01, 0.05, 0.09, 0.0], [200, 200, 200, 5])
    assert compare_errors(expected, rising, 0.3).is_monotonic  # five atoms are not judged
    assert not compare_errors(expected, 0.1 - rising, 0.3).is_monotonic


def test_groups_are_split_and_never_a_frame_of_one(potential, graphs: list[LabelledGraph]) -> None:  # type: ignore[no-untyped-def]
    one, other = split_groups([*graphs, *graphs])
    assert len(one) == len(other) == 10 and not {g.group for g in one} & {g.group for g in other}
    alone = [replace(graph, group="same") for graph in graphs]
    assert [len(part) for part in split_groups(alone)] == [5, 5]


FILE = """
[model]
name = "mine"
level_of_theory = "invented"
[data]
training = ["frames.npz"]
energy_unit = "eV"
force_unit = "eV/Å"
validation_share = 0.4
[optimizer]
steps = {steps}
edges_per_batch = 200
[confidence]
refit = {refit}
{more}
[run]
output = "out"
"""


def _call(folder: Path, frames: list[Frame], **words: str) -> Result:
    write_frames(folder / "frames.npz", frames)
    text = FILE.format(**{"steps": "0", "refit": "true", "more": ""} | words)
    (folder / "training.toml").write_text(text, encoding="utf-8")
    return CliRunner().invoke(build_app(), ["train", str(folder / "training.toml")])


@pytest.fixture
def labelled(frames: list[Frame]) -> list[Frame]:
    """Frames with labels that are near the network's own: a wrong unit would be refused."""
    potential = load_model(CONSERVATIVE, device="cpu")
    found = []
    for index, frame in enumerate(frames):
        own = potential.predict(frame.atomic_numbers, frame.positions, frame.cell)
        noise = np.random.default_rng(index).normal(0.0, 0.1, own.forces.shape)
        found.append(replace(frame, energy=own.energy, forces=own.forces + noise))
    return found


def test_without_steps_only_the_confidence_is_refitted(labelled: list[Frame], tmp_path: Path) -> None:
    result = _call(tmp_path, labelled)
    assert result.exit_code == 0, result.output
    assert "held out, before" in result.output and "bins of the expected error" in result.output
    weights = load_file(tmp_path / "out" / "mine.safetensors")
    start = load_model(CONSERVATIVE, device="cpu").network.state_dict()
    changed = {name for name in start if not torch.equal(start[name], weights[name])}
    assert changed and all(name.startswith(f"{HEAD}mlp.") for name in changed)
    kept = json.loads((tmp_path / "out" / "confidence.json").read_text("utf-8"))
    read = read_training(tmp_path / "out" / "mine.safetensors")["confidence"]
    assert kept["after"] == read["calibration"] and kept["before"] != kept["after"]
    network = load_model(str(tmp_path / "out" / "mine.safetensors"), device="cpu", precision="float32-highest").network
    held = [prepare_frame(f, read_record(tmp_path / "out" / "mine.safetensors")) for f in labelled]
    assert measure_calibration(network, held).atoms > kept["after"]["held out"]["atoms"]
    assert "their confidence refitted" in read_record(tmp_path / "out" / "mine.safetensors").note


def test_a_training_ends_with_its_refit(labelled: list[Frame], tmp_path: Path) -> None:
    more = [replace(f, positions=f.positions + [1.0, 0.0, 0.0], group=f"other {i}") for i, f in enumerate(labelled)]
    write_frames(tmp_path / "more.npz", [replace(f, positions=1.01 * f.positions) for f in more])
    result = _call(tmp_path, labelled, steps="2", more='frames = ["more.npz"]')
    assert result.exit_code == 0, result.output
    kept = json.loads((tmp_path / "out" / "confidence.json").read_text("utf-8"))
    assert set(kept["after"]) == {"held out", "more frames"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"refit": "false"}, "nothing to do"),
        ({"refit": "false", "steps": "2", "more": 'frames = ["more.npz"]'}, "set refit = true"),
        ({"more": 'frames = ["absent.npz"]'}, "no such file"),
        ({"steps": "2", "more": 'frames = ["frames.npz"]'}, "held out"),
    ],
)
def test_a_refit_that_cannot_be_is_one_sentence(
    words: dict[str, str], said: str, labelled: list[Frame], tmp_path: Path
) -> None:
    result = _call(tmp_path, labelled, **words)
    assert result.exit_code == 2 and said in result.stderr and "Traceback" not in result.output
    assert result.stderr.count("\n") <= 2 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("patience", [0, 2])
def test_a_finished_training_is_not_changed_by_another_resume(
    patience: int, labelled: list[Frame], tmp_path: Path
) -> None:
    kept_files = ("mine.safetensors", "confidence.json", "validation.json")
    assert _call(tmp_path, labelled, steps="2").exit_code == 0
    settings, out = tmp_path / "training.toml", tmp_path / "out"
    if patience:
        shutil.rmtree(out)
        settings.write_text(settings.read_text("utf-8").replace("[run]", "[run]\npatience = 2"), encoding="utf-8")
        assert CliRunner().invoke(build_app(), ["train", str(settings)]).exit_code == 0
    before = [(out / name).read_bytes() for name in kept_files]
    result = CliRunner().invoke(build_app(), ["train", str(settings), "--resume"])
    assert result.exit_code == 0, result.output
    assert [(out / name).read_bytes() for name in kept_files] == before
    assert "held out, before" in result.output
