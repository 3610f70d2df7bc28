"""The proof of official weights: its checks, and the file in the cache that keeps it, so that it is done once.

The cache folder holds
    proofs/NAME-SHA256.json     the checks that the weights of this hash passed as model NAME
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.checkpoints.published import hash_published_values
from orbmm.checkpoints.store import published_path
from orbmm.download.checksum import read_checksum
from orbmm.errors import UnsafeFile
from orbmm.files import make_folder, read_json, write_file
from orbmm.settings.paths import cache_folder

VERIFIED = "verified against published values"
UNVERIFIED = "not verified against published values"
OWN_WEIGHTS = "your own weights, not compared with published values"
EMBEDDED = "part of orbmm, known by their sha256"
NOT_YET = "not yet checked, which is done when they are first loaded"

_LARGEST_BYTES = 1 << 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """One row of a proof.

    what: with the unit of the numbers; passed: None for a check that was left out
    difference, allowed: None where the check has no numbers; published: whether it compares with a published value
    """

    what: str
    passed: bool | None
    difference: float | None = None
    allowed: float | None = None
    remark: str = ""
    published: bool = False


@dataclass(frozen=True)
class WeightsProof:
    """All checks of one weights file as one model, and the CPU time [s] that they took.

    values_sha256: of the published values that were compared with
    """

    model: str
    sha256: str
    values_sha256: str
    seconds: float
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> str:
        """Return, in words, whether the weights have reproduced a published value."""
        compared = [check.passed for check in self.checks if check.published and check.passed is not None]
        return VERIFIED if compared and all(compared) else UNVERIFIED


def find_proof(record: CheckpointRecord, sha256: str) -> WeightsProof | None:
    """Return the kept proof of a weights file, or None if there is none, or one with other published values."""
    path = _proof_path(record.name, sha256)
    try:
        proof = _build_proof(read_json(path, _LARGEST_BYTES))
    except (OSError, ValueError, KeyError, TypeError, UnsafeFile):
        return None  # absent or damaged: the proof is done again
    is_same = (proof.model, proof.sha256, proof.values_sha256) == (record.name, sha256, hash_published_values())
    return proof if is_same and all(check.passed is not False for check in proof.checks) else None


def find_verdict(record: CheckpointRecord) -> str:
    """Return, in words, how far the weights of a model were proved on this machine; no weights are opened."""
    if record.file is not None:
        return EMBEDDED
    sha256 = read_checksum(published_path(record))
    proof = None if sha256 is None else find_proof(record, sha256)
    return NOT_YET if proof is None else proof.verdict


def keep_proof(proof: WeightsProof) -> None:
    """Write a proof into the cache; where that is impossible a warning says that it will be done again."""
    path = _proof_path(proof.model, proof.sha256)
    try:
        make_folder(path.parent)
        write_file(path, (json.dumps(asdict(proof), indent=1) + "\n").encode())
    except (OSError, UnsafeFile) as error:
        _log.warning("%s cannot be written (%s), so these weights are checked at every load", path, error)


def _build_proof(found: Mapping[str, Any]) -> WeightsProof:
    """Return the proof in a JSON object. Raises KeyError or TypeError if it is none."""
    checks = tuple(Check(**check) for check in found["checks"])
    return WeightsProof(found["model"], found["sha256"], found["values_sha256"], float(found["seconds"]), checks)


def _proof_path(model: str, sha256: str) -> Path:
    return cache_folder() / "proofs" / f"{model}-{sha256}.json"
