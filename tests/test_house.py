"""The house stands as its plan says; import-linter (make lint) holds the arrows."""

import ast
import importlib
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import workbench

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "workbench").rglob("*.py"))


def test_no_module_is_over_500_lines():
    long = {str(p.relative_to(ROOT)): n for p in MODULES if (n := len(p.read_text().splitlines())) > 500}
    assert long == {}


def test_private_modules_are_imported_only_inside_their_room():
    trespass = []
    for path in MODULES:
        room = path.relative_to(ROOT / "workbench").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
            elif isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            else:
                continue
            for name in names:
                parts = name.split(".")
                private = any(p.startswith("_") and not p.startswith("__") for p in parts[1:])
                module = ROOT.joinpath(*parts)
                is_module = module.with_suffix(".py").exists() or module.is_dir()
                if parts[0] == "workbench" and private and is_module and parts[1] != room:
                    trespass.append(f"{path.relative_to(ROOT)}: {name}")
    assert trespass == []


@pytest.mark.parametrize("room", sorted({m.name for m in pkgutil.iter_modules(workbench.__path__)}))
def test_public_names_are_sorted_and_real(room):
    module = importlib.import_module(f"workbench.{room}")
    names = module.__all__
    assert list(names) == sorted(names)
    assert [n for n in names if not hasattr(module, n)] == []
    assert module.__doc__
    assert all(getattr(module, n).__doc__ for n in names if callable(getattr(module, n)))


def test_every_module_says_what_it_knows():
    told = {p: ast.get_docstring(ast.parse(p.read_text())) or "" for p in MODULES}
    exempt = {ROOT / "workbench/__init__.py", ROOT / "workbench/errors.py", ROOT / "workbench/cli/__main__.py"}
    silent = [str(p.relative_to(ROOT)) for p, text in told.items() if not ("Knows:" in text and "Does not know:" in text)]
    assert [s for s in silent if ROOT / s not in exempt] == []


def test_importing_the_workbench_is_light():
    heavy = ("matplotlib", "highdicom", "pandas", "pynetdicom", "anywidget")
    code = f"import workbench, sys; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_room_is_on_the_face():
    rooms = {m.name for m in pkgutil.iter_modules(workbench.__path__)} - {"cli"}
    assert rooms == set(workbench.__all__)
    assert workbench.phantoms.__name__ == "workbench.phantoms"
    with pytest.raises(AttributeError, match="no attribute 'helpers'"):
        _ = workbench.helpers


def test_dependencies_are_named_in_one_place():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    conda = [d.split("=")[0].split(">")[0] for d in environment["dependencies"] if isinstance(d, str)]
    named = {d.split(">")[0].split("=")[0].lower() for d in project["dependencies"]}
    assert pip == ["-e ."]
    assert named.isdisjoint(c.lower() for c in conda)
    assert f"python{project['requires-python']}" in environment["dependencies"]


def test_what_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {d.split(">")[0].split("=")[0].lower().replace("-", "_") for d in project["dependencies"]}
    names = {"PIL": "pillow"}
    imported = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {a.name.split(".")[0] for a in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    third = {m for m in imported if m not in sys.stdlib_module_names and m != "workbench"}
    assert {m for m in third if names.get(m, m).lower() not in declared} == set()


def test_every_dependency_has_its_reason_in_the_readme():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    readme = (ROOT / "README.md").read_text().lower()
    names = [d.split(">")[0].split("=")[0].lower() for d in project["dependencies"]]
    assert [n for n in names if f"| {n} |" not in readme] == []


def test_nothing_reaches_a_cdn_or_writes_html_from_strings_in_the_browser():
    guilty = [
        f"{path.name}: {word}"
        for path in (ROOT / "workbench").rglob("*.js")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "http://", "https://", "import(")
        if word in path.read_text()
    ]
    assert guilty == []
