"""The file tree is the architecture: imports point down, and `import cliffracer` needs five packages."""

import ast
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cliffracer"
FILES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OPTIONAL = ["click", "rich", "uvloop", "trio", "nacl", "nkeys", "hypothesis", "pytest"]


def imports_of(path):
    """Yield each module that a file imports, wherever in it, by its full name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def who_imports(*packages):
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if any(module.split(".")[0] in packages for module in imports_of(path))
    }


def run(*command, cwd=ROOT):
    # What is installed is what counts, and not what the developer has on the path.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_imports_point_down_and_form_no_cycles():
    done = run(sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
    for contract in PROJECT["tool"]["importlinter"]["contracts"]:
        assert f"{contract['name']} KEPT" in done.stdout


def test_contract_on_layers_knows_every_part_of_the_package():
    (layers,) = [c for c in PROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    named = {name.strip() for line in layers["layers"] for name in line.split("|")}
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert named == there - {"__init__"}
    assert layers["exhaustive"] is True


def test_contract_on_nats_knows_every_part_of_the_package_but_the_nats_transport():
    (forbidden,) = [c for c in PROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "forbidden"]
    sources = [name.removeprefix("cliffracer.").replace(".", "/") for name in forbidden["source_modules"]]
    uncovered = [
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if not any(path.relative_to(PACKAGE).with_suffix("").as_posix().startswith(source) for source in sources)
    ]
    assert [name for name in uncovered if not name.startswith("transport/nats/")] == [
        "__init__.py",
        "testing/__init__.py",
        "testing/virtual_time.py",
        "transport/__init__.py",
    ]


def test_nobody_inside_imports_from_the_top():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "cliffracer":
                # The version is no part of the public names, and lives nowhere else.
                assert [alias.name for alias in node.names] == ["__version__"], f"{path}:{node.lineno}"


def test_nobody_but_the_nats_transport_knows_nats_and_asyncio():
    assert who_imports("nats") == {
        "transport/nats/client.py",
        "transport/nats/fast.py",
        "transport/nats/opening.py",
        "transport/nats/sinks.py",
        "transport/nats/transport.py",
    }
    assert who_imports("asyncio") <= who_imports("nats") | {"transport/nats/requests.py", "testing/virtual_time.py"}


def test_nobody_but_the_command_line_knows_click_and_rich():
    assert {path.split("/")[0] for path in who_imports("click", "rich")} == {"cli"}


def test_nobody_knows_uvloop_by_name_and_none_but_the_test_kit_trio():
    assert who_imports("uvloop") == set()
    assert {path.split("/")[0] for path in who_imports("trio")} == {"testing"}


def test_nobody_knows_pytest():
    assert who_imports("pytest", "_pytest") == set()


def test_no_file_is_called_after_nothing():
    parts = {part for path in FILES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert parts.isdisjoint({"utils", "util", "common", "helpers", "base", "misc", "tools"})


@pytest.mark.parametrize("module", ["cliffracer", "cliffracer.cli", "cliffracer.testing"])
def test_import_does_not_pull_in_what_is_optional(module):
    # structlog takes rich where it finds it; that is its own affair.
    dependencies = "import anyio, jwt, msgspec, nats.aio.client, structlog, sys; before = set(sys.modules)"
    code = f"{dependencies}; import {module}; print(*sorted((set(sys.modules) - before) & set({OPTIONAL!r})))"
    done = run(sys.executable, "-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


def test_import_does_not_need_what_is_optional():
    missing = f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL!r}))"
    done = run(sys.executable, "-c", f"{missing}; import cliffracer, cliffracer.cli, cliffracer.testing")
    assert done.returncode == 0, done.stderr


def test_import_reads_no_environment_and_prints_nothing():
    code = "import os; os.environ['CLIFFRACER_NONSENSE'] = '1'; import cliffracer"
    done = run(sys.executable, "-W", "error", "-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_base_dependencies_are_five():
    names = sorted(text.split(">")[0] for text in PROJECT["project"]["dependencies"])
    assert names == ["anyio", "msgspec", "nats-py", "pyjwt", "structlog"]


@pytest.mark.system
def test_package_can_be_imported_with_its_base_dependencies_alone(tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv/bin/python")
    installed = run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(ROOT))
    assert installed.returncode == 0, installed.stdout + installed.stderr
    found = run(python, "-c", "import cliffracer, cliffracer.testing; print(cliffracer.__file__)", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith(str(tmp_path)), "it is the installed package, and not the one of the repository"
    code = f"import importlib.util as u; print(*[n for n in {OPTIONAL!r} if u.find_spec(n)])"
    assert run(python, "-c", code, cwd=tmp_path).stdout.strip() == ""
    told = run(str(tmp_path / "venv/bin/cliffracer"), "--help", cwd=tmp_path)
    assert told.returncode == 2
    assert "pip install 'cliffracer[cli]'" in told.stderr
