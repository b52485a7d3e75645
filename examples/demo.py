"""A demo of syncjob: copies 23 000 simulated followers into a new SQLite file in a minute.

Run it with `make demo`. Everything runs on this machine: WeChat is `syncjob simulate`.
"""

import os
import shlex
import sqlite3
import subprocess
import sys
import sysconfig
from pathlib import Path

FOLDER = Path("build/demo")
DATABASE = FOLDER / "syncjob.db"
SYNCJOB = Path(sysconfig.get_path("scripts")) / "syncjob"
REHEARSAL = ("simulate", "--followers", "23000")
COLUMNS = ("openid", "subscribe", "subscribe_time", "subscribe_scene", "tagid_list", "remark")


def main() -> None:
    """Migrate, sync twice, and show the result."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file in FOLDER.iterdir():
        file.unlink()
    os.environ["SYNCJOB_DATABASE_URL"] = f"sqlite:///{DATABASE}"
    os.environ["SYNCJOB_SWEEP_EVERY"] = "0"
    run("An empty database gets its tables:", "migrate")
    run("WeChat has 23 000 followers; fetch them all:", *REHEARSAL, "--", "syncjob", "-v", "sync")
    run("Once more: nothing is new, so nothing is written:", *REHEARSAL, "--", "syncjob", "sync")
    run("What is in the database now:", "status")
    run("How the runs went:", "runs")
    print("\nFive of the followers:")
    print("  ".join(COLUMNS))
    with sqlite3.connect(DATABASE) as connection:
        select = f"SELECT {', '.join(COLUMNS)} FROM followers LIMIT 5"  # noqa: S608 - our own names
        for row in connection.execute(select):
            print("  ".join(str(value) for value in row))
    print(f"\nThe database is yours to look at: {DATABASE}")


def run(heading: str, *arguments: str) -> None:
    """Print a command, run it, and stop the demo if it fails."""
    print(f"\n{heading}\n$ syncjob {shlex.join(arguments)}", flush=True)
    words = [str(SYNCJOB) if word == "syncjob" else word for word in arguments]
    code = subprocess.run([SYNCJOB, *words], check=False).returncode
    if code:
        sys.exit(f"syncjob {arguments[0]} ended with exit code {code}")


if __name__ == "__main__":
    main()
