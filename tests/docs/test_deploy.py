"""The files of deploy/: valid by the rules of what reads them, and true to what they say."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from syncjob.cli.main import cli
from syncjob.config.file import SETTING_NAMES
from syncjob.errors import ExitCode

DEPLOY = Path(__file__).parents[2] / "deploy"
MANUAL = (DEPLOY.parent / "docs/manual/metrics.md").read_text("utf-8")
METRICS = {
    name: set(re.findall(r"`(\w+)`", labels))
    for names, labels in re.findall(r"^\| (`syncjob_[^|]*) \| ([^|]*)\|", MANUAL, re.MULTILINE)
    for name in re.findall(r"`(\w+)`", names)
}
DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
KUBERNETES = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
UNITS = ["syncjob.service", "syncjob@.service"]


def test_every_file_is_known_here() -> None:
    """A new one needs a check of its own."""
    assert {path.name for path in DEPLOY.iterdir()} == {
        *UNITS,
        "syncjob.timer",
        "syncjob@.timer",
        "syncjob.toml",
        "crontab",
        "logrotate",
        "syncjob.rules.yml",
        "grafana.json",
        "Containerfile",
        "kubernetes.yaml",
    }


@pytest.mark.parametrize("name", UNITS)
def test_the_unit_names_settings_commands_and_codes_of_the_job(name: str) -> None:
    """As they are called, and every exit code on purpose."""
    text = (DEPLOY / name).read_text()
    assert set(re.findall(r"SYNCJOB_\w+", text)) <= SETTING_NAMES | {"SYNCJOB_CONFIG"}
    commands = re.findall(
        r"^Exec\w+=-?/usr/local/bin/syncjob (\w+)(?: --quiet)?$", text, re.MULTILINE
    )
    assert commands == ["migrate", "sync"]
    assert set(commands) <= cli.commands.keys()
    assert "SuccessExitStatus=75\nRestart=no\n" in text
    explained = text.split("SuccessExit")[0].split("# What each exit code is")[1]
    assert {int(code) for code in re.findall(r"\b\d+\b", explained)} == set(ExitCode)


def test_the_template_is_the_unit_for_another_account() -> None:
    """But for names and paths they are the same."""
    one, many = ((DEPLOY / name).read_text().split("[Service]")[1] for name in UNITS)
    many = many.replace("%i.appsecret", "appsecret").replace("%i.toml", "syncjob.toml")
    assert many.splitlines() == one.splitlines()


@pytest.mark.parametrize("document", KUBERNETES, ids=lambda document: document["kind"])
def test_the_manifest_is_valid(document: dict[str, Any]) -> None:
    """By Kubernetes' own schema, with no field that it does not know."""
    kubernetes_validate.validate(document, "1.30", strict=True)


