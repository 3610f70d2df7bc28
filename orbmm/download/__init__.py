"""Download files once, completely and within limits, and check them before they are used."""
