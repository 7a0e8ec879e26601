"""The house rules that no linter knows, each with proof that its check can fail.

The import contracts are read from ``[tool.importlinter]`` in ``pyproject.toml``, so they are written once.
import-linter applies them to the graph of ``.py`` modules; here they are applied to the import and cimport
lines of every source file, compiled ones and their declarations included.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES = 500
SOURCE_SUFFIXES = {".py", ".pyx", ".pxd", ".pyi"}
TEXT_SUFFIXES = {*SOURCE_SUFFIXES, ".build", ".cff", ".ipynb", ".md", ".toml", ".txt", ".yaml", ".yml"}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS: list[dict[str, Any]] = PROJECT["tool"]["importlinter"]["contracts"]


def files_under(*folders: str, suffixes: set[str]) -> list[Path]:
    """The files of those folders, in order, without caches."""
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes and path.is_file() and "__pycache__" not in path.parts
    )


PACKAGE = files_under("xengym", suffixes=SOURCE_SUFFIXES)
CODE = [*PACKAGE, *files_under("agents", suffixes=SOURCE_SUFFIXES)]
TEXTS = [
    *files_under("xengym", "agents", "configs", "docs", "notebooks", "tests", suffixes=TEXT_SUFFIXES),
    *(path for path in sorted(ROOT.glob("*")) if path.suffix in TEXT_SUFFIXES),
    *(path for name in ("Makefile", ".ci/run", ".pre-commit-config.yaml") if (path := ROOT / name).exists()),
]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def complaints_about(paths: Iterable[Path], check: Callable[[str, str], list[str]]) -> list[str]:
    return [complaint for path in paths for complaint in check(name_of(path), path.read_text(encoding="utf-8"))]


# --- imports ----------------------------------------------------------------------------------------------

STRING_OR_COMMENT = re.compile(
    r'"""(?:\\.|[^\\])*?"""|'
    r"'{3}(?:\\.|[^\\])*?'{3}|"
    r'"(?:\\.|[^"\\\n])*"|'
    r"'(?:\\.|[^'\\\n])*'|"
    r"#[^\n]*",
    re.DOTALL,
)
NAMES = r"(?:\([^)]*\)|(?:\\\n|[^\n;])+)"
IMPORT = re.compile(
    rf"(?:^|[;:])[ \t]*(?:from[ \t]+(?P<module>[.\w]+)[ \t]+c?import\b[ \t]*(?P<names>{NAMES})"
    rf"|c?import[ \t]+(?P<modules>{NAMES}))",
    re.MULTILINE,
)


def module_of(relative: str) -> tuple[str, str]:
    """A source file's dotted name and the package its relative imports start from."""
    parts = list(PurePosixPath(relative).with_suffix("").parts)
    if parts[-1] == "__init__":
        return ".".join(parts[:-1]), ".".join(parts[:-1])
    return ".".join(parts), ".".join(parts[:-1])


