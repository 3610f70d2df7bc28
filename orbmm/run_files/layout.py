"""The files and folders of a run on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orbmm.errors import AnalysisError, UnsafeFile
from orbmm.files import read_file
from orbmm.settings.run import TRAJECTORY_FORMATS

LOCK_NAME = "run.lock"
TOPOLOGY_SUFFIXES = (".pdb", ".cif")
"""Of the files that name the atoms of a trajectory; mmCIF if a name does not fit the columns of a PDB file."""

INPUT_KEYS = (("system", "structure"), ("system", "state"), ("analysis", "reference"))
"""Settings that name an input file, of which a run keeps a copy."""

REASON_NAME = "reason.txt"
"""File in a folder of `rescue`: the sentence that says why the run was stopped."""

_LONGEST_REASON = 100_000  # bytes


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run."""

    path: Path

    @property
    def settings(self) -> Path:
        """Return the path of the resolved settings."""
        return self.path / "settings.toml"

    @property
    def record(self) -> Path:
        """Return the path of the record: weights, device, versions and inputs of the run."""
        return self.path / "run.json"

    @property
    def topology(self) -> Path:
        """Return the path of all atoms with the coordinates of frame 0: mmCIF if there is such a file, else PDB."""
        return self._find_structure("topology")

    @property
    def frame_topology(self) -> Path:
        """Return the path of the atoms in the trajectory, for a trajectory of selected atoms."""
        return self._find_structure("trajectory")

    @property
    def table(self) -> Path:
        """Return the path of the energies and temperatures of production."""
        return self.path / "energies.csv"

    @property
    def equilibration_table(self) -> Path:
        """Return the path of the energies and temperatures before production."""
        return self.path / "equilibration.csv"

    @property
    def confidence(self) -> Path:
        """Return the path of the expected force errors, atom by atom."""
        return self.path / "confidence.dat"

    @property
    def diagnosis(self) -> Path:
        """Return the path of what `orbmm diagnose` measured of the network, which not every run has."""
        return self.path / "analysis" / "diagnosis.json"

    @property
    def checkpoints(self) -> Path:
        """Return the folder that holds one folder per checkpoint."""
        return self.path / "checkpoints"

    @property
    def rescue(self) -> Path:
        """Return the folder for the last frames of a run that became unstable."""
        return self.path / "rescue"

    @property
    def inputs(self) -> Path:
        """Return the folder for copies of the input files."""
        return self.path / "input"

    @property
    def replaced_files(self) -> tuple[Path, ...]:
        """Return the paths of files that are replaced as a whole, not appended to."""
        names = ("topology", "trajectory")
        structures = [self.path / f"{name}{suffix}" for name in names for suffix in TOPOLOGY_SUFFIXES]
        return self.settings, self.record, *structures, self.confidence_header

    @property
    def confidence_header(self) -> Path:
        """Return the path of the description of the records in confidence.dat."""
        return self.confidence.with_suffix(".json")

    def trajectory(self, file_format: str) -> Path:
        """Return the path of the frames in one of TRAJECTORY_FORMATS."""
        return self.path / f"trajectory.{file_format}"

    def find_trajectory(self, file_format: str) -> Path:
        """Return the file that holds the frames: in the format given, or in another format if only that exists."""
        paths = [self.trajectory(name) for name in (file_format, *TRAJECTORY_FORMATS)]
        return next((path for path in paths if path.is_file()), paths[0])

    def read_reason(self) -> str | None:
        """Return the sentence that says why the run was stopped; None if it was not stopped, or was resumed since.

        `orbmm resume` renames the files with the sentences of earlier faults.
        """
        faults = sorted(self.rescue.glob(f"*/{REASON_NAME}"))
        try:
            return read_file(faults[-1], _LONGEST_REASON).decode("utf-8", errors="replace").strip() if faults else None
        except (OSError, UnsafeFile) as error:
            raise AnalysisError(
                f"{faults[-1]}: cannot be read as the reason for which the run stopped ({error})"
            ) from error

    def _find_structure(self, name: str) -> Path:
        return next((path for path in (self.path / f"{name}.cif",) if path.is_file()), self.path / f"{name}.pdb")
