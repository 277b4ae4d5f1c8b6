"""What the documentation says is run: its Python, its commands, its links, its tables.

A page is a story, told from top to bottom in an empty folder that has the repository's `examples/`, with a nats-server
of its own. Its Python blocks run in one namespace. An HTML comment right above a block steers it:

    <!-- file: counter.py -->       the block is written to that file
    <!-- run -->                    each command of the block is run, and prints what the page shows
    <!-- run: background -->        the command is started, and runs until the next one of this kind, or the page's end
    <!-- output -->                 the block shows what the Python block above it prints
    <!-- no-run: the reason -->     nothing is run

`...` in what is shown stands for any text. The server's port stands in the page as 4222. A command that is not run has
to be one that exists, with options that exist.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import groupby, takewhile
from pathlib import Path
from typing import NamedTuple

import anyio
import click
import msgspec
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from cliffracer import Refusal, Settings
from cliffracer.cli.call import exit_code_of
from cliffracer.cli.commands import cliffracer
from cliffracer.errors import CALL_ERRORS
from cliffracer.transport.server import run_server

ROOT = Path(__file__).parents[2]
PAGES = [
    *(page for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md") if (page := ROOT / name).exists()),
    *sorted(ROOT.glob("docs/**/*.md")),
]
SHELLS = ("sh", "bash", "shell", "console")
STEP_TIMEOUT = 20.0  # seconds


@pytest.fixture
def anyio_backend():
    return "asyncio"  # real servers and processes, real time


def each_page(**where):
    pages = [page for page in PAGES if not where or where["having"](page)]
    return pytest.mark.parametrize("page", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in pages])


# Reading a page


class Block(NamedTuple):
    """A fenced block: where it stands, its language, what steers it, its text."""

    where: str
    line: int
    language: str
    marker: str
    text: str


FENCE = re.compile(
    r"^(?:<!-- (?P<marker>[^>]*?) -->\n\n?)?(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    found = []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        where = f"{page.relative_to(ROOT).as_posix()}:{line}"
        body = textwrap.dedent(match["text"])
        found.append(Block(where, line, match["language"], match["marker"] or "", body))
    return found


def is_story(page: Path) -> bool:
    return any(block.language == "python" or block.marker.startswith("run") for block in blocks_of(page))


class Command(NamedTuple):
    """A command of a shell block, and what the page says it prints; None if the page does not say."""

    text: str
    shown: str | None


def commands_of(block: Block) -> list[Command]:
    if block.language != "console":
        lines = block.text.replace("\\\n", "").splitlines()
        return [Command(line, None) for line in lines if line.strip() and not line.startswith("#")]
    _, *parts = re.split(r"^\$ ", block.text.replace("\\\n", ""), flags=re.MULTILINE)
    return [Command(command, shown) for command, _, shown in (part.partition("\n") for part in parts)]


def prose_of(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def links_of(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose_of(page))


def table_of(page: Path, first_column: str) -> list[list[str]]:
    """Return the rows of the table whose first column has that title; code marks are taken off."""
    lines = page.read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    rows = takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


# Telling the story

# Runs in a process of its own: takes one Python block per line, in one namespace, and says what it printed.
READER = """
import contextlib, io, json, sys, traceback
def tell(**result): print(json.dumps(result), file=stdout, flush=True)
stdout, namespace = sys.stdout, sys.modules["__main__"].__dict__
for line in sys.stdin:
    block, printed = json.loads(line), io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile("\\n" * (block["line"] - 1) + block["text"], block["file"], "exec"), namespace)
    except BaseException:
        tell(printed=printed.getvalue(), error=traceback.format_exc())
    else:
        tell(printed=printed.getvalue(), error="")
