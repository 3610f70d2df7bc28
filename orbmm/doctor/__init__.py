"""Check an installation without a network connection: what works, and what to do about the rest."""
