"""The files and folders of a run on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orbmm.settings.run import TRAJECTORY_FORMATS

LOCK_NAME = "run.lock"
REASON_NAME = "reason.txt"
"""In a folder of `rescue`: the sentence that ended the run there."""


@dataclass(frozen=True)
class RunFolder:
    """All paths of one run."""

    path: Path

    @property
    def settings(self) -> Path:
        """The resolved settings."""
        return self.path / "settings.toml"

    @property
    def record(self) -> Path:
        """What the run was made with."""
        return self.path / "run.json"

    @property
    def topology(self) -> Path:
        """The atoms, with the coordinates of frame 0."""
        return self.path / "topology.pdb"

    @property
    def frame_topology(self) -> Path:
        """The atoms of the trajectory, where these are not all."""
        return self.path / "trajectory.pdb"

    @property
    def table(self) -> Path:
        """Energies and temperatures of production."""
        return self.path / "energies.csv"

    @property
    def equilibration_table(self) -> Path:
        """Energies and temperatures before production."""
        return self.path / "equilibration.csv"

    @property
    def confidence(self) -> Path:
        """What the model thinks of its forces, atom by atom."""
        return self.path / "confidence.dat"

    @property
    def checkpoints(self) -> Path:
        """One folder per checkpoint."""
        return self.path / "checkpoints"

    @property
    def rescue(self) -> Path:
        """What is kept of a run that went wrong."""
        return self.path / "rescue"

    @property
    def inputs(self) -> Path:
        """Copies of the files that the run was begun with."""
        return self.path / "input"

    @property
    def replaced_files(self) -> tuple[Path, ...]:
        """The files that are written anew as a whole."""
        return self.settings, self.record, self.topology, self.frame_topology, self.confidence_header

    @property
    def confidence_header(self) -> Path:
        """The description of the records of confidence.dat."""
        return self.confidence.with_suffix(".json")

    def trajectory(self, file_format: str) -> Path:
        """The frames, in one of TRAJECTORY_FORMATS."""
        return self.path / f"trajectory.{file_format}"

    def find_trajectory(self, file_format: str) -> Path:
        """Return the file that holds the frames: that of the settings, else of another format if it is there."""
        paths = [self.trajectory(name) for name in (file_format, *TRAJECTORY_FORMATS)]
        return next((path for path in paths if path.is_file()), paths[0])

    def read_reason(self) -> str | None:
        """Return the sentence of the fault that stopped the run; None if it was not stopped, or was resumed since.

        `orbmm resume` renames the sentences of earlier faults.
        """
        faults = sorted(self.rescue.glob(f"*/{REASON_NAME}"))
        return faults[-1].read_text(encoding="utf-8", errors="replace").strip() if faults else None