"""


class Story:
    """A page being told."""

    def __init__(self, folder: Path, url: str, until_told: AsyncExitStack) -> None:
        self.folder = folder
        self.port = url.rpartition(":")[2]
        self.printed = ""
        self.last_exit = 0
        self.until_told = until_told
        self.background = AsyncExitStack()
        self.reader: Process | None = None
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("CLIFFRACER_", "PYTEST_"))}
        self.python_environment = clean
        self.environment = clean | {
            "CLIFFRACER_NATS_URL": url,
            "CLIFFRACER_LOG_FORMAT": "console",
            "PATH": sysconfig.get_path("scripts") + os.pathsep + clean["PATH"],
            "PYTHONUNBUFFERED": "1",
        }

    async def tell(self, block: Block) -> None:
        kind, _, detail = block.marker.partition(":")
        match kind, block.language:
            case ("no-run", _):
                assert detail.strip(), f"{block.where}: say why it is not run"
            case ("file", _):
                (self.folder / detail.strip()).write_text(self.localized(block.text))
            case ("output", _):
                assert_shows(block, block.text, self.printed)
            case ("run", "python") | ("", "python"):
                await self.run_python(block)
            case ("run", _) if detail.strip() == "background":
                await self.background.aclose()
                await self.background.enter_async_context(self.running(block))
            case ("run", _):
                for command in commands_of(block):
                    await self.run_command(block, command)
            case ("", _):
                pass
            case _:
                pytest.fail(f"{block.where}: unknown marker {block.marker!r}")

    def localized(self, text: str) -> str:
        return re.sub(r"(127\.0\.0\.1|localhost):4222", rf"\1:{self.port}", text)

    def as_on_the_page(self, output: str) -> str:
        return output.replace(f":{self.port}", ":4222")

    async def run_python(self, block: Block) -> None:
        if self.reader is None:
            command = [sys.executable, "-W", "error", "-c", READER]
            self.reader = await self.until_told.enter_async_context(
                await anyio.open_process(command, cwd=self.folder, env=self.python_environment, stderr=None)
            )
            self.replies = BufferedByteReceiveStream(self.reader.stdout)
        request = {"text": self.localized(block.text), "file": str(ROOT / block.where.partition(":")[0])}
        await self.reader.stdin.send(json.dumps(request | {"line": block.line}).encode() + b"\n")
        reply = json.loads(await self.replies.receive_until(b"\n", 1_000_000))
        assert not reply["error"], f"{block.where} failed:\n{reply['error']}"
        self.printed = self.as_on_the_page(reply["printed"])

    async def run_command(self, block: Block, command: Command) -> None:
        # `$?` is the exit code of the command before, as in a terminal.
        line = f"(exit {self.last_exit}); {self.localized(command.text)}"
        done = await anyio.run_process(
            line, cwd=self.folder, env=self.environment, check=False, stderr=subprocess.STDOUT
        )
        self.last_exit = done.returncode
        printed = self.as_on_the_page(done.stdout.decode())
        if command.shown is None:
            assert done.returncode == 0, f"{block.where}: {command.text!r} ended with {done.returncode}:\n{printed}"
        else:
            assert_shows(block, command.shown, printed)

    @asynccontextmanager
    async def running(self, block: Block) -> AsyncIterator[None]:
        (command,) = commands_of(block)
        log = self.folder / "background.log"
        with log.open("wb") as out:
            process = await anyio.open_process(
                f"exec {command.text}", cwd=self.folder, env=self.environment, stdout=out, stderr=subprocess.STDOUT
            )
        try:
            while "node_started" not in log.read_text():
                assert process.returncode is None, f"{block.where} ended:\n{log.read_text()}"
                await anyio.sleep(0.02)
            yield
        finally:
            with anyio.move_on_after(STEP_TIMEOUT, shield=True):
                if process.returncode is None:
                    process.send_signal(signal.SIGINT)
                await process.aclose()
        printed = log.read_text()
        assert process.returncode == 0, f"{block.where} ended with {process.returncode}:\n{printed}"
        if command.shown:
            assert_shows(block, command.shown, self.as_on_the_page(printed), to_the_end=False)


def assert_shows(block: Block, shown: str, printed: str, *, to_the_end: bool = True) -> None:
    lines = [line.rstrip() for line in printed.strip().splitlines()]
    pattern = re.escape(shown.strip()).replace(re.escape("..."), ".*?")
    matches = (re.fullmatch if to_the_end else re.match)(pattern, "\n".join(lines), re.DOTALL)
    assert matches, f"{block.where} shows\n\n{shown.strip()}\n\nand not what was printed:\n\n{printed}"


@pytest.mark.system
@pytest.mark.anyio
@each_page(having=is_story)
async def test_a_page_does_what_it_says(page, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    async with run_server(port=0) as url, AsyncExitStack() as until_told:
        story = Story(tmp_path, url, until_told)
        async with story.background:
            for block in blocks_of(page):
                with anyio.move_on_after(STEP_TIMEOUT) as patience:
                    await story.tell(block)
                assert not patience.cancelled_caught, f"{block.where} is not done after {STEP_TIMEOUT} s"


# Commands that are shown and not run


@each_page(having=lambda page: any(block.language in SHELLS for block in blocks_of(page)))
def test_commands_exist_with_the_options_that_are_shown(page):
    for block in blocks_of(page):
        if block.language in SHELLS:
            for command in commands_of(block):
                check_command(block, command.text)


def check_command(block: Block, text: str) -> None:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    for is_punctuation, words in groupby(lexer, key=lambda word: set(word) <= set("();<>|&")):
        if not is_punctuation:
            check_words(block, list(words))


def check_words(block: Block, words: list[str]) -> None:
    while words and re.match(r"\w+=", words[0]):
        variable = words.pop(0).partition("=")[0]
        assert not variable.startswith("CLIFFRACER_") or variable in variables(), f"{block.where}: {variable}"
    if not words or words[0] != "cliffracer":
        return
    name, *arguments = words[1:]
    try:
        command = cliffracer if name.startswith("-") else cliffracer.commands[name]
        command.make_context(name, [name, *arguments] if name.startswith("-") else arguments)
    except click.exceptions.Exit:
        pass  # --help, --version
    except (KeyError, click.ClickException) as error:
        pytest.fail(f"{block.where}: {' '.join(words)}: {error}")


def test_every_option_of_every_command_is_described():
    page = (ROOT / "docs/cli.md").read_text()
    for name, command in cliffracer.commands.items():
        assert f"## cliffracer {name}" in page
        section = page.partition(f"## cliffracer {name}")[2].partition("\n## ")[0]
        real = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        assert set(re.findall(r"^\| `(--[a-z-]+)", section, re.MULTILINE)) == real, name


# Links


def anchors_of(page: Path) -> set[str]:
    titles = re.findall(r"^#+ +(.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@each_page()
def test_links_lead_somewhere(page):
    for target in links_of(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: nothing is at {target}"
        assert not anchor or anchor in anchors_of(there), f"{page.name}: no heading for {target}"


@pytest.mark.parametrize("index", [ROOT / "docs/README.md", ROOT / "docs/design/README.md"], ids=["docs", "design"])
def test_every_page_of_a_folder_is_listed_in_its_index(index):
    assert {page.name for page in index.parent.glob("*.md")} - {index.name} <= set(links_of(index))


# Settings


def variables() -> set[str]:
    return {f"CLIFFRACER_{field.upper()}" for field in Settings.__struct_fields__}


def shown_default(value: object) -> str:
    if value is None:
        return "not set"
    return json.dumps(value) if not isinstance(value, str) else value or "empty"


def test_the_settings_page_has_every_variable_with_its_default():
    rows = table_of(ROOT / "docs/settings.md", "Variable")
    documented = {variable: default for variable, _, default, *_ in rows}
    assert len(documented) == len(rows)
    assert documented == {
        f"CLIFFRACER_{field.name.upper()}": shown_default(field.default) for field in msgspec.structs.fields(Settings)
    }


def test_the_example_environment_has_every_variable_and_each_value_is_accepted():
    lines = re.findall(r"^# (CLIFFRACER_\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    given = dict(lines)
    assert len(given) == len(lines)
    assert set(given) == variables()
    assert Settings.from_environment(given)


def test_pages_name_no_variable_that_does_not_exist():
    for page in PAGES:
        named = set(re.findall(r"CLIFFRACER_[A-Z][A-Z_]*[A-Z]", prose_of(page)))
        assert named <= variables(), page.name


# Errors


def test_the_table_of_errors_is_the_table_of_the_code():
    rows = table_of(ROOT / "docs/concepts.md", "Error")
    documented = {(error, code, int(status), retry, int(exits)) for error, code, status, retry, exits, _ in rows}
    calls = {
        (cls.__name__, code, cls.status, cls.retry, exit_code_of(cls("", ""))) for code, cls in CALL_ERRORS.items()
    }
    assert documented == calls | {("Refusal", "refused", 422, "-", exit_code_of(Refusal()))}
