"""Files that others read while they are written: each is there whole, or as it was before."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import TextIO


class Draft:
    """What a file is to become. Made beside it, so that a folder that refuses is known early.

    Raises OSError where it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")
        self._draft = Path(name)

    @contextmanager
    def replacing(self) -> Iterator[TextIO]:
        """Open it to be written; at the end of the block it takes the file's place.

        Everybody may read the file, whatever the umask: a collector is another user. Raises
        OSError, after which the file is as it was.
        """
        try:
            with os.fdopen(self._descriptor, "w", encoding="utf-8") as file:
                yield file
            self._draft.chmod(0o644)
            self._draft.replace(self._path)
        finally:
            self._draft.unlink(missing_ok=True)


@contextmanager
def replaced(path: Path) -> Iterator[TextIO]:
    """Open what is to take the file's place at the end of the block; raise OSError if it cannot."""
    with Draft(path).replacing() as file:
        yield file
