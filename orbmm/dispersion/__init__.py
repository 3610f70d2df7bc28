"""Dispersion D3(BJ) between atoms, for networks whose level of theory has none; in Å and eV."""
