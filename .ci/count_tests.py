"""Adds up the test reports of all environments; fails where one is missing, a test failed, or a test ran in none."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree


def read_outcomes(path: Path) -> dict[str, str]:
    """The outcome of each test in a JUnit report: passed, failed or skipped."""
    outcomes = {}
    for case in ElementTree.parse(path).iter("testcase"):
        tags = {child.tag for child in case}
        outcome = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
        outcomes[f"{case.get('classname')}::{case.get('name')}"] = outcome
    return outcomes


def main(paths: list[Path]) -> int:
    """Print the sum as one line and return the exit code."""
    missing = [path.stem for path in paths if not path.is_file()]
    reports = [read_outcomes(path) for path in paths if path.is_file()]
    outcomes = [outcome for report in reports for outcome in report.values()]
    ran = {name for report in reports for name, outcome in report.items() if outcome != "skipped"}
    never = sorted({name for report in reports for name in report} - ran)
    for name in missing:
        sys.stdout.write(f"no test report of the set {name}\n")
    for name in never:
        sys.stdout.write(f"skipped in every environment: {name}\n")
    passed, failed = outcomes.count("passed"), outcomes.count("failed") + len(missing) + len(never)
    sys.stdout.write(f"{passed} passed, {failed} failed\n")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
