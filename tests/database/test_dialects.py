"""Only syncjob/database/dialects/ knows which database it is."""

import re
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from syncjob.database.dialects import MODULES, dialect_for, dialect_of_url

ROOT = Path(__file__).parents[2]
DIALECTS = ROOT / "syncjob/database/dialects"
ASKS = re.compile(r"dialect\.name|get_backend_name|get_dialect|drivername|sqlalchemy\.dialects")
# JSONB is a variant of a column's type, which SQLAlchemy chooses by itself.
ALLOWED = {"syncjob/database/column_types.py": "from sqlalchemy.dialects.postgresql import JSONB"}


def test_no_other_file_asks_which_database_it_is() -> None:
    """A database is added in one file: everything else asks its dialect what it needs."""
    files = [ROOT / "migrations/env.py", *(ROOT / "syncjob").rglob("*.py")]
    found = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for file in files
        if DIALECTS not in file.parents
        for line in file.read_text("utf-8").splitlines()
        if ASKS.search(line) and line != ALLOWED.get(file.relative_to(ROOT).as_posix())
    ]
    assert found == ["syncjob/database/store.py: return self._database.dialect.name"]


@pytest.mark.parametrize("name", MODULES)
def test_each_dialect_is_found_by_its_name(name: str) -> None:
    """By the scheme of a URL, and by the dialect of an engine."""
    engine = create_engine({"postgresql": "postgresql+psycopg:///x"}.get(name, f"{name}://"))

    assert dialect_of_url(f"{name}:///somewhere") is dialect_for(engine.dialect)
    assert dialect_for(engine.dialect).name == name
