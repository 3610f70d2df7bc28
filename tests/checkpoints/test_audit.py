"""Every tensor of a weights file is used, known as unused, of an extra head, or a reason to refuse the file."""

from __future__ import annotations

import logging

import pytest
import torch

from orbmm.checkpoints.state_dict import audit_state_dict
from orbmm.errors import CheckpointError

KINDS = pytest.mark.parametrize(
    "options",
    [
        {"kind": "direct"},
        {"kind": "conservative"},
        {"kind": "direct", "charge": True, "stress": False},
        {"kind": "conservative", "charge": True},
    ],
    ids=["direct", "conservative", "direct-omol", "conservative-omol"],
)


@KINDS
def test_all_that_an_official_file_holds_is_used_or_known(options, make_official):
    official = make_official(**options)
    audit = audit_state_dict(official.tensors, official.used)
    assert audit.used.keys() == official.used.keys()
    assert {*audit.used, *audit.unused} == official.tensors.keys()
    assert audit.extra_heads == ()


@KINDS
def test_the_shapes_of_these_tests_are_those_of_orb_models(options, make_official):
    pretrained = pytest.importorskip("orb_models.forcefield.pretrained")
    architecture = getattr(pretrained, f"orb_v3_{options['kind']}_architecture")
    charge = options.get("charge", False)
    theirs = architecture(
        16, 32, 2, 16, has_charge_spin_cond=charge, has_stress=options.get("stress", True), device="cpu"
    )
    ours = make_official(**options).tensors
    assert {name: tensor.shape for name, tensor in theirs.state_dict().items()} == {
        name: tensor.shape for name, tensor in ours.items()
    }


def test_the_published_size_passes(make_official):
    official = make_official(latent=256, hidden=1024)
    assert sum(tensor.numel() for tensor in official.tensors.values()) == pytest.approx(25.6e6, rel=0.005)
    audit_state_dict(official.tensors, official.used)


@KINDS
def test_a_file_that_lacks_any_one_used_tensor_is_refused(options, make_official):
    official = make_official(**options, layers=1)
    for name in official.used:
        rest = {other: tensor for other, tensor in official.tensors.items() if other != name}
        with pytest.raises(CheckpointError, match=rf"lack 1 of {len(official.used)} tensors \({name}\)"):
            audit_state_dict(rest, official.used)


@KINDS
def test_a_tensor_of_another_shape_is_refused(options, make_official):
    official = make_official(**options, layers=1)
    for name, shape in official.used.items():
        with pytest.raises(CheckpointError, match=f"another shape, such as {name}: "):
            audit_state_dict({**official.tensors, name: torch.rand(*shape, 2)}, official.used)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_used_tensor_that_is_not_finite_is_refused(value, make_official):
    official = make_official()
    official.tensors["model.gnn_stacks.3._send_attn.bias"] += value
    with pytest.raises(CheckpointError, match=r"NaN or infinity \(model.gnn_stacks.3._send_attn.bias\)"):
        audit_state_dict(official.tensors, official.used)


def test_an_unused_tensor_may_hold_anything(make_official):
    official = make_official()
    official.tensors["model._decoder.node_fn.mlp.NN-0.bias"] = torch.tensor(float("nan"))
    audit_state_dict(official.tensors, official.used)


@pytest.mark.parametrize("name", ["model.gnn_stacks.0._gate.weight", "optimizer.step", "heads.energy.scale", "extra"])
def test_an_unknown_tensor_is_refused(name, make_official):
    official = make_official()
    with pytest.raises(CheckpointError, match=rf"1 tensors that the network does not know \({name}\)"):
        audit_state_dict({**official.tensors, name: torch.ones(1)}, official.used)


def test_more_than_three_missing_tensors_are_counted_and_three_are_named(make_official):
    official = make_official()
    rest = {name: tensor for name, tensor in official.tensors.items() if "gnn_stacks.4." not in name}
    with pytest.raises(CheckpointError, match=r"lack 18 of \d+ tensors \(([^,]+, ){3}\.\.\.\): .*4 layers.*5 layers"):
        audit_state_dict(rest, official.used)


