"""Prints what test_stopping.py measured, from its file in the form of JUnit."""

import sys
import xml.etree.ElementTree as ElementTree

seconds: dict[str, dict[str, str]] = {}
for case in ElementTree.parse(sys.argv[1]).iter("testcase"):
    found = {one.get("name"): one.get("value") for one in case.iter("property")}
    if found:
        seconds.setdefault(str(found["state"]), {})[str(found["database"])] = str(found["seconds"])
sys.stdout.write("| SIGTERM while … | SQLite | PostgreSQL |\n| --- | --: | --: |\n")
for state, measured in seconds.items():
    row = (state, measured.get("sqlite", ""), measured.get("postgresql", ""))
    sys.stdout.write(f"| {' | '.join(row)} |\n")
