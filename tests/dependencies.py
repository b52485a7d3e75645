"""Prints the runtime dependencies as `name==version`, one a line.

`lowest` gives each one's lower bound in pyproject.toml, as constraints for pip (`make lowest`);
`installed` gives them and all that they pull in, as this environment has it (`make audit`).
"""

# ruff: noqa: T201 - a program that prints its lists

import argparse
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def main() -> int:
    """Print the asked list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", choices=("lowest", "installed"))
    requirements = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["dependencies"]
    if parser.parse_args().versions == "lowest":
        lines = [lowest(requirement) for requirement in requirements]
    else:
        lines = sorted(f"{name}=={version}" for name, version in installed(requirements).items())
    print("\n".join(lines))
    return 0


def lowest(requirement: str) -> str:
    """Return `name==bound` for a requirement of the form `name[extra]>=bound`.

    Raises ValueError for one without exactly one lower bound.
    """
    wanted = Requirement(requirement)
    bounds = [part.version for part in wanted.specifier if part.operator == ">="]
    if len(bounds) != 1:
        raise ValueError(f"{requirement} has no single lower bound (>=)")
    return f"{wanted.name}=={bounds[0]}"


def installed(requirements: list[str]) -> dict[str, str]:
    """Return what is required, directly or not, and the versions that are installed."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    left = [(requirement, "") for requirement in requirements]
    while left:
        requirement, extra = left.pop()
        needed = Requirement(requirement)
        if needed.marker is not None and not needed.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(needed.name)
        found[name] = distribution(name).version
        # A package's own needs, and those of each extra that is asked for.
        for wanted in {(name, ""), *((name, asked) for asked in needed.extras)} - seen:
            seen.add(wanted)
            left += [(inner, wanted[1]) for inner in distribution(name).requires or []]
    return found


if __name__ == "__main__":
    sys.exit(main())
