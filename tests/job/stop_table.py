"""Print what test_stopping.py measured, from its JUnit file: states, databases, seconds."""

import sys
import xml.etree.ElementTree as ElementTree

seconds: dict[str, dict[str, str]] = {}
for case in ElementTree.parse(sys.argv[1]).iter("testcase"):
    found = {one.get("name"): one.get("value") for one in case.iter("property")}
    if found:
        seconds.setdefault(str(found["state"]), {})[str(found["database"])] = str(found["seconds"])
print("| SIGTERM while … | SQLite | PostgreSQL |\n| --- | --: | --: |")
for state, measured in seconds.items():
    print(f"| {state} | {measured.get('sqlite', '')} | {measured.get('postgresql', '')} |")
