"""What a person gets wrong on the command line ends with exit code 2 and one line that names it."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import safetensors.numpy
from typer.testing import CliRunner, Result

from orbmm.cli.main import build_app
from orbmm.errors import RunError
from orbmm.settings import SystemSettings
from orbmm.simulation import run as start_module

WATER = """\
CRYST1   18.000   18.000   18.000  90.00  90.00  90.00 P 1           1
HETATM    1  O   HOH A   1       0.000   0.000   0.000  1.00  0.00           O
HETATM    2  H1  HOH A   1       0.957   0.000   0.000  1.00  0.00           H
HETATM    3  H2  HOH A   1      -0.240   0.927   0.000  1.00  0.00           H
END
"""
ALTERED = "orb-v3-direct-inf-omat-20250404.ckpt"
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
        "kernels.toml": SYSTEM + '[model]\nkernels = "triton"\ndevice = "cpu"\n',
        "graphs.toml": SYSTEM + '[model]\ncuda_graphs = true\ndevice = "cpu"\n',
        "kernel.toml": SYSTEM + '[model]\nkernels = "tritan"\n',
        "block.toml": SYSTEM + "[model]\nedges_per_block = 0\n",
        "gpu.toml": SYSTEM + '[model]\ndevice = "cuda:9"\n',
        "charge.toml": SYSTEM + "[model]\ncharge = 1\n",
        "omol.toml": SYSTEM + '[model]\nname = "orb-v3-direct-omol"\n',
        "radical.toml": SYSTEM + '[model]\nname = "orb-v3-direct-omol"\ncharge = 1\nmultiplicity = 1\n',
        "small.toml": SYSTEM.replace("water.pdb", "small.pdb"),
        "small.pdb": WATER.replace("18.000", " 2.000"),
        "flat.toml": SYSTEM.replace("water.pdb", "flat.pdb"),
        "flat.pdb": WATER.replace("CRYST1   18.000", "CRYST1    0.000"),
        "nan-box.toml": SYSTEM.replace("water.pdb", "nan-box.pdb"),
        "nan-box.pdb": WATER.replace("CRYST1   18.000", "CRYST1      nan"),
        "angles.toml": SYSTEM.replace("water.pdb", "angles.pdb"),
        "angles.pdb": WATER.replace("90.00  90.00  90.00", "30.00  30.00 120.00"),
        "broken.toml": SYSTEM.replace("water.pdb", "broken.cif"),
        "broken.cif": "data_broken\nloop_\n_atom_sites.id\n1\n",
        "gone.toml": SYSTEM.replace("water.pdb", "gone.pdb"),
        "no-structure.toml": '[system]\nname = "water"\n',
        "zinc.toml": SYSTEM.replace("water.pdb", "zinc.pdb"),
        "zinc.pdb": WATER.replace(
            "END", "HETATM    4 ZN    ZN B   1       5.000   5.000   5.000  1.00  0.00          ZN\nEND"
        ),
        "overlap.toml": SYSTEM.replace("water.pdb", "overlap.pdb") + "[run]\nminimize = false\n",
        "overlap.pdb": WATER.replace("0.957   0.000   0.000", "0.001   0.000   0.000"),
        "nan.toml": SYSTEM.replace("water.pdb", "nan.pdb"),
        "nan.pdb": WATER.replace("   0.957", "     nan"),
        "text.toml": SYSTEM.replace("water.pdb", "text.pdb"),
        "text.pdb": "no atoms here\n",
        "weights.toml": SYSTEM + '[model]\nweights = "torn.safetensors"\n',
        "torn.safetensors": "torn",
        "residue.pdb": WATER.replace("HOH A   1", "XYZ A   1"),
        "pressure.toml": SYSTEM.replace("water.pdb", "vacuum.pdb")
        + '[[stage]]\nkind = "produce"\npressure_bar = 1.0\n',
        "vacuum.pdb": WATER.partition("\n")[2],
        "absent.toml": SYSTEM + '[run]\nplatform = "HIP"\n',
        "reference.toml": SYSTEM + '[analysis]\nreference = "gone.pdb"\n',
        "folder.toml": SYSTEM.replace("water.pdb", "folder"),
        "state.toml": SYSTEM + 'state = "water.pdb"\n',
        "short.toml": SYSTEM + '[model]\nweights = "short.safetensors"\n',
        "altered.toml": SYSTEM + '[model]\nname = "orb-v3-direct-inf-omat"\n',
        f"cache/weights/{ALTERED}": "\x80 these are not what came first",
        f"cache/weights/{ALTERED}.sha256": f"{'0' * 64}  {ALTERED}\n",
        "taken/note.txt": "somebody else's",
        "damaged/settings.toml": SYSTEM,
        "damaged/run.json": '{"settings": ',
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "folder").mkdir()
    whole = safetensors.numpy.save({"scale": np.zeros(100, dtype=np.float32)})
    (folder / "short.safetensors").write_bytes(whole[:-100])


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
    "run kernels.toml": "'triton' need a CUDA device, got cpu",
    "run kernel.toml": "'triton'",
    "run graphs.toml": "CUDA graphs need a CUDA device, got cpu: remove cuda_graphs",
    "run gpu.toml": "cuda:9",
    "run charge.toml": "takes no charge",
    "run omol.toml": "needs charge and multiplicity",
    "run radical.toml": "9 electrons have an even multiplicity, at least 2",
    "run small.toml": "leaves 2.7 Å³ to each of 3 atoms",
    "run flat.toml": "flat.pdb: CRYST1 in line 1 gives no possible box: 0.000 18.000 18.000 90.00",
    "run nan-box.toml": "nan-box.pdb: CRYST1 in line 1 gives no possible box: nan 18.000",
    "run angles.toml": "angles.pdb: CRYST1 in line 1 gives no possible box: 18.000 18.000 18.000 30.00 30.00 120.00",
    "run broken.toml": "broken.cif: no atoms can be read from this .cif file; is the file complete",
    "run gone.toml": "gone.pdb",
    "run no-structure.toml": "orbmm prepare",
    "run zinc.toml": "Zn",
    "run overlap.toml": "on top of each other",
    "run nan.toml": "finite",
    "run text.toml": "no atoms",
    "run weights.toml": "torn.safetensors",
    "run folder.toml": "is a folder",
    "run state.toml": "not the XML of an OpenMM State",
    "run short.toml": "weights={here}/short.safetensors is torn",
    "run altered.toml": "was altered",
    "run pressure.toml": "the structure has no box",
    "run absent.toml": "available: ",
    "run reference.toml": "analysis.reference is {here}/gone.pdb, but there is no such file",
    "run good.toml --output taken": "taken is not empty",
    "run good.toml --output water.pdb": "choose another --output",
    "run good.toml --output water.pdb/run": "Not a directory",
    "run good.toml --log folder": "log file folder",
    "run good.toml --weights gone.ckpt": "gone.ckpt does not exist",
    "run good.toml --steps five": "'--steps'",
    "run good.toml --steps 0": "--steps is 0",
    f"run good.toml --steps {10**400}": "--steps is a whole number of 1329 bits, but must be at least 1 and at most",
    "run good.toml --stps 5": "--steps",
    "run good.toml twice.toml": "twice.toml",
    "run good.toml --steps": "requires an argument; see root run --help",
    "run": "Missing argument 'SYSTEM.toml'",
    "--quiett run good.toml": "--quiett",
    "simulate good.toml": "did you mean 'estimate'",
    "run good.toml --length-ps -1": "length_ps",
    "run good.toml --max-hours 0": "max-hours",
    "resume folder": "folder",
    "resume nowhere": "nowhere",
    "resume damaged": "run.json is damaged",
    "resume taken": "not a run folder",
    "resume damaged --extend 1": "1ns",
    "analyze nowhere": "nowhere",
    "analyze folder": "folder",
    "analyze folder --every-s 0": "0.1",
    "analyze --trajectory water.pdb": "--topology",
    "report --trajectory gone.xtc --topology water.pdb": "gone.xtc",
    "report folder": "folder",
    "prepare nowhere.pdb": "nowhere.pdb",
    "prepare pdb:2CBA": "cannot be downloaded",
    "prepare folder": "'folder'",
    "prepare water.pdb --output water.pdb": "Not a directory",
    "prepare text.pdb": "text.pdb",
    "prepare water.pdb --ph 20": "ph",
    "prepare water.pdb --box sphere": "box",
    "prepare water.pdb --padding-nm -1": "padding_nm",
    "prepare residue.pdb": "keep_heterogens",
    "estimate nowhere.toml": "nowhere.toml",
    "estimate good.toml --device cuda:9": "cuda:9",
    "benchmark nowhere.toml": "nowhere.toml",
    "benchmark --device cpu --cuda-graphs": "CUDA graphs need a CUDA device, got cpu",
    "benchmark --device cpu --compile --cuda-graphs": "compile, or cuda_graphs, but not both",
    "benchmark --device cpu --compile --precision bfloat16": "does not round to bfloat16",
    "benchmark --device cpu --kernels triton": "'triton' need a CUDA device, got cpu",
    "benchmark --device cpu --kernels fused": "'fused' need a CUDA device, got cpu",
    "benchmark --device cpu --compile --kernels fused": 'compile, or kernels = "fused", but not both',
    "models orb-v3-direct-inf-omta": "did you mean 'orb-v3-direct-inf-omat'",
}


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there: offline
    return tmp_path


def run_words(words: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    """Call the command line as it is, with its own logging in the place of pytest's."""
    monkeypatch.setattr(logging.root, "handlers", [])
    return CliRunner().invoke(build_app(), words.split())


