"""Join files of frames, labelled or not, into one; of equal structures the last one counts.

python scripts/embedded/join_frames.py training-data/own-second.npz training-data/own-*.npz
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from orbmm.training.data.checks import hash_structure
from orbmm.training.data.frames import Frame, read_frames, write_frames


def drop_repeated(frames: Iterable[Frame]) -> list[Frame]:
    """Return the frames without those whose structure comes again."""
    return list({hash_structure(frame): frame for frame in frames}.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    arguments = parser.parse_args()
    joined = drop_repeated(frame for path in arguments.files for frame in read_frames(path))
    write_frames(arguments.target, joined)
    print(f"written: {arguments.target} with {len(joined)} frames")
