"""The Orb-v3 network, from a record and a state dict to energy, forces, stress and confidence."""
