"""The Orb-v3 network as the paper describes it: from an atom graph to energy, forces, stress and confidence."""
