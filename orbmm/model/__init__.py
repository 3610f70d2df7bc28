"""The Orb-v3 network: from a catalogue record and a state dict to energy, forces, stress and confidence."""