def test_extra_heads_are_listed_and_ignored(make_official, caplog):
    official = make_official("conservative")
    extra = {
        "heads.charges.mlp.NN-0.weight": torch.ones(2, 2),
        "heads.charges.normalizer.bn.running_mean": torch.ones(1),
    }
    with caplog.at_level(logging.INFO, "orbmm"):
        audit = audit_state_dict({**official.tensors, **extra}, official.used)
    assert audit.extra_heads == ("charges",)
    assert audit.used.keys() == official.used.keys()
    assert "charges" in caplog.text


def test_old_spellings_of_the_stress_normalisers_are_taken(make_official):
    official = make_official()
    old = {name.replace("_normalizer", "_normaliser") if "stress" in name else name: tensor
           for name, tensor in official.tensors.items()}  # fmt: skip
    assert old.keys() != official.tensors.keys()
    audit = audit_state_dict(old, official.used)
    assert torch.equal(
        audit.used["heads.stress.diag_normalizer.bn.running_var"],
        official.tensors["heads.stress.diag_normalizer.bn.running_var"],
    )


def test_a_normaliser_under_both_names_is_refused(make_official):
    official = make_official()
    official.tensors["heads.stress.diag_normaliser.bn.running_mean"] = torch.ones(1)
    with pytest.raises(CheckpointError, match="hold heads.stress.diag_normalizer.bn.running_mean twice"):
        audit_state_dict(official.tensors, official.used)


def split_head(shapes, head):
    inside = {name: shape for name, shape in shapes.items() if name.startswith(f"heads.{head}.")}
    return {name: shape for name, shape in shapes.items() if name not in inside}, inside


def test_an_optional_head_is_used_where_the_file_has_it_and_not_missed_where_not(make_official):
    official = make_official()
    required, confidence = split_head(official.used, "confidence")
    assert confidence.keys() <= audit_state_dict(official.tensors, required, confidence).used.keys()
    rest = {name: tensor for name, tensor in official.tensors.items() if name not in confidence}
    assert audit_state_dict(rest, required, confidence).used.keys() == required.keys()


def test_half_of_an_optional_head_is_refused(make_official):
    official = make_official()
    required, confidence = split_head(official.used, "confidence")
    del official.tensors["heads.confidence.mlp.NN-1.bias"]
    with pytest.raises(CheckpointError, match="heads.confidence.mlp.NN-1.bias"):
        audit_state_dict(official.tensors, required, confidence)


def test_counters_may_have_either_shape(make_official):
    official = make_official()
    for shape in ((), (1,)):
        official.tensors["heads.forces.normalizer.bn.num_batches_tracked"] = torch.ones(shape, dtype=torch.int64)
        audit_state_dict(official.tensors, official.used)


@pytest.mark.parametrize(
    ("given", "needed", "sentence"),
    [
        ({"kind": "direct"}, {"kind": "conservative"}, "got a direct Orb network.*expected a conservative Orb network"),
        ({"kind": "conservative"}, {"kind": "direct"}, "got a conservative Orb network.*expected a direct Orb network"),
        ({"latent": 16}, {"latent": 24}, "latent 16.*latent 24"),
        ({"hidden": 32}, {"hidden": 48}, "hidden 32.*hidden 48"),
        ({"layers": 6}, {"layers": 5}, "6 layers.*5 layers"),
        ({"charge": True}, {"charge": False}, "5 layers, charge and spin, expected .*5 layers; "),
        ({"charge": False}, {"charge": True}, "5 layers, expected .*5 layers, charge and spin; "),
    ],
)
def test_weights_of_another_network_are_refused_and_both_networks_are_described(given, needed, sentence, make_official):
    with pytest.raises(CheckpointError, match=sentence):
        audit_state_dict(make_official(**given).tensors, make_official(**needed).used)


def test_weights_of_something_else_are_recognised_as_such(make_official):
    with pytest.raises(CheckpointError, match="got no Orb network, expected a direct Orb network"):
        audit_state_dict({"conv1.weight": torch.rand(3, 3)}, make_official().used)


def test_a_conservative_file_with_an_additional_force_head_stays_conservative(make_official):
    official = make_official("conservative")
    official.tensors["heads.forces.mlp.NN-0.weight"] = torch.rand(2, 2)
    assert audit_state_dict(official.tensors, official.used).extra_heads == ("forces",)
