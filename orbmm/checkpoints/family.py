"""Which network of the Orb family the names and shapes of a state dict belong to, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Shapes = Mapping[str, tuple[int, ...]]


def describe_family(shapes: Shapes) -> str:
    """A network in words, such as "a direct Orb network, latent 256, hidden 1024, 5 layers"."""
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
    """ "direct" where a force head stands in place of force gradients, else "conservative"."""
    heads, gradients = False, False
    for name in names:
        heads |= name.startswith("heads.forces.")
        gradients |= name.startswith("grad_forces_normalizer.")
    return "direct" if heads and not gradients else "conservative"
