"""scripts/study/charge_conditioned.py compares networks with and without charge, and keeps what is held out apart."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from orbmm.checkpoints.catalog import find_record
from orbmm.training.data.batches import join_graphs, prepare_frame
from orbmm.training.data.frames import Frame, write_frames

WATER = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
EV_PER_E = 1.0


NARROW = {"latent_dim": 16, "mlp_hidden_dim": 16, "head_hidden_dim": 16, "layers": 1}


@pytest.fixture
def script(load_script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with networks that train in seconds."""
    script = load_script("scripts/study/charge_conditioned.py")
    record = find_record(script.SIZE)
    narrow = replace(record, architecture=replace(record.architecture, **NARROW))
    monkeypatch.setattr(script, "find_record", lambda name: narrow)
    return script


def make_waters(group: str, charges: tuple[int, ...], seed: int) -> list[Frame]:
    """Waters on springs, whose energy depends on a charge that their atoms do not show; an absent charge is 0."""
    random = np.random.default_rng(seed)
    frames = []
    for charge in charges:
        moved = random.normal(0.0, 0.05, WATER.shape)
        energy = -157.0 + 5.0 * float((moved**2).sum()) + EV_PER_E * charge
        labels = {"energy": energy, "forces": -10.0 * moved}
        peptide = np.zeros(3, dtype=bool)
        frames.append(Frame(np.array([8, 1, 1]), WATER + moved, None, peptide, group, charge=charge or None, **labels))
    return frames


def add_atom(frames: list[Frame], atomic_number: int) -> list[Frame]:
    """Add an atom, 3 Å from the oxygen."""
    return [
        replace(
            frame,
            atomic_numbers=np.append(frame.atomic_numbers, atomic_number),
            positions=np.vstack([frame.positions, [0.0, 0.0, 3.0]]),
            forces=np.vstack([frame.forces, np.zeros(3)]),
            peptide=np.zeros(4, dtype=bool),
        )
        for frame in frames
    ]


def make_arguments(folder: Path, steps: int) -> argparse.Namespace:
    return argparse.Namespace(
        frames=folder,
        work=folder / "work",
        to=folder / "to" / "charge.json",
        steps=steps,
        learning_rate=1e-2,
        edges=100,
        every=1,
        seeds=[1],
    )


def test_only_the_network_with_charge_learns_an_energy_of_the_charge_alone(script: ModuleType, tmp_path: Path) -> None:
    write_frames(tmp_path / "learned.npz", make_waters("learned", (-2, 0, 2) * 20, 1))
    write_frames(tmp_path / "held.npz", make_waters("held", (-2, 0, 2) * 6, 2))
    learned, held = (script.read_charged(tmp_path / f"{name}.npz") for name in ("learned", "held"))
    found = {}
    for arm in (script.WITHOUT, script.WITH):
        weights = script.train_arm(script.make_settings(make_arguments(tmp_path, 150), arm, 1), arm, learned)
        found[arm] = script.fit_charge(script.measure(weights, held))["ev_per_e"]
        other = script.fit_charge(script.measure(weights, held, other=True))["ev_per_e"]
        assert other == pytest.approx(-EV_PER_E, abs=0.3)  # a charge of 0 or 1 is none of -2 and 2
    assert found[script.WITHOUT] == pytest.approx(-EV_PER_E, abs=0.1)  # it answers the mean, whatever the charge
    assert found[script.WITH] == pytest.approx(0.0, abs=0.1)


def test_both_networks_begin_as_one_function(script: ModuleType, tmp_path: Path) -> None:
    write_frames(tmp_path / "few.npz", make_waters("few", (-2, 0, 2), 1))
    frames = script.read_charged(tmp_path / "few.npz")
    answers = []
    for arm in (script.WITHOUT, script.WITH):
        start = script.begin(script.make_settings(make_arguments(tmp_path, 1), arm, 1), arm, frames)
        graph = join_graphs([prepare_frame(frame, start.record) for frame in frames]).graph
        assert (graph.charges is None) == (arm == script.WITHOUT)
        answers.append(start.network(graph, frozenset({"energy", "forces"})))
    assert torch.equal(answers[0].energy, answers[1].energy) and torch.equal(answers[0].forces, answers[1].forces)
    projections = [one for name, one in start.network.named_parameters() if "_cond_node_proj.weight" in name]
    with torch.no_grad():
        projections[0].fill_(0.1)  # from here on the charge counts
    changed = start.network(graph, frozenset({"energy"})).energy - answers[1].energy
    assert len(set(changed.tolist())) == 3


