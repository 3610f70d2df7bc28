"""Copy trained weights into the package under the name of their catalogue entry.

    python scripts/embedded/ship_network.py training-data/proteins-direct orb-mini-direct-inf-proteins

The file keeps the account of its training: frames, settings, errors. Prints the sha256 that catalog.toml needs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from safetensors.torch import load_file, save_file

from orbmm.checkpoints.record_in_file import TRAINING_KEY, read_training

EMBEDDED = Path(__file__).parents[2] / "orbmm" / "checkpoints" / "embedded"
LARGEST_BYTES = 1_000_000


def ship(folder: Path, name: str, target: Path) -> Path:
    """Write the weights of a training into the target folder; the file."""
    (trained,) = folder.glob("*.safetensors")
    path = target / f"{name}.safetensors"
    save_file(load_file(trained), path, metadata={TRAINING_KEY: json.dumps(read_training(trained), sort_keys=True)})
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training", type=Path, help="folder of orbmm train")
    parser.add_argument("name", help="of the catalogue entry")
    arguments = parser.parse_args()
    shipped = ship(arguments.training, arguments.name, EMBEDDED)
    if shipped.stat().st_size > LARGEST_BYTES:
        parser.error(f"{shipped} has {shipped.stat().st_size} bytes, more than {LARGEST_BYTES}")
    print(f'sha256 = "{hashlib.sha256(shipped.read_bytes()).hexdigest()}"')
