"""Names and shapes of the tensors that a network needs, and the family that a state dict belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from orbmm.checkpoints.architecture import Architecture
from orbmm.checkpoints.catalog import CheckpointRecord


def list_required_shapes(record: CheckpointRecord) -> Shapes:
    """Return the tensors of a model without its optional heads, by name."""
    size = record.architecture
    shapes = {**_list_embeddings(size), **_list_interactions(size), **_list_head("energy", size, 1)}
    shapes["heads.energy.reference.linear.weight"] = (118,)
    if record.kind == "direct":
        shapes |= _list_head("forces", size, 3)
    return shapes


def list_optional_shapes(record: CheckpointRecord) -> Shapes:
    """Return the tensors of the heads that a file of the model may lack, by name."""
    size = record.architecture
    shapes: dict[str, tuple[int, ...]] = {}
    if size.confidence_bins:
        shapes |= _list_perceptron("heads.confidence", _head_widths(size, size.confidence_bins))
        shapes["heads.confidence.bin_edges"] = (size.confidence_bins + 1,)
    if record.kind == "direct" and size.has_stress_head:
        shapes |= _list_perceptron("heads.stress", _head_widths(size, 6))
        shapes |= _list_normalizer("heads.stress.diag_normalizer") | _list_normalizer("heads.stress.offdiag_normalizer")
    return shapes


def _list_embeddings(size: Architecture) -> dict[str, tuple[int, ...]]:
    edge_features = size.radial_functions * (size.max_degree + 1) ** 2
    shapes: dict[str, tuple[int, ...]] = {
        "model.rbf_transform.bessel_weights": (size.radial_functions,),
        "model.rbf_transform.r_max": (),
        "model.rbf_transform.prefactor": (),
        "model.atom_emb.embeddings.weight": (119, size.latent_dim),
        **_list_normalized("model._encoder._node_fn", size.latent_dim, size),
        **_list_normalized("model._encoder._edge_fn", edge_features, size),
    }
    if size.charge_and_spin:
        shapes |= {f"model.conditioner.{what}_embedding.W": (size.latent_dim // 4,) for what in ("charge", "spin")}
    return shapes


def _list_interactions(size: Architecture) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for stack in (f"model.gnn_stacks.{layer}" for layer in range(size.layers)):
        for part in ("_node_mlp", "_edge_mlp"):
            shapes |= _list_normalized(f"{stack}.{part}", 3 * size.latent_dim, size)
        for gate in ("_receive_attn", "_send_attn"):
            shapes |= _list_linear(f"{stack}.{gate}", size.latent_dim, 1)
        if size.charge_and_spin:
            shapes |= _list_linear(f"{stack}._cond_node_proj", size.latent_dim, size.latent_dim)
    return shapes


def _list_head(name: str, size: Architecture, outputs: int) -> dict[str, tuple[int, ...]]:
    return {
        **_list_perceptron(f"heads.{name}", _head_widths(size, outputs)),
        **_list_normalizer(f"heads.{name}.normalizer"),
    }


def _head_widths(size: Architecture, outputs: int) -> list[int]:
    return [size.latent_dim, *[size.head_hidden_dim] * size.head_depth, outputs]


def _list_normalized(name: str, inputs: int, size: Architecture) -> dict[str, tuple[int, ...]]:
    """List the tensors of a perceptron that is followed by a norm."""
    widths = [inputs, *[size.mlp_hidden_dim] * size.mlp_depth, size.latent_dim]
    return {**_list_perceptron(name, widths), f"{name}.layer_norm.weight": (size.latent_dim,)}


def _list_perceptron(name: str, widths: list[int]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        shapes |= _list_linear(f"{name}.mlp.NN-{layer}", inputs, outputs)
    return shapes


def _list_linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _list_normalizer(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.bn.running_mean": (1,), f"{name}.bn.running_var": (1,)}


Shapes = Mapping[str, tuple[int, ...]]


def describe_family(shapes: Shapes) -> str:
    """Return a description of a network, such as "a direct Orb network, latent 256, hidden 1024, 5 layers"."""
    embedding = shapes.get("model.atom_emb.embeddings.weight", ())
    layers = {name.split(".")[2] for name in shapes if name.startswith("model.gnn_stacks.")}
    if len(embedding) != 2 or not layers:
        return "no Orb network"
    first = shapes.get("model.gnn_stacks.0._edge_mlp.mlp.NN-0.weight", ())
    size = [f"latent {embedding[1]}", *(f"hidden {width}" for width in first[:1]), f"{len(layers)} layers"]
    if "model.conditioner.charge_embedding.W" in shapes:
        size.append("charge and spin")
    return f"a {family_kind(shapes)} Orb network, {', '.join(size)}"


def family_kind(names: Iterable[str]) -> str:
    """Return "direct" if there is a force head, else "conservative"."""
    heads, gradients = False, False
    for name in names:
        heads |= name.startswith("heads.forces.")
        gradients |= name.startswith("grad_forces_normalizer.")
    return "direct" if heads and not gradients else "conservative"
