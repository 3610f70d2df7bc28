"""A cache folder of its own for every test, a weights server on this machine, and official-shaped state dicts."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from oracles.web_server import WebServer, serve

from orbmm.checkpoints.architecture import Architecture
from orbmm.checkpoints.catalog import CheckpointRecord, find_record

Shapes = dict[str, tuple[int, ...]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test, not made yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ORBMM_CACHE", str(folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


@pytest.fixture
def server(torch_file: bytes) -> Iterator[WebServer]:
    """A server of one true weights file."""
    with serve(torch_file, "orb-test.ckpt") as says:
        yield says


@pytest.fixture
def small_record() -> CheckpointRecord:
    """A published model, but for its size: that of torch_file."""
    size = Architecture(latent_dim=16, mlp_hidden_dim=32, head_hidden_dim=16)
    return replace(find_record("orb-v3-direct-20-omat"), architecture=size)


@pytest.fixture
def torch_file(make_official: Callable[..., OfficialShaped]) -> bytes:
    """What torch.save writes for the state dict of a small network."""
    stream = io.BytesIO()
    torch.save(make_official().tensors, stream)
    return stream.getvalue()


def _mlp(name: str, sizes: list[int]) -> Shapes:
    shapes: Shapes = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        shapes[f"{name}.mlp.NN-{layer}.weight"] = (outputs, inputs)
        shapes[f"{name}.mlp.NN-{layer}.bias"] = (outputs,)
    return shapes


def _normalizer(name: str) -> Shapes:
    return {f"{name}.bn.running_mean": (1,), f"{name}.bn.running_var": (1,)}


def _list_used_shapes(kind: str, charge: bool, stress: bool, latent: int, hidden: int, layers: int) -> Shapes:
    """Name and shape of all that inference uses of an Orb-v3 network."""
    shapes: Shapes = {
        "model.rbf_transform.bessel_weights": (8,),
        "model.rbf_transform.r_max": (),
        "model.rbf_transform.prefactor": (),
        "model.atom_emb.embeddings.weight": (119, latent),
        **_mlp("model._encoder._node_fn", [latent, hidden, hidden, latent]),
        "model._encoder._node_fn.layer_norm.weight": (latent,),
        **_mlp("model._encoder._edge_fn", [128, hidden, hidden, latent]),
        "model._encoder._edge_fn.layer_norm.weight": (latent,),
    }
    if charge:
        shapes |= {f"model.conditioner.{what}_embedding.W": (latent // 4,) for what in ("charge", "spin")}
    for layer in range(layers):
        stack = f"model.gnn_stacks.{layer}"
        for part in ("_node_mlp", "_edge_mlp"):
            shapes |= _mlp(f"{stack}.{part}", [3 * latent, hidden, hidden, latent])
            shapes[f"{stack}.{part}.layer_norm.weight"] = (latent,)
        for gate in ("_receive_attn", "_send_attn"):
            shapes |= {f"{stack}.{gate}.weight": (1, latent), f"{stack}.{gate}.bias": (1,)}
        if charge:
            shapes |= {f"{stack}._cond_node_proj.weight": (latent, latent), f"{stack}._cond_node_proj.bias": (latent,)}
    shapes |= _mlp("heads.energy", [latent, latent, 1]) | _normalizer("heads.energy.normalizer")
    shapes["heads.energy.reference.linear.weight"] = (118,)
    shapes |= _mlp("heads.confidence", [latent, latent, 50]) | {"heads.confidence.bin_edges": (51,)}
    if kind == "direct":
        shapes |= _mlp("heads.forces", [latent, latent, 3]) | _normalizer("heads.forces.normalizer")
        if stress:
            shapes |= _mlp("heads.stress", [latent, latent, 6])
            shapes |= _normalizer("heads.stress.diag_normalizer") | _normalizer("heads.stress.offdiag_normalizer")
    return shapes


@dataclass
class OfficialShaped:
    """used: what inference needs; tensors: a random state dict with all that an official file holds besides."""

    used: Shapes
    tensors: dict[str, torch.Tensor]


@pytest.fixture
def make_official() -> Callable[..., OfficialShaped]:
    """Makes random state dicts with the names and (by default small) shapes of the published files."""

    def make(
        kind: str = "direct",
        charge: bool = False,
        stress: bool = True,
        latent: int = 16,
        hidden: int = 32,
        layers: int = 5,
    ) -> OfficialShaped:
        used = _list_used_shapes(kind, charge, stress, latent, hidden, layers)
        shapes = used | _mlp("model._decoder.node_fn", [latent, hidden, hidden, 3])
        if kind == "conservative":
            shapes |= _normalizer("grad_forces_normalizer") | _normalizer("grad_stress_normalizer")
        tensors = {name: torch.rand(shape) for name, shape in shapes.items()}
        tensors["model.rbf_transform.r_max"] = torch.tensor(6.0)  # the one number that a random file must get right
        for name in [name for name in shapes if name.endswith(".running_mean")]:
            shape = (1,) if name.startswith("heads.energy") else ()
            tensors[name.replace("running_mean", "num_batches_tracked")] = torch.ones(shape, dtype=torch.int64)
        return OfficialShaped(used, tensors)

    return make
