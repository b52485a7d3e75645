"""Files that are there whole, or as they were before, whoever reads them meanwhile."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import TextIO


class AtomicFile:
    """What a file is to become. Made beside it, so that a folder that refuses is known early.

    `mode` are the file's rights, whatever the umask. Raises OSError where it cannot be made.
    """

    def __init__(self, path: Path, *, mode: int) -> None:
        self._path = path
        self._mode = mode
        self._descriptor, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")
        self._draft = Path(name)

    @contextmanager
    def writing(self) -> Iterator[TextIO]:
        """Open it to be written; at the end of the block it takes the file's place.

        Raises OSError, after which the file is as it was.
        """
        try:
            with os.fdopen(self._descriptor, "w", encoding="utf-8") as file:
                yield file
            self._draft.chmod(self._mode)
            self._draft.replace(self._path)
        finally:
            self._draft.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path, *, mode: int) -> Iterator[TextIO]:
    """Open what is to take the file's place at the end of the block; raise OSError if it cannot."""
    with AtomicFile(path, mode=mode).writing() as file:
        yield file
