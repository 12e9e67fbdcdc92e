"""What the documents say is what the results and the templates hold."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def agreement() -> ModuleType:
    spec = importlib.util.spec_from_file_location("agreement_benchmark", ROOT / "benchmarks" / "agreement.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_agreement_page_is_made_from_the_results(agreement: ModuleType) -> None:
    assert (ROOT / "docs" / "agreement.md").read_text() == agreement.page(agreement.results())


def test_every_suite_has_enough_previews_and_joint_runs(agreement: ModuleType) -> None:
    found = agreement.results()
    assert set(found) == {"digits", "sentiment", "vision"}
    for runs in found.values():
        for run in runs:
            made = [row["fidelity"] for row in run["rows"]]
            assert made.count("joint") >= 7
            assert all(sum(row["method"] == method for row in run["rows"]) >= 21 for method in ("simple", "diagonal"))
            assert "/" not in json.dumps(run["provenance"]).replace("params/", "")


def test_links_between_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_opens_with_the_two_commands_that_ci_runs() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks[0].strip() == "pip install -e . -c constraints.txt && foretaste demo"
    assert blocks[1].strip() == "pip install -e '.[test]' -c constraints.txt && pytest"
    script = (ROOT / ".ci" / "run").read_text()
    assert "-e '.[test]' -c constraints.txt" in script
    assert "pytest" in script
