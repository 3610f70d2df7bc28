"""Move atoms and read their state: Context, thermometer and minimisation."""