def test_the_manifest_lets_nobody_in() -> None:
    """No root, no capability, nothing to write but /tmp, and a secret that not everybody reads."""
    _, job = KUBERNETES
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    work = job["spec"]["jobTemplate"]["spec"]
    assert work["backoffLimit"] == 0
    pod = work["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["secret"]["secret"]["defaultMode"] & 0o007 == 0
    for container in pod["initContainers"] + pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {variable["name"] for variable in container["env"]} <= SETTING_NAMES
        assert set(container["args"]) <= cli.commands.keys()


def test_the_containerfile_has_no_fault_that_hadolint_knows() -> None:
    """The linter of Containerfiles, none of its rules off."""
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [hadolint, "--failure-threshold", "style", DEPLOY / "Containerfile"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_containerfile_copies_all_that_the_wheel_is_made_of() -> None:
    """What the build needs is there, and nothing that is not."""
    text = (DEPLOY / "Containerfile").read_text()
    lines = re.findall(r"^COPY (?!--)(.*)", text, re.MULTILINE)
    copied = {word.removeprefix("./") for line in lines for word in line.split()[:-1]}
    assert all((DEPLOY.parent / name).exists() for name in copied)
    build = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    wheel = build["targets"]["wheel"]
    assert set(wheel["packages"]) | set(wheel["force-include"]) <= copied


def test_the_lines_of_cron_run_commands_of_the_job() -> None:
    """Minute to weekday, a user, a command; those that are offered in comments too."""
    text = (DEPLOY / "crontab").read_text()
    lines = re.findall(r"^(?:# )?((?:[\d*][\d*/-]* ){5}.*)$", text, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        user, command, *words = line.split()[5:]
        assert (user, command) == ("syncjob", "syncjob")
        assert next(word for word in words if not word.startswith("-")) in cli.commands
        assert "%" not in line  # which cron would take for a line break


def test_logrotate_is_told_of_the_file_that_cron_appends_to() -> None:
    """The path is the same."""
    (path,) = re.findall(r"2>>(\S+)", (DEPLOY / "crontab").read_text())
    assert f"{path} {{" in (DEPLOY / "logrotate").read_text()


def test_systemd_finds_nothing_wrong() -> None:
    """Where its checker is there: no word it does not know, and an exposure below 3 of 10."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:  # not on every machine; the other checks of the units stand
        return
    for name in UNITS:
        done = subprocess.run(
            [analyze, "security", "--offline=true", "--no-pager", "--threshold=30", DEPLOY / name],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    for name in ("syncjob.timer", "syncjob@.timer"):
        done = subprocess.run(
            [analyze, "verify", "--man=no", DEPLOY / name], capture_output=True, text=True
        )
        # The command is not installed where it is checked.
        said = [line for line in done.stderr.splitlines() if "is not executable" not in line]
        assert said == []


def asks_for_what_there_is(expression: str) -> bool:
    """Tell whether the manual's table of metrics has each metric of a query, and its labels."""
    asked = re.findall(r"\b(syncjob_\w+)(?:{([^}]*)})?", expression)
    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
    labels = {"instance", "appid"}.union(*(METRICS[name] for name, _ in asked))
    return (
        bool(asked)
        and set(re.findall(r"\w+", " ".join(grouped))) <= labels
        and all(
            set(re.findall(r"(\w+)(?==|!)", matchers)) <= {"appid", *METRICS[name]}
            for name, matchers in asked
        )
    )


def test_the_alerts_are_over_metrics_of_the_job() -> None:
    """Every name in an expression is in the manual; each exit code is spoken of."""
    text = (DEPLOY / "syncjob.rules.yml").read_text()
    (group,) = yaml.safe_load(text)["groups"]
    for rule in group["rules"]:
        assert asks_for_what_there_is(rule["expr"]), rule["alert"]
        commands = re.findall(r"\bsyncjob (\w+)", rule["annotations"]["description"])
        assert set(commands) <= cli.commands.keys()
    codes = {
        int(code) for code in re.findall(r"\b\d+\b", text.split("here: ")[1].split("groups:")[0])
    }
    assert codes == set(ExitCode)


def test_prometheus_accepts_the_alerts() -> None:
    """Where its checker is there."""
    promtool("check", "rules", DEPLOY / "syncjob.rules.yml")


def test_the_alerts_fire_when_they_should() -> None:
    """By Prometheus' own clockwork, where it is there: each alert in time, and no other with it."""
    cases = Path(__file__).parent / "alerts.test.yml"
    promtool("test", "rules", cases)
    alerts = re.findall(r"- alert: (\w+)", (DEPLOY / "syncjob.rules.yml").read_text())
    assert alerts
    assert all(f'alertname="{alert}", alertstate="firing"' in cases.read_text() for alert in alerts)


def test_the_dashboard_asks_for_metrics_of_the_job() -> None:
    """Each metric, label and value of a query is in the manual, each variable on the dashboard."""
    for query in (query for panel in PANELS for query in panel["targets"]):
        assert asks_for_what_there_is(query["expr"]), query["expr"]
        shown = re.findall(r"{{(\w+)}}", query["legendFormat"])
        assert {"appid", *shown} <= set(re.findall(r"\w+", query["expr"]))
        assert set(re.findall(r"\$(\w+)", query["expr"])) <= {*VARIABLES, "__interval"}
        values = re.findall(r'(?:=~?|!=)"([^"$]*)"', query["expr"])
        assert all(f"`{value}`" in MANUAL for words in values for value in words.split("|"))
        assert query["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert VARIABLES["datasource"]["query"] == "prometheus"
    assert asks_for_what_there_is(VARIABLES["appid"]["query"])


def test_each_panel_says_what_it_shows_and_what_to_do() -> None:
    """It has a title of its own, a unit, and words with commands and settings that there are."""
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["description"].endswith((".", "?"))
        commands = re.findall(r"\bsyncjob ([a-z]+)", panel["description"])
        assert set(commands) <= cli.commands.keys()
        assert set(re.findall(r"SYNCJOB_\w+", panel["description"])) <= SETTING_NAMES
        for mapping in panel["fieldConfig"]["defaults"].get("mappings", ()):
            if mapping["type"] == "value":
                assert {int(code) for code in mapping["options"]} == set(ExitCode)


def test_no_two_panels_lie_on_each_other() -> None:
    """Each has a place on the grid, 24 wide, and a number of its own."""
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_prometheus_accepts_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    """Where its checker is there, which reads them as the rules of a file."""
    rules = [
        {"record": "panel", "expr": query["expr"].replace("$__interval", "1h")}
        for panel in PANELS
        for query in panel["targets"]
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "a", "rules": rules}]}))
    promtool("check", "rules", "--lint=none", tmp_path / "rules.yml")


def promtool(*arguments: str | Path) -> None:
    """Run Prometheus' checker and have it find nothing wrong; do nothing where it is not there."""
    found = shutil.which("promtool")
    if found is None:  # not on every machine; the other tests of these files stand
        return
    done = subprocess.run([found, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
