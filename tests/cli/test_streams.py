"""Standard output and log files decide nothing over a command: what cannot be written is lost, and said once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orbmm.cli.follow import follow_progress, tell
from orbmm.cli.streams import ForgivingOutput, open_log
from orbmm.errors import RunError

MAIN = "from orbmm.cli.main import main; main()"
LOST = "warning: standard output cannot be written (No space left on device); the command goes on without it\n"
FULL = Path("/dev/full")
needs_full_device = pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")


def start(*words: str, shell: str = "") -> subprocess.CompletedProcess[str]:
    """Call the command line from bash, with its output as the shell words say; PIPESTATUS is its exit code."""
    line = f'"$@" {shell}; exit ${{PIPESTATUS[0]}}'
    return subprocess.run(
        ["bash", "-c", line, "bash", sys.executable, "-c", MAIN, *words], check=False, capture_output=True, text=True
    )


@needs_full_device
def test_a_command_that_only_prints_fails_with_its_output_and_not_with_its_reader() -> None:
    full = start("models", shell=">/dev/full")
    assert (full.returncode, full.stderr) == (3, LOST)
    read = start("models", shell="| head -n 1")
    assert (read.returncode, read.stderr) == (0, "") and read.stdout.count("\n") == 1
    whole = start("models")
    assert (whole.returncode, whole.stderr) == (0, "") and "orb-v3-direct-inf-omat" in whole.stdout


@needs_full_device
def test_a_command_that_writes_files_ends_as_it_would_with_its_output(tmp_path: Path) -> None:
    for name, shell in {"full": ">/dev/full", "closed": ">&-"}.items():
        done = start("new", "water", "--output", str(tmp_path / name), shell=shell)
        assert done.returncode == 0 and done.stderr == (LOST if name == "full" else "")
        assert (tmp_path / name / "system.toml").is_file()
    again = start("new", "water", "--output", str(tmp_path / "full"), shell=">/dev/full")
    assert again.returncode == 2 and again.stderr.startswith("error: ") and again.stderr.count("\n") == 1


def test_letters_that_a_terminal_lacks_are_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding, shown in {"cp437": r"H\u6c34O", "utf-8": "H水O"}.items():
        monkeypatch.setenv("PYTHONIOENCODING", encoding)
        done = start("new", "H水O")
        assert done.returncode == 2 and shown in done.stderr and done.stderr.count("\n") == 1


def test_the_first_error_of_an_output_is_told_and_the_rest_is_lost(tmp_path: Path) -> None:
    told: list[OSError] = []
    reader, writer = os.pipe()
    broken = ForgivingOutput(writer, told.append)
    assert broken.write(b"read") == 4 and os.read(reader, 10) == b"read" and told == []
    os.close(reader)
    assert [broken.write(b"lost"), broken.write(memoryview(b"lost too"))] == [4, 8]
    assert [error.strerror for error in told] == ["Broken pipe"] and broken.lost is told[0]
    os.close(writer)
    with (tmp_path / "file").open("wb") as file:
        assert ForgivingOutput(file.fileno(), told.append).write(b"kept") == 4
    assert (tmp_path / "file").read_bytes() == b"kept" and len(told) == 1


@needs_full_device
def test_a_log_that_cannot_be_written_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("orbmm").setLevel(logging.INFO)
    for log in (FULL, Path(os.devnull)):
        with follow_progress(quiet=False, log=log):
            tell("first", False, log)
            tell("second", False, log)
    lost = "warning: log file /dev/full cannot be written (No space left on device); the command goes on without it\n"
    assert capsys.readouterr() == ("", lost)


def test_a_log_whose_first_line_was_cut_short_is_a_log(tmp_path: Path) -> None:
    log, line = tmp_path / "run.log", "2026-11-28 09:02:00 complete\n"
    for start in ("2", "2026-11-2", "2026-11-28 09:01:50"):
        log.write_text(start)
        for _ in range(2):
            with open_log(log) as stream:
                stream.write(line)
        assert log.read_text() == f"{start}\n{line}{line}"
    for other in ("x", "20 apples", "2026-11-28T09"):
        log.write_text(other)
        with pytest.raises(RunError, match="is no log of orbmm"), open_log(log):
            pass
        assert log.read_text() == other


def test_a_log_is_appended_to_a_log_and_to_nothing_else(tmp_path: Path) -> None:
    log, settings, pipe = tmp_path / "run.log", tmp_path / "system.toml", tmp_path / "pipe"
    settings.write_text("[system]\n")
    os.mkfifo(pipe)
    for _ in range(2):
        with open_log(log) as stream:
            stream.write("2026-01-31 12:00:00 a line\n")
    assert log.read_text() == "2026-01-31 12:00:00 a line\n" * 2
    with pytest.raises(RunError, match="exists and is no log of orbmm"), open_log(settings):
        pass
    assert settings.read_text() == "[system]\n"
    with pytest.raises(RunError, match="is a pipe or another special file"), open_log(pipe):  # which nobody reads
        pass
    with pytest.raises(RunError, match=r"cannot be written \(Is a directory\)"), open_log(tmp_path):
        pass
