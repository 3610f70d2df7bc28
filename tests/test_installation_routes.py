"""The extras of pyproject.toml can be installed together: no two of their pins disagree, and every pin exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROUTES = ("torchforce", "newest", "torchforce-cuda12", "newest,cuda13", "newest,cuda12", "torchforce-cuda12,cuml")
PIN = re.compile(r"^([\w.-]+)(?:\[([\w,]+)\])?==([\w.]+)")


@pytest.fixture(scope="module")
def extras(repository: Path) -> dict[str, list[str]]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]


def list_pins(extras: dict[str, list[str]], route: str) -> Iterator[tuple[str, str]]:
    """Name and version of every exact pin of a route; extras of the project that it names are followed."""
    for extra in route.split(","):
        for line in extras[extra]:
            own = re.match(r"orbmm\[([\w,-]+)\]", line)
            if own:
                yield from list_pins(extras, own[1])
            elif pin := PIN.match(line):
                yield pin[1], pin[3]


def disagree(extras: dict[str, list[str]], route: str) -> bool:
    pins = set(list_pins(extras, route))
    return len(pins) > len({name for name, _ in pins})


@pytest.mark.parametrize("route", ROUTES)
def test_no_two_pins_of_a_route_disagree(extras: dict[str, list[str]], route: str) -> None:
    assert dict(list_pins(extras, route))
    assert not disagree(extras, route)


def test_pins_that_disagree_would_be_seen(extras: dict[str, list[str]]) -> None:
    assert disagree(extras, "torchforce,newest")


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize(
    ("route", "right"),
    [
        ("torchforce-cuda12,cuml", {"torch": "2.9.1", "openmm-cuda-12": "8.5.2", "openmm-torch-cuda-12": "1.5"}),
        ("newest,cuda13", {"torch": "2.13.0", "openmm-cuda-13": "8.6.1"}),
    ],
)
def test_a_route_to_a_gpu_resolves(route: str, right: dict[str, str], repository: Path, tmp_path: Path) -> None:
    """pip reads the metadata of every package, and installs nothing."""
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--report", str(report)]
    subprocess.run([*command, f"{repository}[{route}]"], check=True, capture_output=True)
    packages = [package["metadata"] for package in json.loads(report.read_text())["install"]]
    found = {package["name"].lower(): package["version"].partition("+")[0] for package in packages}
    assert {name: found.get(name) for name in right} == right
    if "cuml" in route:
        assert found["nvidia-nvjitlink-cu12"] == "12.8.93"  # that of torch 2.9.1; newer releases of cuML ask for 12.9
