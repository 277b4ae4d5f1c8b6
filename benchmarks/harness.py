"""Runs one contender once: starts its processes, lets them begin, and takes figures only if nothing is missing."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from benchmarks.jobs import Job, Report
from benchmarks.process import BrokenFigure, Worker

__all__ = ["run_call", "run_crowds", "run_flood", "run_local", "run_many", "run_publish", "run_receive"]


def run_local(job: Job) -> Report:
    """Run a contender that needs one process."""
    with Worker(job) as worker:
        return _complete(job, worker.expect("done"))


def run_many(job: Job) -> tuple[Report, Report]:
    """Run a contender that starts many, and then stops them; return a report of each."""
    with Worker(job) as worker:
        return _complete(job, worker.expect("started")), _complete(job, worker.expect("done"))


def run_receive(job: Job, *, url: str, check_publisher: bool, publisher: str = "publish") -> Report:
    """Run a receiver, and a publisher that is faster.

    Args:
        job: The receiver's.
        url: The NATS server.
        check_publisher: Whether to refuse a figure that is the publisher's own.
        publisher: What the publisher does.

    Raises:
        BrokenFigure: A message was lost, or the publisher was not faster.
    """
    job = structs.replace(job, url=url)
    with Worker(job) as receiver, Worker(_beside(job, "publisher", publisher)) as source:
        receiver.expect("ready")
        source.expect("ready")
        source.tell("warm")
        receiver.expect("warm")
        source.tell("go")
        published = source.expect("done")
        report = _complete(job, receiver.expect("done"))
    if check_publisher and published.rate <= report.rate:
        raise BrokenFigure(
            f"{job.contender}: the publisher made {published.rate:,.0f}/s and the receiver {report.rate:,.0f}/s; "
            "the figure would be the publisher's own"
        )
    return report


def run_crowds(job: Job, crowds: Sequence[int], *, url: str, check_publisher: bool) -> Report:
    """Run a receiver with one actor, and then with more; return the report of the one, with the growth in its figures.

    Args:
        job: The receiver's.
        crowds: How many actors the others have.
        url: The NATS server.
        check_publisher: Whether to refuse a figure that is the publisher's own.

    Raises:
        BrokenFigure: A message was lost, or the publisher was not faster.
    """

    def run(actors: int) -> Report:
        crowd = structs.replace(job, actors=actors, profile=_beside_name(job.profile, str(actors)))
        return run_receive(crowd, url=url, check_publisher=check_publisher, publisher="publish_casts")

    alone, figures = run(1), {}
    for actors in crowds:
        many = run(actors)
        figures[f"wall_{actors}"] = alone.rate / many.rate
        figures[f"cpu_{actors}"] = (many.cpu_seconds / many.count) / (alone.cpu_seconds / alone.count)
    return structs.replace(alone, figures=figures)


def run_publish(job: Job, *, url: str) -> Report:
    """Run a publisher, and a subscriber that says when all has arrived.

    Raises:
        BrokenFigure: An event did not arrive, or not in its turn.
    """
    job = structs.replace(job, url=url)
    with Worker(_beside(job, "subscriber", "subscribe")) as subscriber, Worker(job) as publisher:
        subscriber.expect("ready")
        publisher.expect("ready")
        publisher.tell("warm")
        subscriber.expect("warm")
        publisher.tell("go")
        subscriber.expect("all")
        publisher.tell("all")
        report = _complete(job, publisher.expect("done"))
        _complete(job, subscriber.expect("done"))
    return report


def run_call(job: Job, *, url: str, responder: str = "respond") -> Report:
    """Run a responder, and callers in another process.

    Args:
        job: The callers'.
        url: The NATS server.
        responder: What the responder does.

    Raises:
        BrokenFigure: An answer was wrong or missing, or the responder handled more or fewer calls than were made.
    """
    job = structs.replace(job, url=url)
    answering = structs.replace(job, role=responder, profile=_beside_name(job.profile, "answering"))
    with Worker(answering) as responding, Worker(job) as callers:
        responding.expect("ready")
        callers.expect("ready")
        callers.tell("go")
        report = _complete(job, callers.expect("done"))
        responding.tell("stop")
        answered = _complete(job, responding.expect("done"))
    # What a call costs is what it costs on both sides.
    cpu_seconds = answered.cpu_seconds * report.count / answered.count
    return structs.replace(report, cpu_seconds=report.cpu_seconds + cpu_seconds)


def run_flood(job: Job, *, url: str, fewest_calls: int) -> Report:
    """Run a receiver that is flooded, and a caller that calls another actor beside the one that hears the flood.

    Args:
        job: The receiver's.
        url: The NATS server.
        fewest_calls: How many calls have to be answered while the flood goes on.

    Raises:
        BrokenFigure: A message was lost, an answer was wrong, or the flood was over too soon.
    """
    job = structs.replace(job, url=url)
    with (
        Worker(job) as flooded,
        Worker(_beside(job, "publisher", "flood")) as source,
        Worker(_beside(job, "caller", "call_during_flood")) as caller,
    ):
        flooded.expect("ready")
        source.expect("ready")
        caller.expect("ready")
        source.tell("warm")
        flooded.expect("warm")
        caller.tell("go")
        source.tell("go")
        source.expect("done")
        calls = caller.expect("done")
        flooded.tell("stop")
        report = _complete(job, flooded.expect("done"))
    if calls.handled != report.figures["answered"]:
        raise BrokenFigure(f"{job.contender}: {calls.handled} calls, {report.figures['answered']:g} answers")
    if calls.figures["calls"] < fewest_calls:
        raise BrokenFigure(f"{job.contender}: the flood lasted for {calls.figures['calls']:g} calls only")
    return structs.replace(report, figures=report.figures | calls.figures)


def _beside(job: Job, module: str, role: str) -> Job:
    """Return the job of a process that takes no part, but is there for the one that does."""
    return structs.replace(job, contender=module, role=role, profile="")


def _beside_name(profile: str, what: str) -> str:
    """Return the file for the profile of another process of the same side; nothing if there is to be none."""
    return str(Path(profile).with_stem(f"{Path(profile).stem}-{what}")) if profile else ""


def _complete(job: Job, report: Report) -> Report:
    """Return `report` if it accounts for every message, on the loop that was asked for."""
    if report.handled != job.warmup + job.count:
        raise BrokenFigure(f"{job.contender}: {report.handled} of {job.warmup + job.count} messages were handled")
    if report.loop not in ("", job.loop):
        raise BrokenFigure(f"{job.contender} ran on {report.loop} instead of {job.loop}")
    return report