def imports_of(text: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and dotted target of each name that ``text`` imports or cimports, at any depth."""
    # Strings and comments may speak of imports; their line breaks stay, so that line numbers do.
    text = STRING_OR_COMMENT.sub(lambda match: '""' + "\n" * match[0].count("\n"), text)
    for match in IMPORT.finditer(text):
        module = match["module"]
        names = (match["names"] or match["modules"]).strip("()").replace("\\\n", " ").split(",")
        words = [words[0] for name in names if (words := name.split())]
        if module is None:
            targets = words
        else:
            level = len(module) - len(module.lstrip("."))
            base = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            source = ".".join([*base, *filter(None, [module.lstrip(".")])])
            targets = [f"{source}.{word}" for word in words]
        line = text.count("\n", 0, match.start() + len(match[0]) - len(match[0].lstrip())) + 1
        yield from ((line, target) for target in targets)


def is_within(module: str, ancestor: str) -> bool:
    return module == ancestor or module.startswith(ancestor + ".")


def matches(module: str, pattern: str) -> bool:
    """import-linter's wildcards: ``*`` is one name, ``**`` one or more."""
    expression = re.escape(pattern).replace(r"\*\*", r"\w+(?:\.\w+)*").replace(r"\*", r"\w+")
    return re.fullmatch(expression, module) is not None


def layer_complaint(contract: dict[str, Any], importer: str, target: str) -> str | None:
    for container in contract["containers"]:
        place = {}
        for height, layer in enumerate(reversed(contract["layers"])):
            for name in re.findall(r"\w+", layer):
                place[f"{container}.{name}"] = (height, "|" in layer)
        here, there = (next((room for room in place if is_within(module, room)), None) for module in (importer, target))
        if here is None or there is None or here == there:
            continue
        if place[there][0] > place[here][0]:
            return f"{here} is below {there} and may not import it"
        if place[there] == (place[here][0], True):
            return f"{here} and {there} may not import each other"
    return None


def forbidden_complaint(contract: dict[str, Any], importer: str, target: str) -> str | None:
    for ignored in contract.get("ignore_imports", []):
        source, _, imported = ignored.partition(" -> ")
        if matches(importer, source) and matches(target, imported):
            return None
    if any(is_within(importer, source) for source in contract["source_modules"]):
        for forbidden in contract["forbidden_modules"]:
            if is_within(target, forbidden):
                return f"{contract['name']}: {importer} may not import {forbidden}"
    return None


CONTRACT_CHECKS = {"layers": layer_complaint, "forbidden": forbidden_complaint}


def import_complaints(relative: str, text: str) -> list[str]:
    """What the contracts have against the imports of one source file."""
    importer, package = module_of(relative)
    return [
        f"{relative}:{line}: {complaint}"
        for line, target in imports_of(text, package)
        for contract in CONTRACTS
        if (complaint := CONTRACT_CHECKS[contract["type"]](contract, importer, target))
    ]


def test_imports_keep_to_the_contracts() -> None:
    complaints = complaints_about(CODE, import_complaints)
    assert not complaints, "\n".join(complaints)


def test_every_contract_is_one_that_is_checked_here() -> None:
    assert {contract["type"] for contract in CONTRACTS} <= CONTRACT_CHECKS.keys()
    assert {contract["id"] for contract in CONTRACTS} == {
        "layers",
        "policies-mechanisms",
        "no-learner",
        "no-gymnasium",
    }


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("xengym/machine/state.pyx", "from xengym.hypervisor.host cimport Host\n"),
        ("xengym/machine/state.pxd", "from xengym.sim cimport timers\n"),
        ("xengym/sim/random.py", "from xengym.hypervisor.host import Host\n"),
        ("xengym/sim/random.py", "def draw():\n    import xengym.mechanisms.runstate as runstate\n"),
        ("xengym/mechanisms/runstate.pyx", "cimport numpy, xengym.policies.schedulers.api\n"),
        ("xengym/mechanisms/runstate.pyx", "from ..policies.schedulers cimport api\n"),
        ("xengym/mechanisms/runstate.pyx", "from .. import (\n    sim,\n    policies,\n)\n"),
        ("xengym/policies/control/share_guard.pyx", "from xengym.mechanisms.runstate cimport set_runstate\n"),
        ("xengym/policies/schedulers/credit.pyx", "from xengym.hypervisor.host cimport Host\n"),
        ("xengym/formats/swf.py", "from xengym.monitor import xentop\n"),
        ("xengym/hypervisor/host.pyx", "if 1: import gymnasium\n"),
        ("xengym/hypervisor/host.pyi", "from gymnasium.spaces import \\\n    Box\n"),
        ("xengym/envs/host/env.py", "import torch.nn as nn\n"),
        ("xengym/__init__.py", "from agents import train\n"),
        ("xengym/cli/app.py", 'HELP = "#"; from stable_baselines3 import PPO\n'),
    ],
)
def test_a_forbidden_import_is_found(path: str, text: str) -> None:
    assert len(import_complaints(path, text)) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("xengym/hypervisor/host.pyx", "from xengym.policies.schedulers.api cimport Scheduler\n"),
        ("xengym/policies/schedulers/credit.pyx", "from xengym.mechanisms.softirq cimport raise_schedule\n"),
        ("xengym/policies/schedulers/credit.pyx", "from .api cimport Scheduler\nfrom . cimport api\n"),
        ("xengym/guests/cpu.pyx", "from xengym.hypervisor.host cimport Host  # not gymnasium\n"),
        ("xengym/envs/host/env.py", "import gymnasium as gym\nfrom xengym.render import frames\n"),
        (
            "xengym/sim/random.pyx",
            '"""As in:\nfrom xengym.cli import app\n"""\n# import torch\n',
        ),
        ("agents/train.py", "import torch\nfrom xengym.envs.host import env\n"),
    ],
)
def test_an_allowed_import_is_left_alone(path: str, text: str) -> None:
    assert import_complaints(path, text) == []


def test_complaints_name_the_line() -> None:
    text = '"""Two\nlines."""\n\nimport numpy\nimport torch\n'
    assert import_complaints("xengym/sim/random.py", text) == [
        "xengym/sim/random.py:5: xengym knows no learner: xengym.sim.random may not import torch"
    ]


# --- files ------------------------------------------------------------------------------------------------


