"""The table [run]: length, temperature, time step and output intervals; [[stage]] tables override it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orbmm.settings.field import Limits, check_fields, list_marked, setting
from orbmm.settings.system import LARGEST_SEED
from orbmm.settings.time_step import count_steps

TRAJECTORY_FORMATS = ("xtc", "dcd")
PLATFORMS = ("auto", "CUDA", "HIP", "OpenCL", "CPU", "Reference")
_POSITIVE = Limits(above=0)
LENGTH = Limits(above=0, at_most=1e9)  # a millisecond; a larger value is probably in another unit


@dataclass(frozen=True)
class RunSettings:
    """The table [run]. Every length of time is a whole number of time steps."""

    minimize: bool = setting("Minimise the structure before the first step.", True, fixed=True)
    minimize_iterations: int = setting(
        "Maximum number of force evaluations of the minimisation.", 200, Limits(at_least=1)
    )
    temperature_kelvin: float = setting("Temperature of the Langevin bath [K].", 300.0, _POSITIVE)
    friction_per_ps: float | None = setting(
        "Langevin friction [1/ps]; absent: the value in the model's catalogue record.", None, _POSITIVE
    )
    timestep_fs: float = setting("Length of a time step [fs].", 0.5, Limits(above=0, at_most=10), fixed=True)
    outer_steps: int | None = setting(
        "With `fast` of [model]: time steps between two corrections by the conservative model; absent: 2.",
        None,
        Limits(at_least=1),
        fixed=True,
    )
    hydrogen_mass_amu: float | None = setting(
        "Mass of every hydrogen, taken from the atom it is bonded to; absent: the usual mass [g/mol].",
        None,
        Limits(at_least=1, at_most=4),
        fixed=True,
    )
    diagnosis: Path | None = setting(
        "File of `orbmm diagnose --long-step --json FILE` for this model and these atoms. If the long step passed, "
        "2 fs with hydrogens of 4 g/mol are allowed; absent: none.",
        None,
        fixed=True,
    )
    length_ps: float = setting("Total length of production, including resumed parts [ps].", 1.0, LENGTH)
    frame_every_fs: float = setting(
        "Time between two frames of the trajectory [fs].", 10.0, _POSITIVE, fixed=True, interval=True
    )
    table_every_fs: float = setting(
        "Time between two rows of energies.csv [fs].", 10.0, _POSITIVE, fixed=True, interval=True
    )
    confidence_every_fs: float | None = setting(
        "Time between two records of confidence.dat; 0: none; absent: 10 frames, if the model has a confidence head "
        "[fs].",
        None,
        Limits(at_least=0),
        fixed=True,
        interval=True,
    )
    checkpoint_every_ps: float = setting("Time between two checkpoints [ps].", 0.5, _POSITIVE, interval=True)
    trajectory: str = setting("File format of the trajectory.", "xtc", Limits(choices=TRAJECTORY_FORMATS), fixed=True)
    frame_atoms: str = setting(
        'Atoms in the trajectory: "all", "solute", "solute heavy", "backbone" or any mdtraj selection.',
        "all",
        fixed=True,
    )
    show_rmsd: str | None = setting(
        "Atoms whose RMSD from the start is shown with the progress, as a selection; absent: none.", None
    )
    seed: int = setting("Seed of the velocities and the heat bath.", 1, Limits(at_least=1, at_most=LARGEST_SEED))
    platform: str = setting("OpenMM platform; auto: the fastest that works.", "auto", Limits(choices=PLATFORMS))
    output: Path | None = setting("Run folder; absent: runs/<name> in the current folder.", None)

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("length_ps", *self.intervals):
            self.count_steps(name)

    @property
    def intervals(self) -> tuple[str, ...]:
        """Return the names of the times between two entries of a file, without those that are absent or 0."""
        return tuple(name for name in list_marked(type(self), "interval") if getattr(self, name))

    @property
    def total_steps(self) -> int:
        """Return the number of time steps in a run without stages."""
        return self.count_steps("length_ps")

    def count_steps(self, name: str, timestep_fs: float | None = None) -> int:
        """Return the number of time steps in the setting `name`; `timestep_fs` is that of [run] unless given."""
        return count_steps(name, getattr(self, name), timestep_fs or self.timestep_fs)
