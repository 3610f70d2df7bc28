"""Stop an unstable run with an error before faulty frames are written, and save frames that help to find the cause."""
