"""Output folders: only what orbmm wrote is replaced, whole or not at all; a command that was killed can be repeated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from file_size import limit_file_size

from orbmm.errors import OutputError
from orbmm.files import is_partial
from orbmm.outputs import RECORD_NAME, OutputFolder

FIRST = {"a.csv": b"1\n" * 99, "b.png": b"picture one", "results.json": b"{}"}
SECOND = {"a.csv": b"2\n" * 99, "b.png": b"picture two", "results.json": b"[]"}


def read_all(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_was_written_is_replaced(tmp_path: Path) -> None:
    OutputFolder(tmp_path).write(FIRST)
    once = read_all(tmp_path)
    OutputFolder(tmp_path).write(FIRST)
    assert read_all(tmp_path) == once == {**FIRST, RECORD_NAME: once[RECORD_NAME]}
    OutputFolder(tmp_path).check(SECOND)
    OutputFolder(tmp_path).write(SECOND)
    assert {name: (tmp_path / name).read_bytes() for name in SECOND} == SECOND


def put_file(path: Path) -> None:
    path.write_bytes(b"mine")


def put_link(path: Path) -> None:
    path.with_name("elsewhere").write_bytes(b"mine")
    path.symlink_to("elsewhere")


IN_THE_WAY: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file": (put_file, "was not written by orbmm, or was changed since"),
    "a link": (put_link, "is a link"),
    "a dangling link": (lambda path: path.symlink_to("nowhere"), "is a link"),
    "a folder": (Path.mkdir, "is a folder"),
    "a pipe": (os.mkfifo, "is not a regular file"),
}


@pytest.mark.parametrize("written", [False, True], ids=["never written", "written before"])
@pytest.mark.parametrize("kind", IN_THE_WAY)
def test_what_a_user_put_there_stays_and_nothing_is_written(kind: str, written: bool, tmp_path: Path) -> None:
    put, fault = IN_THE_WAY[kind]
    folder = OutputFolder(tmp_path)
    if written:
        folder.write(FIRST)
        (tmp_path / "b.png").unlink()
    put(tmp_path / "b.png")
    before = {path.name: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in tmp_path.iterdir()}
    for act in (folder.check, folder.write):
        with pytest.raises(OutputError) as raised:
            act(SECOND)
        assert str(raised.value).startswith(f"{tmp_path / 'b.png'} {fault}: ")
    assert {path.name: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_a_file_that_the_user_changed_stays_unless_it_is_there_to_be_changed(tmp_path: Path) -> None:
    OutputFolder(tmp_path).write(FIRST)
    with (tmp_path / "a.csv").open("ab") as stream:
        stream.write(b"a remark\n")
    with pytest.raises(OutputError, match=r"a\.csv was not written by orbmm, or was changed since"):
        OutputFolder(tmp_path).write(SECOND)
    assert (tmp_path / "a.csv").read_bytes() == FIRST["a.csv"] + b"a remark\n"
    OutputFolder(tmp_path, editable=("a.csv",)).write(SECOND)
    assert (tmp_path / "a.csv").read_bytes() == SECOND["a.csv"]


def test_a_file_to_be_changed_is_still_not_one_that_the_user_put_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"mine")
    with pytest.raises(OutputError, match="was not written by orbmm"):
        OutputFolder(tmp_path, editable=("a.csv",)).write(FIRST)
    assert (tmp_path / "a.csv").read_bytes() == b"mine"


def test_a_file_that_came_after_the_check_is_not_replaced(tmp_path: Path) -> None:
    OutputFolder(tmp_path).check(FIRST)
    (tmp_path / "b.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match="was not written by orbmm"):
        OutputFolder(tmp_path).write(FIRST)
    assert read_all(tmp_path) == {"b.png": b"mine"}


@pytest.mark.parametrize("spelling", ["same", "other spelling", "hard link", "linked folder", "link"])
def test_an_input_is_never_replaced_even_if_orbmm_wrote_it(spelling: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    OutputFolder(folder).write(FIRST)
    (tmp_path / "also").symlink_to("out")
    (tmp_path / "link.csv").symlink_to("out/a.csv")
    os.link(folder / "a.csv", tmp_path / "hard.csv")
    read = {
        "same": folder / "a.csv",
        "other spelling": folder / ".." / "out" / "." / "a.csv",
        "hard link": tmp_path / "hard.csv",
        "linked folder": tmp_path / "also" / "a.csv",
        "link": tmp_path / "link.csv",
    }[spelling]
    for act in (OutputFolder(folder, (read,)).check, OutputFolder(folder, (read,)).write):
        with pytest.raises(OutputError, match=r"a\.csv is read by this command"):
            act(SECOND)
    assert (folder / "a.csv").read_bytes() == FIRST["a.csv"]
    OutputFolder(folder, (folder / "b.csv", tmp_path / "gone")).write(SECOND)


def test_a_folder_is_checked_before_it_is_made_and_nothing_is_left(tmp_path: Path) -> None:
    OutputFolder(tmp_path / "new" / "deep").check(FIRST)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        OutputFolder(tmp_path / "file" / "deep").check(FIRST)
    with pytest.raises(OSError):
        OutputFolder(Path("/proc/nowhere")).check(FIRST)


def test_a_full_disk_leaves_former_files_and_no_partial_ones(tmp_path: Path) -> None:
    OutputFolder(tmp_path).write(FIRST)
    larger = {**SECOND, "b.png": bytes(100_000)}
    with limit_file_size(50_000), pytest.raises(OSError):
        OutputFolder(tmp_path).write(larger)
    assert (tmp_path / "b.png").read_bytes() == FIRST["b.png"]
    assert (tmp_path / "results.json").read_bytes() == FIRST["results.json"]
    assert not [name for name in read_all(tmp_path) if is_partial(name)]
    OutputFolder(tmp_path).write(larger)
    assert (tmp_path / "b.png").read_bytes() == larger["b.png"]


KILLED = f"""
SECOND = {SECOND!r}
import os, signal, sys
from pathlib import Path
from orbmm.outputs import OutputFolder
replace, moment, calls = Path.replace, int(sys.argv[2]), []
def replace_or_die(self, target):
    calls.append(target)
    if len(calls) == moment:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = replace_or_die
