"""What a user writes is checked by mypy and by pyright: right calls pass, wrong ones are errors.

The modules in `tests/typing` are read by the type checkers only. A wrong call in them carries an ignore comment, and
an ignore comment that ignores nothing is an error itself: so a wrong call that passes fails the test.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "tests/typing").glob("*.py"))
CHECKERS = {
    "mypy": [sys.executable, "-m", "mypy", *map(str, MODULES)],
    "pyright": [
        sys.executable,
        "-m",
        "pyright",
        "--pythonpath",
        sys.executable,
        "--project",
        str(ROOT / "tests/typing"),
    ],
}


def check(command, folder=ROOT):
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache")}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_there_is_something_to_check():
    ignored = {path.name: path.read_text().count("# pyright: ignore[") for path in MODULES}
    assert set(ignored) == {"administration.py", "handlers.py", "refs.py", "trees.py"}
    assert min(ignored.values()) > 5


@pytest.mark.parametrize("checker", CHECKERS)
def test_types_of_calls_trees_and_handlers_are_what_they_should_be(checker):
    done = check(CHECKERS[checker])
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_wrong_line_is_wrong_for_both():
    for path in MODULES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if "# pyright: ignore[" in line:
                assert "# type: ignore[" in line, f"{path.name}:{number}"


@pytest.mark.parametrize("checker", CHECKERS)
def test_ignore_comment_that_ignores_nothing_is_an_error(checker, tmp_path):
    # The tests above would prove nothing if it were not.
    for name in ("pyproject.toml", "tests/typing/pyrightconfig.json"):
        (tmp_path / Path(name).name).write_text((ROOT / name).read_text())
    module = tmp_path / "right.py"
    module.write_text("right: int = 1  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]\n")
    command = [part for part in CHECKERS[checker] if not part.endswith(".py")]
    command = [str(tmp_path) if part == str(ROOT / "tests/typing") else part for part in command]
    done = check([*command, str(module)] if checker == "mypy" else command, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "nnecessary" in done.stdout or "Unused" in done.stdout