def test_frames_of_a_trajectory_and_fragments_of_a_protein_are_on_one_side(script: ModuleType) -> None:
    names = [f"water-{number}" for number in range(10)]
    fragments = ["1l2y-ph7-fragment-trp-6", "1l2y-ph2.5-fragment-hoh-60", "5pti-ph7-fragment-arg-1"]
    frames = [frame for seed, name in enumerate([*names, *fragments]) for frame in make_waters(name, (0, 0), seed)]
    data = script.hold_out([frames])
    held = {frame.group for frame in data.validation}
    assert held == {"water-1", "water-6", *fragments[:2]}
    assert not held & {frame.group for frame in data.training}
    assert len(data.training) + len(data.validation) == len(frames)


@pytest.mark.parametrize(
    ("atomic_number", "charge", "kind"),
    [
        (30, 2, "zinc complexes"),
        (11, 1, "salt in water"),
        (7, -1, "residues"),
        (6, 0, "carbon dioxide, bicarbonate, hydroxide"),
        (8, -2, "carbon dioxide, bicarbonate, hydroxide"),
        (8, 0, "water"),
    ],
)
def test_a_frame_is_named_by_what_is_in_it(script: ModuleType, atomic_number: int, charge: int, kind: str) -> None:
    (frame,) = add_atom(make_waters("any", (charge,), 1), atomic_number)
    assert script.name_kind(replace(frame, charge=charge)) == kind


def test_a_charge_with_an_odd_number_of_electrons_is_refused(script: ModuleType, tmp_path: Path) -> None:
    write_frames(tmp_path / "odd.npz", make_waters("odd", (1,), 1))
    with pytest.raises(SystemExit, match=r"odd\.npz, frame 0: has an odd number of electrons with charge \+1"):
        script.read_charged(tmp_path / "odd.npz")


def test_the_script_writes_prints_and_goes_on(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = {"residues": "drop", "salt": "salt", "complexes": "zn", "fragments": "1l2y-ph7-fragment-trp"}
    for seed, (name, group) in enumerate(groups.items()):
        frames = [*make_waters(f"{group}-0", (0,) * 3, 2 * seed), *make_waters(f"{group}-1", (-2, 2), 2 * seed + 1)]
        write_frames(tmp_path / f"{name}-labelled.npz", frames)
    write_frames(tmp_path / "held-residues-labelled.npz", make_waters("held-water", (0,), 99))
    script.main(make_arguments(tmp_path, 2))
    first = (tmp_path / "to" / "charge.json").read_text(encoding="utf-8")
    kept = json.loads(first)
    assert set(kept["seeds"]["1"]) == {script.WITHOUT, script.WITH, script.OTHER}
    assert kept["training_frames"] == 9  # of three files the first trajectory; the protein is held out
    assert kept["seeds"]["1"][script.WITH]["errors"]["all, charged"]["frames"] == 8
    table = capsys.readouterr().out
    assert "| water, neutral | 4 |" in table
    state = (tmp_path / "work" / "with-charge-1" / "training.pt").stat().st_mtime_ns
    script.main(make_arguments(tmp_path, 2))
    assert (tmp_path / "to" / "charge.json").read_text(encoding="utf-8") == first
    assert (tmp_path / "work" / "with-charge-1" / "training.pt").stat().st_mtime_ns == state


def test_the_page_has_the_measured_numbers(script: ModuleType, repository: Path) -> None:
    seeds = json.loads((repository / "docs" / "training" / "charge.json").read_text(encoding="utf-8"))["seeds"]
    page = (repository / "docs" / "training.md").read_text(encoding="utf-8").splitlines()
    rows = script.format_table(seeds).splitlines()[2:]
    assert len(rows) == 13 and set(rows) <= set(page)
    for part, name in ((script.ALL, "all held-out frames"), (script.RESIDUES, "residues without ions or zinc")):
        fits = [seeds["1"][arm]["per_charge"][part] for arm in (script.WITHOUT, script.WITH)]
        cells = [f"{fit['ev_per_e']:.1f} ± {fit['standard_error']:.1f}" for fit in fits]
        assert f"| {name} | {cells[0]} | {cells[1]} |" in page
