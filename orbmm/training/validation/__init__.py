"""Judge a network on frames that are held out: by its errors, and by short dynamics."""
