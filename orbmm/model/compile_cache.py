"""A private cache folder for the code that torch compiles.

torch runs what it finds in that folder, so nobody else may write to it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orbmm.errors import ModelError
from orbmm.settings.paths import cache_folder

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO

PRIVATE_OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {"cpp_cache_precompile_headers": False}
"""Options of torch.compile. By default torch keeps precompiled headers in the shared temporary folder, whatever
$TORCHINDUCTOR_CACHE_DIR says, and compiles the files that it finds there into the network."""


def use_private_cache() -> Path:
    """Set $TORCHINDUCTOR_CACHE_DIR for this process to a folder that nobody else can write, and return that folder.

    torch unpickles and loads files from this folder. Its default is a folder with a predictable name in the shared
    temporary folder. All caches of torch (graphs, code, tuning, Triton kernels) and its worker processes follow this
    variable, which is read each time. A folder that the user has set is kept, and checked in the same way. If the cache
    of orbmm cannot be written, a temporary folder of this process is used.
    Raises ModelError for a folder that is a link, belongs to another user, or can be written by others.
    """
    given = os.environ.get(CACHE_VARIABLE)
    try:
        if given and not _is_default_of_torch(Path(given)):
            folder = _make_private(Path(given).absolute())
        else:
            folder = _make_private(cache_folder() / "compiled")
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="orbmm-compiled-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[CACHE_VARIABLE] = str(folder)
    return folder


def _is_default_of_torch(path: Path) -> bool:
    """Return True if torch itself has set the variable to its default, which happens when other code compiles first."""
    return path.parent == Path(tempfile.gettempdir()) and path.name.startswith("torchinductor_")


def _make_private(path: Path) -> Path:
    """Make a folder with mode 0700, or check an existing one and remove the permissions of others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        raise _refuse(path, "is a link")
    path.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise _refuse(path, f"belongs to another user ({status.st_uid})")
        if status.st_mode & _WRITABLE_BY_OTHERS:
            raise _refuse(path, "can be written by other users")
        if status.st_mode & _OPEN_TO_OTHERS:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
    for parent in path.resolve().parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise _refuse(path, f"lies in {parent}, which everybody can write,")
    return path


def _refuse(path: Path, fault: str) -> ModelError:
    return ModelError(
        f"the folder for compiled networks, {path}, {fault} and torch would run the code in it: remove it, "
        f"or set {CACHE_VARIABLE} to a folder of your own, or leave compile out"
    )