def companion_complaints(files: dict[str, str]) -> list[str]:
    """A compiled module declares itself to other kernels (``.pxd``) and to type checkers (``.pyi``)."""
    complaints = []
    for name, text in files.items():
        stem, dot, suffix = name.rpartition(".")
        if suffix != "pyx":
            continue
        if stem + dot + "pyi" not in files:
            complaints.append(f"{name} has no stub {stem}.pyi")
        if stem + dot + "pxd" not in files and not re.search(r"^# No \.pxd: \S", text, re.MULTILINE):
            complaints.append(f"{name} has no {stem}.pxd and no line '# No .pxd: <reason>'")
    return complaints


def name_complaints(names: Iterable[str]) -> list[str]:
    return [name for name in names if VAGUE_NAMES & set(PurePosixPath(name).with_suffix("").parts)]


def length_complaints(name: str, text: str) -> list[str]:
    num_lines = len(text.splitlines())
    return [f"{name} has {num_lines} lines: its subject is two subjects"] if num_lines > MAX_LINES else []


# Written in pieces, so that this file passes its own check.
FOLDERS = "etc|home|mnt|opt|private|root|srv|tmp|usr|Users|var|work"
HOSTS = ("py" + "pi", "python" + "hosted", "ana" + "conda", "download.py" + "torch", "npm" + "js")
PLACE = re.compile(
    rf"(?<![\w.:/$~)}}*-])/(?:{FOLDERS})/\w"
    r"|\b[A-Z]:\\+\w"
    rf"|\b(?:{'|'.join(map(re.escape, HOSTS))})\.(?:org|com|io)\b"
)


def place_complaints(name: str, text: str) -> list[str]:
    """Paths of one machine and hosts of one registry: neither is there on the reader's machine."""
    lines = text.splitlines()
    return [
        f"{name}:{number}: {match[0]}"
        for number, line in enumerate(lines, 1)
        if not (number == 1 and line.startswith("#!"))
        for match in PLACE.finditer(line)
    ]


def test_compiled_modules_have_declarations_and_stubs() -> None:
    complaints = companion_complaints({name_of(path): path.read_text(encoding="utf-8") for path in PACKAGE})
    assert not complaints, "\n".join(complaints)


def test_a_missing_companion_is_found() -> None:
    assert len(companion_complaints({"xengym/sim/a.pyx": "cdef int x\n"})) == 2
    assert companion_complaints({"xengym/sim/a.pyx": "# No .pxd:\n", "xengym/sim/a.pyi": ""}) != []
    reasoned = {"xengym/sim/a.pyx": "# No .pxd: only Python calls it.\n", "xengym/sim/a.pyi": ""}
    assert companion_complaints(reasoned) == []
    assert companion_complaints({"xengym/sim/a.pyx": "", "xengym/sim/a.pyi": "", "xengym/sim/a.pxd": ""}) == []


def test_no_file_or_folder_has_a_vague_name() -> None:
    assert name_complaints(map(name_of, CODE)) == []


@pytest.mark.parametrize("name", ["xengym/sim/utils.py", "xengym/common/clock.pyx", "agents/helpers.py"])
def test_a_vague_name_is_found(name: str) -> None:
    assert name_complaints([name, "xengym/sim/commonality.py"]) == [name]


def test_no_file_is_too_long() -> None:
    complaints = complaints_about(CODE, length_complaints)
    assert not complaints, "\n".join(complaints)


def test_a_file_that_is_too_long_is_found() -> None:
    assert length_complaints("a.py", "\n" * MAX_LINES) == []
    assert length_complaints("a.py", "\n" * (MAX_LINES + 1)) != []


def test_no_file_names_a_place_of_one_machine() -> None:
    complaints = complaints_about(TEXTS, place_complaints)
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("folder", FOLDERS.split("|"))
def test_an_absolute_path_is_found(folder: str) -> None:
    assert place_complaints("a.py", f'open("/{folder}/x")') != []
    assert place_complaints("a.py", f"see example.org/{folder}/x, ../{folder}/x and $(HERE)/{folder}/x") == []


@pytest.mark.parametrize("host", HOSTS)
def test_a_registry_host_is_found(host: str) -> None:
    assert place_complaints("a.md", f"\nfrom https://files.{host}.org/simple") != []


def test_only_the_first_line_may_name_an_interpreter() -> None:
    first = "#!" + "/usr" + "/bin/env bash\n"
    assert place_complaints("run", first) == []
    assert place_complaints("run", "\n" + first) != []


def test_the_checks_have_something_to_check() -> None:
    assert {path.suffix for path in PACKAGE} == SOURCE_SUFFIXES
    assert {"Makefile", "pyproject.toml", "xengym/meson.build"} <= set(map(name_of, TEXTS))
