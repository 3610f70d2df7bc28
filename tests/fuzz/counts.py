"""Atoms of the first model of a structure file, counted without any reader that orbmm uses."""

from __future__ import annotations

import re
from dataclasses import dataclass

TOKEN = re.compile(r"""'(?:[^'\n]|'(?=\S))*'(?=\s|$)|"(?:[^"\n]|"(?=\S))*"(?=\s|$)|\#[^\n]*|[^\s]+""")
UNKNOWN = (".", "?")


@dataclass(frozen=True)
class Count:
    """How many atoms there are.

    atoms: alternate locations of one count once. distinct: what is given twice counts once.
    lines: each counts, also one that follows the record END, which some readers take for the end of the file.
    """

    atoms: int
    lines: int
    distinct: int


def count_pdb(content: bytes) -> Count | None:
    """Lines with atoms up to the end of the first model, whatever is wrong with them; None for UTF-16."""
    if b"\0" in content:
        return None
    plain, alternate, seen, models, ended, lines = 0, set(), set(), 0, False, 0
    for line in content.removeprefix(b"\xef\xbb\xbf").splitlines():
        models += line.startswith(b"MODEL")
        if line[:6] == b"ENDMDL" or models > 1:
            break
        ended = ended or line[:3] == b"END"
        if not line.lstrip().upper().startswith((b"ATOM ", b"HETATM")):
            continue
        name = line[12:16] + line[21:27]
        lines += 1
        if ended:
            continue
        seen.add(name)
        if line[16:17].strip():
            alternate.add(name)
        else:
            plain += 1
    return Count(plain + len(alternate), lines, len(seen))


def count_cif(content: bytes) -> Count | None:
    """Rows of the first model in the first atom_site table; None for a text in which it cannot be found so simply."""
    text = content.decode("utf-8-sig", errors="replace")
    _, *tables = re.split(r"(?im)^\s*loop_\s+(?=_atom_site\.)", text)
    if len(tables) != 1:
        return None
    tokens = [token for token in TOKEN.findall(tables[0]) if not token.startswith("#")]
    names = []
    while len(names) < len(tokens) and tokens[len(names)].lower().startswith("_atom_site."):
        names.append(tokens[len(names)].lower().removeprefix("_atom_site."))
    values = tokens[len(names) :]
    end = next((at for at, token in enumerate(values) if re.match(r"(?i)_|loop_|data_|save_", token)), len(values))
    if not names or end % len(names):
        return None
    rows = [dict(zip(names, values[at : at + len(names)], strict=True)) for at in range(0, end, len(names))]
    models = [row.get("pdbx_pdb_model_num") for row in rows]
    first = [row for row, model in zip(rows, models, strict=True) if model == models[0]]
    keys = [tuple(row.get(name) for name in _KEYS) for row in first]
    alternate = {key for key, row in zip(keys, first, strict=True) if row.get("label_alt_id", ".") not in UNKNOWN}
    plain = sum(row.get("label_alt_id", ".") in UNKNOWN for row in first)
    return Count(plain + len(alternate), len(first), len(set(keys)))


_KEYS = ("label_asym_id", "auth_asym_id", "label_seq_id", "auth_seq_id", "pdbx_pdb_ins_code", "label_atom_id")
