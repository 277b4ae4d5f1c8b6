"""The NATS service protocol, ADR-32: which services run here, what they offer, and what they have done.

Every actor and every pool of a node is a service, its handlers are the endpoints. The node answers `$SRV.PING`,
`$SRV.INFO` and `$SRV.STATS` for all of them in the transport's own loop, beside the mailboxes, so that a busy actor is
seen as well as an idle one. A handful of subscriptions serves the whole node, whatever the number of its actors.

Who asks for all services hears nothing of what runs below dynamic supervisors: ten thousand sessions would be ten
thousand answers. Asked for by name, these answer too.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

from msgspec import Struct

from cliffracer.actor.actor import ActorStart
from cliffracer.actor.cell import Cell
from cliffracer.actor.handlers import Handler, HandlerTable, Kind
from cliffracer.actor.pool import Pool
from cliffracer.codec import encode
from cliffracer.describe.handlers import event_schema, request_schema, response_schema
from cliffracer.errors import PayloadTooLarge
from cliffracer.node.host import NodeHost
from cliffracer.node.settings import Settings
from cliffracer.supervision.spec import ChildSpec, PoolStart, Supervisor, TreeStart
from cliffracer.supervision.supervisor import SupervisorProcess
from cliffracer.transport.contract import Headers, Transport

__all__ = [
    "SERVICES_SUBJECT",
    "Endpoint",
    "EndpointData",
    "EndpointStatistics",
    "Information",
    "Ping",
    "Services",
    "Statistics",
]

SERVICES_SUBJECT = "$SRV"
"""What all subjects of the protocol begin with; the same for every namespace, so that any tool finds the services."""

Service: TypeAlias = Cell | Pool

_OFFERS_KEPT = 1024


class Ping(Struct, frozen=True, kw_only=True, tag_field="type", tag="io.nats.micro.v1.ping_response"):
    """The answer to `$SRV.PING`; `Information` and `Statistics` begin with the same fields.

    Attributes:
        name: The actor's, or the pool's.
        id: The instance: unique for each node, each life of it, and each name.
        version: Of the application, as `CLIFFRACER_APP_VERSION` says.
        metadata: `node`, `namespace`, and `kind`: "actor" or "pool".
    """

    name: str
    id: str
    version: str
    metadata: dict[str, str]


class Endpoint(Struct, frozen=True, kw_only=True):
    """What a handler offers.

    Attributes:
        name: The handler's.
        subject: Where to send, namespace included; of an event, what it listens to.
        queue_group: Of all instances in it one gets a message; empty if every one does.
        metadata: `kind`: "call", "cast" or "event"; `request` and `response`: JSON Schema of what is sent and answered,
            as text; `pattern`: an event's subject with the names of its fields; `schemas`: why a schema is missing.
    """

    name: str
    subject: str
    queue_group: str
    metadata: dict[str, str]


class Information(Ping, frozen=True, kw_only=True, tag_field="type", tag="io.nats.micro.v1.info_response"):
    """The answer to `$SRV.INFO`.

    Attributes:
        description: The first line of the docstring of the actor's class.
        endpoints: One for each handler but those of `@every`. The metadata of the service has a key `schemas` that says
            so where their schemas had to be left out.
    """

    description: str
    endpoints: list[Endpoint]


class EndpointData(Struct, frozen=True, kw_only=True):
    """What an actor has done beside handling; the same at each of its endpoints, for they share the mailbox.

    Attributes:
        mailbox_depth: Messages that wait.
        mailbox_capacity: How many may.
        in_hand: Messages that are being handled.
        dropped: Messages that had to be dropped.
        expired: Messages not started, because their caller had given up.
        rejected: Messages that fitted no handler.
        turned_away: Calls from outside that found the mailbox full, or the actor about to stop.
        restarts: How often it was started again.
    """

    mailbox_depth: int
    mailbox_capacity: int
    in_hand: int
    dropped: int
    expired: int
    rejected: int
    turned_away: int
    restarts: int


class EndpointStatistics(Struct, frozen=True, kw_only=True):
    """What a handler has done since its service started, restarts included.

    Attributes:
        name: The handler's.
        subject: As in `Endpoint`.
        queue_group: As in `Endpoint`.
        num_requests: Messages that came to an end, whatever the end.
        num_errors: Of these, the ones that ended with an error.
        last_error: What the caller of the last of them was told, or would have been.
        processing_time: Nanoseconds from start to end of these messages, all together, waiting included.
        average_processing_time: Nanoseconds for one.
        data: What the mailbox knows.
    """

    name: str
    subject: str
    queue_group: str
    num_requests: int
    num_errors: int
    last_error: str
    processing_time: int
    average_processing_time: int
    data: EndpointData


class Statistics(Ping, frozen=True, kw_only=True, tag_field="type", tag="io.nats.micro.v1.stats_response"):
    """The answer to `$SRV.STATS`.

    Attributes:
        started: When the actor was started first on this node; all is counted since then.
        endpoints: As in `Information`.
    """

    started: datetime
    endpoints: list[EndpointStatistics]


class _Offer(Struct, frozen=True):
    """What is the same for all services of one actor class."""

    table: HandlerTable  # kept, so that its id stays its own
    endpoints: list[tuple[Handler, dict[str, str], dict[str, str]]]  # metadata with schemas, and without


class Services:
    """Answers for all services of one node."""

    def __init__(self, transport: Transport, host: NodeHost, settings: Settings, root: SupervisorProcess) -> None:
        """Prepare; nothing is answered.

        Args:
            transport: Where the questions come from.
            host: The node.
            settings: Name, namespace and version.
            root: The root supervisor.
        """
        self._transport = transport
        self._host = host
        self._root = root
        self._version = settings.app_version
        self._node, self._namespace = settings.name(), settings.namespace
        self._prefix = settings.prefix()
        # Read once: what the wall clock does later on moves no start.
        self._clock_zero = datetime.now(UTC) - timedelta(seconds=host.timers.clock())
        self._offers: dict[int, _Offer] = {}

    async def open(self) -> None:
        """Answer from now on, to the end of the connection; not while the node drains, for it takes no requests then.

        Raises:
            TransportError: The connection is down.
        """
        for verb, answers in (("PING", self._ping), ("INFO", self._inform), ("STATS", self._count)):
            sink = partial(self._take, answers)
            await self._transport.subscribe(f"{SERVICES_SUBJECT}.{verb}", sink)
            await self._transport.subscribe(f"{SERVICES_SUBJECT}.{verb}.>", sink)

    def _take(
        self,
        answers: Callable[[Service], Iterable[Ping]],
        subject: str,
        payload: bytes,
        reply: str,
        headers: Headers | None,
    ) -> None:
        del payload, headers  # nothing in the question steers the answer, and no header of it goes back
        if reply and not self._host.draining:
            _, _, *asked = subject.split(".")
            for service in self._asked_for(asked):
                self._reply(reply, subject, answers(service))

    def _reply(self, reply: str, subject: str, answers: Iterable[Ping]) -> None:
        """Send the first of several forms of an answer that is not too large for the broker."""
        problem = ""
        for answer in answers:
            try:
                return self._host.replies.answer(reply, encode(answer, "json"), subject)
            except PayloadTooLarge as error:
                problem = str(error)
        return self._host.replies.report_lost(subject, problem)

    # Who is asked

    def _asked_for(self, asked: list[str]) -> Iterable[Service]:
        if not asked:
            return self._announced(self._root)
        name, *instance = asked
        if instance not in ([], [self._id_of(name)]):
            return ()
        service = self._find(name)
        return () if service is None else (service,)

    def _id_of(self, name: str) -> str:
        return f"{self._host.me.id}-{name}"

    def _find(self, name: str) -> Service | None:
        registry = self._host.registry
        if (pool := registry.find_pool(name)) is not None:
            return pool
        cell = registry.find(name)
        return cell if cell is not None and cell.is_here and not registry.is_pooled(cell) else None

    def _announced(self, supervisor: SupervisorProcess) -> Iterator[Service]:
        """Yield the services below a supervisor that answer unasked for: nothing that is started dynamically."""
        if isinstance(supervisor.tree, Supervisor):
            for id in supervisor.machine.states():
                yield from self._announced_by(supervisor.machine.spec_of(id), f"{supervisor.path}/{id}")

    def _announced_by(self, spec: ChildSpec[Any], path: str) -> Iterator[Service]:
        start = spec.start
        if isinstance(start, ActorStart | PoolStart):
            service = self._find(str(spec.name))
            # The name may be somebody else's by now.
            if service is not None and self._path_of(service) == path:
                yield service
        elif isinstance(start, Supervisor | TreeStart):
            process = self._host.record_of(path).process
            if process is not None and isinstance(process.inner, SupervisorProcess):
                yield from self._announced(process.inner)
            elif isinstance(start, Supervisor):
                # It waits for its restart; the mailboxes below it are open meanwhile.
                for child in start.children:
                    yield from self._announced_by(child, f"{path}/{child.id}")

    def _path_of(self, service: Service) -> str | None:
        return service.owner if isinstance(service, Cell) else self._host.registry.path_of_pool(service.name)

    # What is answered

    def _ping(self, service: Service) -> Iterator[Ping]:
        yield Ping(**self._common(service))

    def _inform(self, service: Service) -> Iterator[Information]:
        common = self._common(service)
        endpoints = self._offer_of(service).endpoints
        yield self._information(service, common, [(handler, full) for handler, full, _ in endpoints])
        common["metadata"] = {**common["metadata"], "schemas": _LEFT_OUT}
        yield self._information(service, common, [(handler, bare) for handler, _, bare in endpoints])

    def _information(
        self, service: Service, common: dict[str, Any], endpoints: list[tuple[Handler, dict[str, str]]]
    ) -> Information:
        return Information(
            **common,
            description=service.description,
            endpoints=[Endpoint(**self._place_of(service, handler), metadata=facts) for handler, facts in endpoints],
        )

    def _count(self, service: Service) -> Iterator[Statistics]:
        cells = [service] if isinstance(service, Cell) else service.cells()
        started = min(
            (cell.started_at for cell in cells if cell.started_at is not None), default=self._host.timers.clock()
        )
        data = _data_of(service, cells)
        yield Statistics(
            **self._common(service),
            started=self._clock_zero + timedelta(seconds=started),
            endpoints=[
                _statistics_of(self._place_of(service, handler), handler.name, cells, data)
                for handler, _, _ in self._offer_of(service).endpoints
            ],
        )

    def _common(self, service: Service) -> dict[str, Any]:
        kind = "actor" if isinstance(service, Cell) else "pool"
        return {
            "name": service.name,
            "id": self._id_of(service.name),
            "version": self._version,
            "metadata": {"node": self._node, "namespace": self._namespace, "kind": kind},
        }

    def _place_of(self, service: Service, handler: Handler) -> dict[str, str]:
        """Return name, subject and queue group of an endpoint, as the intake subscribes to it."""
        group = f"{self._prefix}{service.name}"
        if handler.pattern is None:
            return {"name": handler.name, "subject": f"{group}.{handler.name}", "queue_group": group}
        queue = f"{group}.{handler.name}" if handler.to == "one" else ""
        return {"name": handler.name, "subject": handler.pattern.subject, "queue_group": queue}

    def _offer_of(self, service: Service) -> _Offer:
        # Making schemas takes long, and here it would hold up the transport; so it is done once for each class.
        table = service.handlers
        offer = self._offers.get(id(table))
        if offer is None:
            if len(self._offers) >= _OFFERS_KEPT:
                self._offers.clear()
            endpoints = [(h, _facts_of(h, schemas=True), _facts_of(h, schemas=False)) for h in table.values()]
            offer = _Offer(table, [endpoint for endpoint in endpoints if endpoint[0].kind is not Kind.EVERY])
            self._offers[id(table)] = offer
        return offer


_LEFT_OUT = "left out: with them this answer would be over the broker's max_payload"


def _facts_of(handler: Handler, *, schemas: bool) -> dict[str, str]:
    facts = {"kind": handler.kind.value}
    if handler.pattern is not None and handler.pattern.fields:
        facts["pattern"] = handler.pattern.text
    if schemas:
        request = event_schema if handler.kind is Kind.EVENT else request_schema
        for name, schema_of in (("request", request), ("response", response_schema)):
            try:
                if (schema := schema_of(handler)) is not None:
                    facts[name] = encode(schema, "json").decode()
            except (TypeError, ValueError) as error:
                # A default of no type that JSON has, which is fine as long as nobody needs to be told.
                facts["schemas"] = f"none of the {name}: {error}"
    return facts


def _data_of(service: Service, cells: list[Cell]) -> EndpointData:
    mailboxes = [cell.queue.statistics() for cell in cells]
    dropped, rejected = (0, 0) if isinstance(service, Cell) else (service.dropped, service.rejected)
    return EndpointData(
        mailbox_depth=sum(mailbox.depth for mailbox in mailboxes),
        mailbox_capacity=sum(mailbox.capacity for mailbox in mailboxes),
        in_hand=sum(cell.in_hand for cell in cells),
        dropped=dropped + sum(mailbox.dropped for mailbox in mailboxes),
        expired=sum(cell.expired for cell in cells),
        rejected=rejected + sum(cell.rejected for cell in cells),
        turned_away=sum(cell.turned_away for cell in cells),
        restarts=sum(max(0, cell.incarnation - 1) for cell in cells),
    )


def _statistics_of(place: dict[str, str], handler: str, cells: list[Cell], data: EndpointData) -> EndpointStatistics:
    tallies = [tally for cell in cells if (tally := cell.tallies.get(handler)) is not None]
    handled = sum(tally.handled for tally in tallies)
    time = sum(tally.nanoseconds for tally in tallies)
    last = max(tallies, key=lambda tally: tally.last_error_at, default=None)
    return EndpointStatistics(
        **place,
        num_requests=handled,
        num_errors=sum(tally.errors for tally in tallies),
        last_error="" if last is None else last.last_error,
        processing_time=time,
        average_processing_time=time // handled if handled else 0,
        data=data,
    )
