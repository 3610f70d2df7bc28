"""Build the System and the Context of a stage: masses, restraints, barostat, integrator and platform."""
