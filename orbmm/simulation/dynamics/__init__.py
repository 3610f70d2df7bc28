"""Move atoms and read their state: a Context, the thermometer, minimisation."""
