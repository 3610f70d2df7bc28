"""Costly observables in pieces, some frames at a time: here or on Dask workers, with results equal to the last bit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.reading.frames import Frames, TrajectoryFile, read_times
from orbmm.errors import AnalysisError, MissingDependency, quote_reason
from orbmm.local_workers import configure_dask, start_local_cluster

if TYPE_CHECKING:
    from distributed import Client

PIECES_PER_WORKER = 4  # of a chunk: few enough to send, enough for workers to end together
Part = TypeVar("Part")


@dataclass(frozen=True)
class Piece:
    """Frames without their topology, which would take longer to send than the coordinates.

    times: (F,) [ps]; xyz: (F, A, 3) float32 [nm]; boxes: (F, 3, 3) float32 rows [nm], None without boxes
    """

    times: NDArray[np.float64]
    xyz: NDArray[np.float32]
    boxes: NDArray[np.float32] | None

    @classmethod
    def of(cls, chunk: md.Trajectory) -> Piece:
        """Return the frames of a chunk."""
        return cls(read_times(chunk), chunk.xyz, chunk.unitcell_vectors)

    def __len__(self) -> int:
        return len(self.times)

    def cut(self, size: int) -> Iterator[Piece]:
        """Yield pieces of at most so many frames."""
        for first in range(0, len(self), size):
            rows = slice(first, first + size)
            yield Piece(self.times[rows], self.xyz[rows], None if self.boxes is None else self.boxes[rows])

    def iterate_frames(self) -> Iterator[tuple[float, NDArray[np.float64], NDArray[np.float64] | None]]:
        """Return time [ps], positions (A, 3) [nm] and box (3, 3) [nm] or None of each frame."""
        boxes = [None] * len(self) if self.boxes is None else self.boxes.astype(float)
        for time, positions, box in zip(self.times.tolist(), self.xyz, boxes, strict=True):
            yield time, positions.astype(float), box


@dataclass(frozen=True)
class Workers:
    """Dask workers that share frames.

    client: of a scheduler with so many workers; piece_frames: frames of a piece, None for a few pieces a worker
    """

    client: Client
    count: int
    piece_frames: int | None = None

    def map(self, function: Callable[[Piece], Part], pieces: Iterable[Piece]) -> Iterator[Part]:
        """Yield the results of the function for parts of all pieces, in the order of the frames.

        Raises what the function does, and AnalysisError where workers were lost.
        """
        from distributed import KilledWorker

        sent = self.client.scatter(function, broadcast=True, hash=False)  # once, not with each piece
        waiting: deque[Any] = deque()
        try:
            for piece in pieces:
                for part in piece.cut(self.piece_frames or -(-len(piece) // (PIECES_PER_WORKER * self.count))):
                    waiting.append(self.client.submit(_call, sent, part, pure=False))
                    if len(waiting) > 2 * PIECES_PER_WORKER * self.count:  # so many may lie in memory
                        yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except KilledWorker as error:
            raise AnalysisError(
                "the workers of the analysis ended again and again, perhaps for want of memory: take fewer --workers"
            ) from error


def _call(function: Callable[[Piece], Part], piece: Piece) -> Part:
    return function(piece)


def map_frames(frames: Frames, function: Callable[[Piece], Part], chunks: Iterable[md.Trajectory]) -> Iterator[Part]:
    """Yield the results of a function for chunks of frames, in their order: by the workers of the frames, else here.

    function: of a piece; what it finds in a frame must not depend on other frames. It must be one that pickle can send.
    """
    pieces = (Piece.of(chunk) for chunk in chunks)
    workers = frames.workers if isinstance(frames, TrajectoryFile) else None
    return map(function, pieces) if workers is None else workers.map(function, pieces)


@contextmanager
def open_workers(count: int | None) -> Iterator[Workers | None]:
    """Start so many worker processes, which end with the block; none for None.

    Raises MissingDependency without Dask.
    """
    if count is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingDependency(
            f"--workers needs the package distributed{quote_reason(error)}; "
            "install it with the extra `ensemble`: pip install 'orbmm[ensemble]', or leave --workers out"
        ) from error
    with configure_dask(), start_local_cluster(count) as cluster, Client(cluster) as client:
        yield Workers(client, count)
