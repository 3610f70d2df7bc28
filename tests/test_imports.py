"""Importing orbmm is light, and its public names are there."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import orbmm

HEAVY = ("torch", "openmm", "openmmml", "mdtraj", "matplotlib", "scipy", "numpy", "warp", "requests")


def list_heavy_imports(statement: str) -> list[str]:
    """The heavy packages in sys.modules of a new interpreter after a statement."""
    code = f"{statement}\nimport sys\nsys.stdout.write(','.join(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split(",") if name]


def test_importing_orbmm_imports_nothing_heavy() -> None:
    assert list_heavy_imports("import orbmm") == []


def test_listing_the_models_imports_nothing_heavy() -> None:
    assert list_heavy_imports("import orbmm; orbmm.list_models()") == []


def test_a_heavy_import_would_be_seen() -> None:
    assert list_heavy_imports("import orbmm; orbmm.load_model") != []


def test_the_command_line_is_built_without_anything_heavy() -> None:
    assert list_heavy_imports("from orbmm.cli.main import build_app; build_app()") == []


def test_an_ensemble_is_coordinated_without_anything_heavy() -> None:
    """Its runs are processes of their own, which alone compute. Dask itself imports NumPy."""
    assert list_heavy_imports("from orbmm.ensemble import run, scheduler, task, watch; import distributed") == ["numpy"]


@pytest.mark.parametrize("name", orbmm.__all__)
def test_every_public_name_loads(name: str) -> None:
    assert name in dir(orbmm)
    assert getattr(orbmm, name) is not None


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        orbmm.no_such_name  # noqa: B018


def test_the_version_is_that_of_the_installed_package() -> None:
    assert version("orbmm") == orbmm.__version__
