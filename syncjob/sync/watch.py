"""Who watches a run: told of each step that is stored. By itself, nobody."""


class Watch:
    """Does nothing; a watcher overrides what it wants to know. Called from several threads."""

    # Whether `expect` is worth counting for.
    counts = False

    def listed(self, openids: int, total: int | None) -> None:
        """A page is stored, or held: so many are listed, of so many as WeChat says."""

    def due(self, people: int) -> None:
        """So many more are to be asked about."""

    def expect(self, people: int) -> None:
        """So many are left to be asked about, those among them that were due before."""

    def stored(self, people: int) -> None:
        """What WeChat says of so many more is stored."""
