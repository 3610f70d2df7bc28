"""Settings that were made to do harm end in one sentence, and soon; names of all languages are taken."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from orbmm.errors import SettingsError
from orbmm.settings import Settings, SystemSettings, format_settings, read_settings

SYSTEM = '[system]\nname = "water"\n'
BAD_NAMES = {
    "..": "..",
    "a dot": ".",
    "a hidden name": ".hidden",
    "an option": "-rf",
    "a slash": "../victim",
    "a backslash": "a\\\\b",
    "a line end": "a\\nb",
    "an escape": "a\\u001b[2J",
    "C1": "a\\u009b2J",
    "reversed text": "a\\u202Eb",
    "a line separator": "a\\u2028b",
    "201 bytes": "x" * 201,
    "201 bytes of few letters": "水" * 67,
}
GOOD_NAMES = ["Käfer", "水盒子", "αβγ", "two words", "1abc", "a.b-c", "a;b", "$(touch x)", "x" * 200, "[red]", "'"]
BAD_FILES = {
    "a number of 5,000 digits": ("[run]\nlength_ps = " + "9" * 5000, "not a TOML file"),
    "a number in hexadecimal": ("[run]\nlength_ps = 0x" + "f" * 5000, "length_ps is inf, but must be a finite number"),
    "a whole number beyond all": ("[run]\nseed = 0x" + "f" * 5000, "seed is a whole number of 20000 bits"),
    "a whole number beyond a double": ("[run]\nlength_ps = 1" + "0" * 400, "must be a finite number"),
    "steps that OpenMM cannot count": (
        "[preparation]\nminimization_steps = 1" + "0" * 30,
        "minimization_steps is 1000000000000000000000000000000, but its absolute value must be at most 2,147,483,647",
    ),
    "the smallest number": ("[run]\ntimestep_fs = 1e-320", "must be a whole number of time steps of 9.99989e-321 fs"),
    "the largest number": (
        "[run]\nconfidence_every_fs = 1.7e308",
        "confidence_every_fs is 1.7e+308, but must be a whole",
    ),
    "the largest picoseconds": ("[run]\ncheckpoint_every_ps = 1.7e308", "checkpoint_every_ps is 1.7e+308"),
    "a force beyond its square": ("[guard]\nforce_limit_kj_mol_nm = 1e307", "must be at most 1e+100"),
    "brackets": ("[run]\nlength_ps = " + "[" * 5000 + "]" * 5000, "brackets are nested too deeply"),
    "tables in tables": ("[run]\nlength_ps = " + "{a=" * 5000 + "1" + "}" * 5000, "brackets are nested too deeply"),
    "dotted keys": ("[run]\nlength_ps" + ".a" * 5000 + " = 1", "length_ps is"),
    "a long text": ('[run]\ntrajectory = "' + "x" * 900_000 + '"', "which is not offered"),
    "a long key": ("[run]\n" + "x" * 900_000 + " = 1", "unknown key"),
    "more than a megabyte": ("# " + "x" * 1_000_000, "holds more than 1,000,000 bytes"),
}
BAD_PATHS = {
    "a zero byte": ("a\\u0000b", "structure is 'a\\x00b', but must be text without zero bytes"),
    "nobody": ("~nobody-of-this-name/a.pdb", "no file can be at '~nobody-of-this-name/a.pdb'"),
    "a long name": ("x" * 300, "File name too long"),
    "a long path": ("x/" * 3000, "File name too long"),
}


def read_error(folder: Path, content: str | bytes) -> str:
    path = folder / "system.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError) as caught:
        read_settings(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_a_name_that_no_file_should_have_is_refused(name: str, tmp_path: Path) -> None:
    message = read_error(tmp_path, f'[system]\nname = "{name}"\n')
    assert "must be a short word that can be part of a path" in message
    assert message.isprintable() and len(message) < 500


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_other_names_are_taken_as_they_are(name: str) -> None:
    assert SystemSettings(name=name).name == name


def test_a_name_of_bytes_that_are_no_text_is_refused() -> None:
    for name in (os.fsdecode(b"a\xff"), "a\0b"):
        with pytest.raises(SettingsError, match="must be text without zero bytes, in UTF-8"):
            SystemSettings(name=name)


@pytest.mark.parametrize(("text", "words"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_goes_too_far_ends_in_one_sentence(text: str, words: str, tmp_path: Path) -> None:
    assert words in read_error(tmp_path, SYSTEM + text + "\n")[:1000]


@pytest.mark.parametrize(("given", "words"), BAD_PATHS.values(), ids=BAD_PATHS)
def test_a_path_that_no_file_can_have_ends_in_one_sentence(given: str, words: str, tmp_path: Path) -> None:
    message = read_error(tmp_path, SYSTEM + f'structure = "{given}"\n')
    assert words in message and len(message) < len(str(tmp_path)) + 400


def test_a_path_whose_links_go_in_a_circle_ends_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert "no file can be at 'loop/a.pdb'" in read_error(tmp_path, SYSTEM + 'structure = "loop/a.pdb"\n')


def test_a_path_that_is_no_utf8_cannot_be_written_and_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="structure is .* in UTF-8"):
        SystemSettings(name="water", structure=tmp_path / os.fsdecode(b"\xff.pdb"))


def test_bytes_that_are_no_utf8_end_in_one_sentence(tmp_path: Path) -> None:
    assert "cannot be read" in read_error(tmp_path, SYSTEM.encode("utf-16"))
    assert "cannot be read" in read_error(tmp_path, b"\xff" + SYSTEM.encode())


def test_a_mark_at_the_start_of_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "system.toml").write_bytes(b"\xef\xbb\xbf" + SYSTEM.encode())
    assert read_settings(tmp_path / "system.toml") == Settings(SystemSettings(name="water"))


def test_a_pipe_and_a_device_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path / "pipe.toml", Path("/dev/zero")):
        with pytest.raises(SettingsError, match="is not a regular file"):
            read_settings(path)


def test_settings_may_lie_behind_a_link_and_hold_paths_of_all_languages(tmp_path: Path) -> None:
    folder = tmp_path / "Käfer 水"
    folder.mkdir()
    (folder / "α β.pdb").touch()
    (folder / "real.toml").write_text(SYSTEM + 'structure = "α β.pdb"\n', encoding="utf-8")
    (folder / "link.toml").symlink_to("real.toml")
    settings = read_settings(folder / "link.toml")
    assert settings.system.structure == folder / "α β.pdb"
    assert tomllib.loads(format_settings(settings, folder))["system"]["structure"] == "α β.pdb"
