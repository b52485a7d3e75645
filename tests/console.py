"""The commands of a page of documentation, run in their order in one shell, as a reader does.

A page is Markdown. What runs is in its ```console blocks: `$ ` starts a command, `> ` continues it,
other lines are what it prints. Comments of the page, which no reader sees, say what happens
meanwhile and which block is a file:

    <!-- meanwhile: the AppSecret is reset -->
    <!-- file: token.sh -->

A command must end with 0, unless the next one is `echo $?`. Of what is shown, `…` stands for
anything; times, durations and the width of columns may be others; all else must be printed, line
after line.
"""

import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(
    r"<!-- (meanwhile|file): (.*?) -->|^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE
)
# What is different each time it is run.
VARYING = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d([.,]\d+)?)?)?|\b[\d.]+ (ms|s|min|h|d)\b")
END = "\x1e"
LONGEST = 60.0  # seconds that a command may take


@dataclass
class Step:
    """A command and what is shown of its output; or a file to write; or what happens meanwhile."""

    kind: str  # command, file, meanwhile
    text: str
    shown: list[str] = field(default_factory=list)
    name: str = ""  # of the file


def steps_of(page: str) -> Iterator[Step]:
    """Yield what a page does, in its order."""
    name = ""
    for comment, what, language, block in FENCE.findall(page):
        if comment == "meanwhile":
            yield Step("meanwhile", what)
        elif comment == "file":
            name = what
        elif name:
            yield Step("file", block, name=name)
            name = ""
        elif language == "console":
            yield from _commands(block)


def _commands(block: str) -> Iterator[Step]:
    step: Step | None = None
    for line in block.splitlines():
        if line.startswith(("$ ", "# ")):  # the prompt of anybody, and of root
            if step is not None:
                yield step
            step = Step("command", line[2:])
        elif step is None:
            raise ValueError(f"a line of output before the first command: {line}")
        elif line.startswith("> ") or line == ">":
            step.text += "\n" + line[2:]
        else:
            step.shown.append(line)
    if step is not None:
        yield step


class Terminal:
    """A shell in a folder; each command reads `stdin`, not what is typed next."""

    def __init__(self, folder: Path, environment: dict[str, str], stdin: Path) -> None:
        self._stdin = stdin
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )

    def run(self, command: str) -> tuple[str, int]:
        """Run a command; return what it printed, both streams, and its exit code."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        overdue = threading.Timer(LONGEST, self._shell.kill)
        overdue.start()
        try:
            self._shell.stdin.write(
                f"(exit ${{last:-0}})\n{{ {command}\n}} <'{self._stdin}'\n"
                f"last=$?; printf '{END}%d\\n' $last\n"
            )
            self._shell.stdin.flush()
            output: list[str] = []
            for line in self._shell.stdout:
                before, end, code = line.partition(END)
                output.append(before)
                if end:
                    return "".join(output), int(code)
        finally:
            overdue.cancel()
        raise AssertionError(f"the shell ended, or took too long, at: {command}\n{''.join(output)}")

    def close(self) -> None:
        """End the shell, and what it has in the background."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.close()
        try:
            self._shell.wait(5)
        except subprocess.TimeoutExpired:
            self._shell.kill()
            self._shell.wait()
        self._shell.stdout.close()


def missing(shown: list[str], output: str) -> str | None:
    """Return the first line that is shown and was not printed behind the ones before it."""
    printed = iter([_plain(line) for line in output.splitlines()])
    for line in shown:
        if line.strip() in ("", "…"):
            continue
        pattern = re.compile(r".*".join(re.escape(part) for part in _plain(line).split("…")))
        if not any(pattern.fullmatch(candidate) for candidate in printed):
            return line
    return None


def _plain(line: str) -> str:
    return " ".join(VARYING.sub("#", line).split())
