"""Compute the labels of a frame: by any calculator of ASE, or by a network that teaches another one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from orbmm.errors import MissingDependency, StructureError, TrainingError
from orbmm.training.data.frames import Frame, Labels

TBLITE_ACCURACY = 0.1  # of its own unit: forces then agree to about 1e-5 eV/Å

Labeller = Callable[[Frame], Labels | None]
"""Return the labels of a frame, None where the method finds none."""


def make_labeller(calculator: str) -> Labeller:
    """Return the labeller of a name: "tblite:GFN1-xTB", "orbmm:MODEL or FILE", or "module:function".

    The function takes nothing and returns a calculator of ASE.
    Raises TrainingError for another name, MissingDependency, and the errors of load_model.
    """
    kind, _, what = calculator.partition(":")
    if not kind or not what:
        raise TrainingError(
            f"--calculator is '{calculator}', expected tblite:GFN1-xTB, orbmm:MODEL, or module:function of an ASE "
            "calculator"
        )
    if kind == "orbmm":
        return _make_teacher(what)
    return _make_tblite(what) if kind == "tblite" else _make_own(kind, what)


def _make_teacher(model: str) -> Labeller:
    from orbmm.model.load import load_model

    teacher = load_model(model, device="cpu", precision="float32-highest")

    def label(frame: Frame) -> Labels | None:
        if frame.charge and not teacher.record.takes_charge:
            raise TrainingError(
                f"{frame.source}: has charge {frame.charge:+d}, but {teacher.record.name} takes no charge: label it "
                "with a calculator that does, or remove the charge from the file if this network has learned charges"
            )
        known = {"charge": frame.charge, "multiplicity": frame.multiplicity} if teacher.record.takes_charge else {}
        teacher.compose(frame.atomic_numbers, **known)  # refuses elements that it does not know
        try:
            found = teacher.predict(frame.atomic_numbers, frame.positions, frame.cell, **known)
        except StructureError:  # overlapping atoms
            return None
        return Labels(found.energy, found.forces, found.stress)

    return label


def _make_tblite(method: str) -> Labeller:
    try:
        from tblite.ase import TBLite
    except ImportError as error:
        raise MissingDependency("labels of xTB need tblite: pip install 'orbmm[train]'") from error

    def make(frame: Frame) -> Any:
        return TBLite(
            method=method,
            verbosity=0,
            accuracy=TBLITE_ACCURACY,
            charge=float(frame.charge or 0),
            multiplicity=frame.multiplicity,
        )

    return lambda frame: compute_labels(frame, make(frame))


def _make_own(module: str, function: str) -> Labeller:
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise TrainingError(
            f"--calculator is '{module}:{function}', but Python finds no such function ({error})"
        ) from error
    calculator = make()
    return lambda frame: compute_labels(frame, calculator)


def compute_labels(frame: Frame, calculator: Any) -> Labels | None:
    """Return the labels of a frame by a calculator of ASE; None where it does not converge."""
    from ase import Atoms
    from ase.calculators.calculator import CalculatorError, PropertyNotImplementedError

    periodic = frame.cell is not None
    atoms = Atoms(frame.atomic_numbers, frame.positions, cell=frame.cell, pbc=periodic)
    atoms.info |= {"charge": frame.charge, "spin": frame.multiplicity}
    atoms.calc = calculator
    try:
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    except (CalculatorError, RuntimeError):
        return None
    try:
        stress = atoms.get_stress() if periodic else None
    except (PropertyNotImplementedError, NotImplementedError):
        stress = None
    return Labels(float(energy), np.asarray(forces, dtype=np.float64), stress)