OutputFolder(Path(sys.argv[1])).write(SECOND)
"""
MOMENTS = len(SECOND) + 2  # the record before and after


def run_python(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)])


@pytest.mark.parametrize("former", [{}, FIRST], ids=["a new folder", "over former files"])
def test_a_kill_at_any_moment_leaves_whole_files_and_can_be_repeated(former: dict[str, bytes], tmp_path: Path) -> None:
    folders = [tmp_path / str(moment) for moment in range(1, MOMENTS + 2)]
    for folder in folders:
        folder.mkdir()
        OutputFolder(folder).write(former)
    processes = [run_python(KILLED, folder, folder.name) for folder in folders]
    codes = [process.wait(timeout=60) for process in processes]
    assert codes == [-signal.SIGKILL] * MOMENTS + [0]
    for folder in folders:
        for name, new in SECOND.items():
            content = (folder / name).read_bytes() if (folder / name).exists() else None
            assert content in (former.get(name), new)
        OutputFolder(folder).write({name: content + b"later" for name, content in SECOND.items()})
        assert (folder / "a.csv").read_bytes() == SECOND["a.csv"] + b"later"


WRITER = """
import sys
from pathlib import Path
from orbmm.outputs import OutputFolder
for number in range(25):
    text = f"{sys.argv[2]} {number} ".encode() * 2000
    OutputFolder(Path(sys.argv[1])).write({"a.csv": text, "results.json": text})
"""


def test_two_processes_that_write_other_results_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    writers = [run_python(WRITER, tmp_path, name) for name in ("one", "two")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    table, summary = ((tmp_path / name).read_bytes() for name in ("a.csv", "results.json"))
    assert table == summary and table in (b"one 24 " * 2000, b"two 24 " * 2000)
    OutputFolder(tmp_path).write(FIRST)


def test_a_record_that_is_damaged_recognises_nothing(tmp_path: Path) -> None:
    OutputFolder(tmp_path).write(FIRST)
    (tmp_path / RECORD_NAME).write_text("[")
    with pytest.raises(OutputError, match="was not written by orbmm"):
        OutputFolder(tmp_path).write(SECOND)


def test_the_record_is_readable_and_names_each_file(tmp_path: Path) -> None:
    OutputFolder(tmp_path).write(FIRST)
    record = json.loads((tmp_path / RECORD_NAME).read_text())
    assert sorted(record) == sorted(FIRST) and all(len(known) == 1 for known in record.values())


@pytest.mark.parametrize(
    "text",
    [
        '{"\\ud800": ["x"], "a.csv": [[[]], 3, null]}',
        '{"a.csv": 3, "\\u0000": []}',
        "[" * 100_000,
        '{"a.csv": [1e999]}',
        '{"x": [' + "9" * 4000 + "]}",
    ],
    ids=["no UTF-8", "other types", "nested", "infinite", "a huge number"],
)
def test_a_record_of_any_content_is_replaced_by_one_of_ours(text: str, tmp_path: Path) -> None:
    (tmp_path / RECORD_NAME).write_text(text)
    OutputFolder(tmp_path).write(FIRST)
    OutputFolder(tmp_path).write(SECOND)
    assert {name: (tmp_path / name).read_bytes() for name in SECOND} == SECOND


def test_a_name_that_is_no_utf8_is_recognised_later(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        OutputFolder(tmp_path).write({"\udcff.pdb": content})
    assert (tmp_path / "\udcff.pdb").read_bytes() == b"two"


@pytest.mark.parametrize("name", ["y" * 300, "\ud800", "a\0b", "../elsewhere"])
def test_names_in_results_of_an_older_version_that_no_file_can_have_are_passed_over(name: str, tmp_path: Path) -> None:
    keys = ("verdict", "checks", "limits", "discard_ps", "missing", "run")
    (tmp_path / "results.json").write_text(json.dumps(dict.fromkeys(keys, 1) | {"results": {name: {}}}))
    OutputFolder(tmp_path).write(FIRST)
    assert (tmp_path / "a.csv").read_bytes() == FIRST["a.csv"]


def test_a_name_as_long_as_the_file_system_takes_can_be_written(tmp_path: Path) -> None:
    for name in ("水" * 83 + ".html", "x" * 255):
        OutputFolder(tmp_path).write({name: b"page"})
        assert (tmp_path / name).read_bytes() == b"page"
