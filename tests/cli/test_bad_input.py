"""What a person gets wrong on the command line ends with exit code 2 and one line that names it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orbmm.cli.main import build_app

WATER = """\
CRYST1   18.000   18.000   18.000  90.00  90.00  90.00 P 1           1
HETATM    1  O   HOH A   1       0.000   0.000   0.000  1.00  0.00           O
HETATM    2  H1  HOH A   1       0.957   0.000   0.000  1.00  0.00           H
HETATM    3  H2  HOH A   1      -0.240   0.927   0.000  1.00  0.00           H
END
"""
SYSTEM = '[system]\nname = "water"\nstructure = "water.pdb"\n'


def write_inputs(folder: Path) -> None:
    """Files that are wrong, each in its own way, and a sound one beside them."""
    files = {
        "water.pdb": WATER,
        "good.toml": SYSTEM,
        "empty.toml": "",
        "no-toml.toml": "[system\n",
        "unknown-table.toml": SYSTEM + "[runn]\n",
        "unknown-key.toml": SYSTEM + "[run]\nlenght_ps = 1.0\n",
        "wrong-type.toml": SYSTEM + '[run]\nlength_ps = "1 ps"\n',
        "negative-step.toml": SYSTEM + "[run]\ntimestep_fs = -0.5\n",
        "long-step.toml": SYSTEM + "[run]\ntimestep_fs = 2.0\n",
        "broken-step.toml": SYSTEM + "[run]\nlength_ps = 0.00025\n",
        "cold.toml": SYSTEM + "[run]\ntemperature_kelvin = 0.0\n",
        "platform.toml": SYSTEM + '[run]\nplatform = "Cuda"\n',
        "stage.toml": SYSTEM + '[[stage]]\nkind = "produze"\nlength_ps = 1.0\n',
        "model.toml": SYSTEM + '[model]\nname = "orb-v3-direct-inf-omta"\n',
        "precision.toml": SYSTEM + '[model]\nprecision = "float8"\n',
        "memory.toml": SYSTEM + '[model]\nmemory = "laen"\n',
        "block.toml": SYSTEM + "[model]\nedges_per_block = 0\n",
        "gpu.toml": SYSTEM + '[model]\ndevice = "cuda:9"\n',
        "charge.toml": SYSTEM + "[model]\ncharge = 1\n",
        "omol.toml": SYSTEM + '[model]\nname = "orb-v3-direct-omol"\n',
        "gone.toml": SYSTEM.replace("water.pdb", "gone.pdb"),
        "no-structure.toml": '[system]\nname = "water"\n',
        "zinc.toml": SYSTEM.replace("water.pdb", "zinc.pdb"),
        "zinc.pdb": WATER.replace("END", "HETATM    4 ZN    ZN B   1       5.000   5.000   5.000  1.00  0.00          ZN\nEND"),
        "overlap.toml": SYSTEM.replace("water.pdb", "overlap.pdb") + "[run]\nminimize = false\n",
        "overlap.pdb": WATER.replace("0.957   0.000   0.000", "0.001   0.000   0.000"),
        "nan.toml": SYSTEM.replace("water.pdb", "nan.pdb"),
        "nan.pdb": WATER.replace("   0.957", "     nan"),
        "text.toml": SYSTEM.replace("water.pdb", "text.pdb"),
        "text.pdb": "no atoms here\n",
        "weights.toml": SYSTEM + '[model]\nweights = "torn.safetensors"\n',
        "torn.safetensors": "torn",
        "residue.pdb": WATER.replace("HOH A   1", "XYZ A   1"),
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "folder").mkdir()


BAD = {
    "run nowhere.toml": "nowhere.toml",
    "run folder": "folder",
    "run empty.toml": "system",
    "run no-toml.toml": "no-toml.toml",
    "run unknown-table.toml": "did you mean 'run'",
    "run unknown-key.toml": "did you mean 'length_ps'",
    "run wrong-type.toml": "length_ps",
    "run negative-step.toml": "timestep_fs",
    "run long-step.toml": "hydrogen",
    "run broken-step.toml": "whole number of time steps",
    "run cold.toml": "temperature_kelvin",
    "run platform.toml": "known: CPU, CUDA",
    "run stage.toml": "produce",
    "run model.toml": "did you mean 'orb-v3-direct-inf-omat'",
    "run precision.toml": "precision",
    "run memory.toml": "'lean'",
    "run block.toml": "edges_per_block",
    "run gpu.toml": "cuda:9",
    "run charge.toml": "takes no charge",
    "run omol.toml": "needs charge and multiplicity",
    "run gone.toml": "gone.pdb",
    "run no-structure.toml": "orbmm prepare",
    "run zinc.toml": "Zn",
    "run overlap.toml": "on top of each other",
    "run nan.toml": "finite",
    "run text.toml": "no atoms",
    "run weights.toml": "torn.safetensors",
    "run good.toml --length-ps -1": "length_ps",
    "run good.toml --max-hours 0": "max-hours",
    "resume folder": "folder",
    "resume nowhere": "nowhere",
    "analyze nowhere": "nowhere",
    "analyze folder": "folder",
    "report folder": "folder",
    "prepare nowhere.pdb": "nowhere.pdb",
    "prepare text.pdb": "text.pdb",
    "prepare water.pdb --ph 20": "ph",
    "prepare water.pdb --box sphere": "box",
    "prepare water.pdb --padding-nm -1": "padding_nm",
    "prepare residue.pdb": "keep_heterogens",
    "estimate nowhere.toml": "nowhere.toml",
    "estimate good.toml --device cuda:9": "cuda:9",
    "benchmark nowhere.toml": "nowhere.toml",
    "models orb-v3-direct-inf-omta": "did you mean 'orb-v3-direct-inf-omat'",
}


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", BAD)
@pytest.mark.usefixtures("inputs")
def test_it_is_named_in_one_line(words: str) -> None:
    result = CliRunner().invoke(build_app(), words.split())
    assert result.exit_code == 2, (result.output, result.exception)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning")]
    assert len(lines) == 1, result.stderr
    assert BAD[words] in lines[0]


@pytest.mark.parametrize("words", ["run unknown-key.toml", "run gpu.toml", "prepare nowhere.pdb", "resume nowhere"])
def test_a_process_ends_the_same_way(words: str, inputs: Path) -> None:
    command = [str(Path(sys.executable).parent / "orbmm"), *words.split()]
    done = subprocess.run(command, cwd=inputs, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert BAD[words] in done.stderr
