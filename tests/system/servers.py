"""nats-servers that break: killed, frozen, retired, started again on the same port; alone, in pairs, with users."""

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import nkeys
import pytest

from cliffracer.transport.server import find_server_binary

__all__ = ["Operator", "Server", "cluster_of_two", "free_ports"]

HOST = "127.0.0.1"
PATIENCE = 20.0  # seconds; a bound for a hang, not a measure


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Server:
    """A nats-server on one port, through all that happens to it."""

    def __init__(self, folder: Path, config: str = "", name: str = "server") -> None:
        """Describe a server; nothing is started.

        Args:
            folder: Where its configuration and its log go.
            config: What is to stand in the configuration besides its address.
            name: For the files, where one folder serves several.
        """
        self.port, self.monitor_port = free_ports(2)
        self.url = f"nats://{HOST}:{self.port}"
        self._config = folder / f"{name}.conf"
        self._config.write_text(
            f'listen: "{HOST}:{self.port}"\nhttp: "{HOST}:{self.monitor_port}"\n'
            f'logfile: "{folder / name}.log"\n{config}\n'
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it greets."""
        assert self._process is None, "it runs already"
        self._process = subprocess.Popen(
            [str(find_server_binary()), "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + PATIENCE
        while not self.greets():
            if self._process.poll() is not None:
                _, errors = self._process.communicate()
                pytest.fail(f"nats-server did not start: {errors.decode()}")
            if time.monotonic() > deadline:
                pytest.fail("nats-server did not greet")
            time.sleep(0.01)

    def greets(self) -> bool:
        """Tell whether a new connection gets the server's first line."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1.0) as probe:
                return probe.recv(5) == b"INFO "
        except OSError:
            return False

    def kill(self) -> None:
        """End it without a word."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Let it hold its connections open and do nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def retire(self) -> None:
        """Put it into lame duck mode: it tells its clients, and sends them away one by one."""
        assert self._process is not None
        subprocess.run(
            [str(find_server_binary()), "--signal", f"ldm={self._process.pid}"], check=True, timeout=PATIENCE
        )

    def wait(self) -> None:
        """Wait until it has ended by itself."""
        assert self._process is not None
        self._process.wait(PATIENCE * 3)
        self._end(signal.SIGKILL)

    def subscriptions(self, client: str) -> set[tuple[str, str]]:
        """Return subject and queue group of each subscription of the clients called `client`, inboxes left out."""
        return {
            (found["subject"], found.get("qgroup", ""))
            for connection in self.connections()
            if connection.get("name") == client
            for found in connection.get("subscriptions_list_detail", ())
            if not found["subject"].startswith("_INBOX.")
        }

    def connections(self) -> list[dict[str, Any]]:
        """Return what the server says about each client that is connected; none if it is away."""
        try:
            with urlopen(f"http://{HOST}:{self.monitor_port}/connz?subs=detail", timeout=PATIENCE) as response:
                found: list[dict[str, Any]] = json.load(response)["connections"]
        except OSError:
            return []
        return found

    def close(self) -> None:
        """End it, if it still runs."""
        if self._process is not None:
            self._end(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        if number != signal.SIGKILL:
            process.send_signal(signal.SIGCONT)
        process.communicate(timeout=PATIENCE)


@contextmanager
def cluster_of_two(folder: Path, config: str = "") -> Iterator[tuple[Server, Server]]:
    """Two servers with routes to each other; each tells its clients of the other."""
    routes = free_ports(2)
    servers = [
        Server(
            folder,
            f'server_name: "{name}"\n'
            f'cluster {{ name: pair, listen: "{HOST}:{routes[own]}", routes: ["nats://{HOST}:{routes[1 - own]}"] }}\n'
            + config,
            name,
        )
        for own, name in enumerate(("one", "two"))
    ]
    try:
        for server in servers:
            server.start()
        deadline = time.monotonic() + PATIENCE
        while not all(_routes_of(server) for server in servers):
            if time.monotonic() > deadline:
                pytest.fail("the servers did not find each other")
            time.sleep(0.02)
        yield servers[0], servers[1]
    finally:
        for server in servers:
            server.close()


def _routes_of(server: Server) -> int:
    with urlopen(f"http://{HOST}:{server.monitor_port}/routez", timeout=PATIENCE) as response:
        return int(json.load(response)["num_routes"])


class Operator:
    """Who signs accounts and users, so that credentials can expire. The server is told by `config`."""

    def __init__(self) -> None:
        """Make the keys of an operator and of one account."""
        self._operator, _ = _key_pair(nkeys.PREFIX_BYTE_OPERATOR)
        self._account, _ = _key_pair(nkeys.PREFIX_BYTE_ACCOUNT)
        self._user, self._user_seed = _key_pair(nkeys.PREFIX_BYTE_USER)

    @property
    def config(self) -> str:
        """What a server needs in its configuration to trust this operator."""
        unlimited = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
        operator = _jwt(self._operator, self._operator, "operator", {"type": "operator"})
        account = _jwt(
            self._account, self._operator, "account", {"type": "account", "limits": {**unlimited, "wildcards": True}}
        )
        return (
            f'operator: "{operator}"\nresolver: MEMORY\nresolver_preload: {{ {_public(self._account)}: "{account}" }}'
        )

    def write_creds(self, path: Path, *, valid_for: int) -> None:
        """Write the credentials of the user to `path`, in one step.

        Args:
            path: The `.creds` file.
            valid_for: Seconds until they expire; whole ones, as JWT counts.
        """
        claims = {"type": "user", "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1}
        user = _jwt(self._user, self._account, "user", claims, expires=int(time.time()) + valid_for)
        fresh = path.with_suffix(".new")
        fresh.write_text(
            f"-----BEGIN NATS USER JWT-----\n{user}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{self._user_seed.decode()}\n------END USER NKEY SEED------\n"
        )
        fresh.replace(path)


def _key_pair(prefix: int) -> tuple[Any, bytes]:
    seed = bytes(nkeys.encode_seed(os.urandom(32), prefix))
    return nkeys.from_seed(bytearray(seed)), seed


def _public(keys: Any) -> str:
    return keys.public_key.decode()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _jwt(subject: Any, issuer: Any, name: str, claims: dict[str, Any], expires: int | None = None) -> str:
    body: dict[str, Any] = {
        "iat": int(time.time()),
        "iss": _public(issuer),
        "sub": _public(subject),
        "name": name,
        "nats": {"version": 2, **claims},
    }
    if expires is not None:
        body["exp"] = expires
    digest = hashlib.new("sha512_256", json.dumps(body, sort_keys=True).encode()).digest()
    body["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
    text = ".".join(_base64(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, body))
    return f"{text}.{_base64(issuer.sign(text.encode()))}"