@pytest.mark.parametrize("words", BAD)
def test_it_is_named_in_the_only_line_on_stderr(words: str, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_words(words, monkeypatch)
    assert result.exit_code == 2, (result.output, result.exception)
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("error: ")
    assert BAD[words].format(here=inputs) in result.stderr


def test_the_same_command_goes_on_with_the_mended_file(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_words("run overlap.toml", monkeypatch).exit_code == 2
    assert not (inputs / "runs" / "water").exists()
    (inputs / "overlap.pdb").write_text(WATER)
    result = run_words("run overlap.toml --steps 1 --no-analyze", monkeypatch)
    assert result.exit_code == 0, (result.output, result.exception)


def test_a_warning_would_be_seen_on_stderr(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_module, "read_start", warn_and_fail)
    result = run_words("run good.toml", monkeypatch)
    assert result.stderr.splitlines() == ["a warning", "error: and then an error"]


def warn_and_fail(settings: SystemSettings) -> NoReturn:
    """Stands in for reading a structure."""
    logging.getLogger("orbmm.simulation").warning("a warning")
    raise RunError("and then an error")


def test_help_alone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_words("", monkeypatch)
    assert result.exit_code == 0
    assert "orbmm doctor" in result.stdout
    assert result.stderr == ""


PROCESSES = ["run unknown-key.toml", "run gpu.toml", "prepare nowhere.pdb", "resume nowhere", "run --stps 5"]


@pytest.mark.parametrize("words", PROCESSES)
def test_a_process_ends_the_same_way(words: str, inputs: Path) -> None:
    command = [sys.executable, "-c", "from orbmm.cli.main import main; main()", *words.split()]
    done = subprocess.run(command, cwd=inputs, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert BAD.get(words, "--steps") in done.stderr
