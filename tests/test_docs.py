"""The documentation does what it says: its code runs, its pages are those of the code."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PYTHON_BLOCKS = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL))
]


@pytest.mark.parametrize("block", PYTHON_BLOCKS)
def test_python_blocks_run(block):
    exec(compile(block, "documentation", "exec"), {})


def test_there_are_python_blocks():
    assert len(PYTHON_BLOCKS) >= 2


def test_pages_made_from_the_code_are_current():
    spec = importlib.util.spec_from_file_location("make_pages", ROOT / "docs" / "make_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, make in module.PAGES.items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == make(), f"run python docs/make_pages.py for {name}"


def test_the_scenario_in_the_documentation_is_the_one_in_the_repository():
    text = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
    documented = re.search(r"```yaml\n(.*?)```", text, re.DOTALL).group(1)
    repository = (ROOT / "configs" / "scenarios" / "two-tenants.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(documented) == yaml.safe_load(repository)


def test_links_between_documents_lead_somewhere():
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
