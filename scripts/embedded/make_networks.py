"""Make the embedded networks of whole proteins, stage by stage; stopped and repeated, it goes on where it was.

    python scripts/embedded/make_networks.py --structures FOLDER_OF_PDB_FILES [--workers 2] [--until label]

Samples frames, labels them with `orbmm label` and trains with `orbmm train`. Everything lies in training-data/, which
git ignores; manifest.json there says what each file is: its command, frames and sha256. A stage whose file exists is
left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from orbmm.training.data.frames import read_frames

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / "training-data"
STAGES = ("sample", "label", "train")
HELD_OUT = "held-residues"
HELD_COMPLEXES = (
    "zn-his3-water",
    "zn-his3-hydroxide",
    "zn-cys4",
    "zn-his2-asp",
    "bicarbonate-in",
    "co2-in",
    "hydroxide-in",
)
NETWORKS = ("proteins-conservative", "proteins-direct")


@dataclass(frozen=True)
class Work:
    """One command and the file that it leaves."""

    stage: str
    target: Path
    command: tuple[str, ...]


def list_work(structures: Path | None, workers: int) -> list[Work]:
    """Return all commands in their order."""
    sources = {
        "residues": ("sample_frames.py", "--plan", "residues"),
        "salt": ("sample_frames.py", "--plan", "salt"),
        "peptides": ("sample_frames.py", "--plan", "training"),
        "folded": ("sample_frames.py", "--plan", "folded"),
        "distorted": ("sample_frames.py", "--plan", "distorted"),
        HELD_OUT: ("sample_frames.py", "--plan", "residues-held-out"),
        "complexes": ("sample_complexes.py",),
        "held-complexes": ("sample_complexes.py", "--repeat", "1", "--names", *HELD_COMPLEXES),
        "ions": (
            "push_ions.py",
            "--frames",
            *(str(FOLDER / f"{name}.npz") for name in ("salt", "residues", "complexes")),
        ),
        "fragments": ("sample_fragments.py", *(("--structures", str(structures)) if structures else ())),
        "protons": (
            "push_protons.py",
            "--frames",
            *(str(FOLDER / f"{name}.npz") for name in ("fragments", "residues", "peptides")),
        ),
    }
    work = []
    for name, (script, *options) in sources.items():
        target = FOLDER / f"{name}.npz"
        work.append(Work("sample", target, (sys.executable, str(HERE / script), str(target), *options)))
    for name in sources:
        target = FOLDER / f"{name}-labelled.npz"
        options = ("--calculator", "tblite:GFN1-xTB", "--workers", str(workers))
        work.append(Work("label", target, ("orbmm", "label", str(FOLDER / f"{name}.npz"), str(target), *options)))
    for name in NETWORKS:
        folder = FOLDER / name
        begun = ("--resume",) if (folder / "training.pt").exists() else ()
        command = ("orbmm", "train", str(HERE / f"{name}.toml"), *begun)
        work.append(Work("train", folder / "validation.json", command))
    return work


def note(work: Work, made: bool) -> None:
    """Write down in the manifest what a finished file is. made: by this script now; else its command is not known."""
    path = FOLDER / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    frames = len(read_frames(work.target)) if work.target.suffix == ".npz" else None
    digest = hashlib.sha256(work.target.read_bytes()).hexdigest()
    known = manifest.get(str(work.target.relative_to(FOLDER)), {})
    if not made and known.get("sha256") == digest:
        return
    command = " ".join(Path(word).name if word.startswith("/") else word for word in work.command) if made else None
    manifest[str(work.target.relative_to(FOLDER))] = {"command": command, "frames": frames, "sha256": digest}
    path.write_text(json.dumps(manifest, indent=1), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=Path, help="folder of <code>.pdb; absent: the Protein Data Bank")
    parser.add_argument("--workers", type=int, default=1, help="processes that label")
    parser.add_argument("--until", choices=STAGES, default="train", help="the last stage")
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    last = STAGES.index(arguments.until)
    structures = arguments.structures.resolve() if arguments.structures else None
    for work in list_work(structures, arguments.workers):
        if STAGES.index(work.stage) > last:
            continue
        made = not work.target.exists()
        if made:
            print(" ".join(work.command), flush=True)
            subprocess.run(work.command, check=True)
        note(work, made)
