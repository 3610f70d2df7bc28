"""A cache folder of its own for every test, a weights server on this machine, and official-shaped state dicts."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest
import torch

Shapes = dict[str, tuple[int, ...]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test, not made yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ORBMM_CACHE", str(folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


@dataclass
class WeightsServer:
    """What the server on 127.0.0.1 answers, and how often it was asked.

    content: the bytes that it serves; announced: the length that it claims, if another
    status: the HTTP status; seconds: how long it thinks first
    """

    content: bytes
    announced: int | None = None
    status: int = 200
    seconds: float = 0.0
    url: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server(torch_file: bytes) -> Iterator[WeightsServer]:
    """A server of one true weights file."""
    says = WeightsServer(torch_file)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            says.asked.append(self.path)
            time.sleep(says.seconds)
            self.send_response(says.status)
            self.send_header("Content-Length", str(says.announced or len(says.content)))
            self.end_headers()
            self.wfile.write(says.content)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    says.url = f"http://127.0.0.1:{http.server_port}/orb-test.ckpt"
    yield says
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def torch_file() -> bytes:
    """What torch.save writes for a small state dict."""
    stream = io.BytesIO()
    torch.save({"heads.energy.mlp.NN-0.weight": torch.arange(6.0).reshape(2, 3)}, stream)
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
