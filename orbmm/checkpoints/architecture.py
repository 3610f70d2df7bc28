"""The size of an Orb-v3 network and the peculiarities of its published weights, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """The sizes that determine the shapes of a state dict; the defaults are the published network of 25.6 M parameters.

    latent_dim: width of node and edge features
    mlp_hidden_dim, mlp_depth: hidden layers of the encoder's and the interaction layers' perceptrons
    head_hidden_dim, head_depth: hidden layers of the heads' perceptrons
    layers: interaction layers
    radial_functions: Bessel functions, max_degree: highest degree of the spherical harmonics
    cutoff_angstrom: where envelope and Bessel functions end [Å]
    charge_and_spin: whether total charge and spin multiplicity condition every layer
    has_stress_head: direct models only; conservative stress always comes from the energy
    confidence_bins: bins of the confidence head, 0 for a network without one
    """

    latent_dim: int = 256
    mlp_hidden_dim: int = 1024
    mlp_depth: int = 2
    head_hidden_dim: int = 256
    head_depth: int = 1
    layers: int = 5
    radial_functions: int = 8
    max_degree: int = 3
    cutoff_angstrom: float = 6.0
    charge_and_spin: bool = False
    has_stress_head: bool = True
    confidence_bins: int = 50


@dataclass(frozen=True)
class Oddities:
    """Conventions of the published weights that differ from the textbook.

    zbl_number_offset: added to the atomic number Z for the ZBL charges and for the covalent radii (orb-models #169)
    zbl_aggregation: "sum" or "mean" over atoms of the ZBL energy; the published conservative v3 models use the mean
    subtracts_mean_force: direct forces are shifted to sum to zero
    removes_net_torque: direct forces of a system without a cell are made free of net torque
    """

    zbl_number_offset: int = 1
    zbl_aggregation: str = "sum"
    subtracts_mean_force: bool = True
    removes_net_torque: bool = True
