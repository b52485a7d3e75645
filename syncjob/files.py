"""Atomic replacement of files: a reader sees the old content or the new, never a part."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import TextIO


class AtomicFile:
    """A temporary file that replaces `path` when it is complete.

    It is created at once in the same folder, so that missing permissions show early. `mode` is the
    file's mode, independent of the umask. Raises OSError if it cannot be created.
    """

    def __init__(self, path: Path, *, mode: int) -> None:
        self._path = path
        self._mode = mode
        self._descriptor, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")
        self._temporary = Path(name)

    @contextmanager
    def writing(self) -> Iterator[TextIO]:
        """Yield the temporary file; replace `path` by it at the end of the block.

        On an error, OSError included, `path` is unchanged.
        """
        try:
            with os.fdopen(self._descriptor, "w", encoding="utf-8") as file:
                yield file
            self._temporary.chmod(self._mode)
            self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path, *, mode: int) -> Iterator[TextIO]:
    """Yield a file that replaces `path` at the end of the block. Raises OSError."""
    with AtomicFile(path, mode=mode).writing() as file:
        yield file
