"""How long, how hot and in what steps a run goes, and what it writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orbmm.errors import SettingsError
from orbmm.settings.field import Limits, check_fields, setting
from orbmm.settings.system import LARGEST_SEED

TRAJECTORY_FORMATS = ("xtc", "dcd")
PLATFORMS = ("auto", "CUDA", "HIP", "OpenCL", "CPU", "Reference")
_POSITIVE = Limits(above=0)


@dataclass(frozen=True)
class RunSettings:
    """The table [run]; every length of time is a whole number of time steps."""

    minimize: bool = setting("Whether the structure is relaxed before the first step.", True)
    minimize_iterations: int = setting("Most force evaluations spent on relaxing.", 200, Limits(at_least=1))
    temperature_kelvin: float = setting("Temperature of the Langevin bath [K].", 300.0, _POSITIVE)
    friction_per_ps: float | None = setting(
        "Langevin friction [1/ps]; absent: what the model needs, from its catalogue record.", None, _POSITIVE
    )
    timestep_fs: float = setting("Length of a time step [fs].", 0.5, Limits(above=0, at_most=10))
    length_ps: float = setting("Total length of the run, resumed parts included [ps].", 1.0, _POSITIVE)
    frame_every_fs: float = setting("Time between two frames of the trajectory [fs].", 10.0, _POSITIVE)
    table_every_fs: float = setting("Time between two rows of energies.csv [fs].", 10.0, _POSITIVE)
    checkpoint_every_ps: float = setting("Time between two checkpoints [ps].", 0.5, _POSITIVE)
    trajectory: str = setting("File format of the trajectory.", "xtc", Limits(choices=TRAJECTORY_FORMATS))
    seed: int = setting("Seed of velocities and bath.", 1, Limits(at_least=1, at_most=LARGEST_SEED))
    platform: str = setting("OpenMM platform; auto is the fastest that works.", "auto", Limits(choices=PLATFORMS))
    output: Path | None = setting("Run folder; absent: runs/<name> where the command is given.", None)

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("length_ps", "checkpoint_every_ps", "frame_every_fs", "table_every_fs"):
            self._count_steps(name)

    @property
    def total_steps(self) -> int:
        """Time steps in the whole run."""
        return self._count_steps("length_ps")

    @property
    def steps_per_frame(self) -> int:
        """Time steps between two frames."""
        return self._count_steps("frame_every_fs")

    @property
    def steps_per_row(self) -> int:
        """Time steps between two rows of the table."""
        return self._count_steps("table_every_fs")

    @property
    def steps_per_checkpoint(self) -> int:
        """Time steps between two checkpoints."""
        return self._count_steps("checkpoint_every_ps")

    def _count_steps(self, name: str) -> int:
        time_fs = getattr(self, name) * (1000.0 if name.endswith("_ps") else 1.0)
        steps = round(time_fs / self.timestep_fs)
        if steps < 1 or abs(steps * self.timestep_fs - time_fs) > 1e-6 * time_fs:
            raise SettingsError(
                f"{name} is {getattr(self, name)!r}, "
                f"but must be a whole number of time steps of {self.timestep_fs:g} fs (timestep_fs)"
            )
        return steps
