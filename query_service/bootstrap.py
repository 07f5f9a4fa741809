"""Assembles the processes: settings → storage → application → handlers. No other module imports all of them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import structlog

from query_service.application.freshness.await_versions import VersionWaiter
from query_service.application.freshness.list_gate import ListGate
from query_service.application.freshness.notice_board import NoticeBoard
from query_service.application.freshness.parked_orders import ParkedOrders
from query_service.application.freshness.searchable import AskedSearchability
from query_service.application.freshness.view import FreshnessView
from query_service.application.lags.recent_lags import RecentLags
from query_service.application.ports.change_stream import ChangeStream
from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.read_store import (
    OrderReader,
    ReadStore,
)
from query_service.application.projecting.parked_events import ParkedEvents
from query_service.application.questions.batch_get_orders import BatchGetOrders
from query_service.application.questions.customer_summary import GetCustomerSummary
from query_service.application.questions.get_order import GetOrder
from query_service.application.questions.order_history import GetOrderHistory
from query_service.application.questions.read_model_status import GetReadModelStatus
from query_service.application.questions.search_orders import SearchOrders
from query_service.application.questions.summarize_orders import SummarizeOrders
from query_service.application.questions.summarize_payments import SummarizePayments
from query_service.application.questions.verify_order_history import VerifyOrderHistory
from query_service.application.rebuilding.machine import Feed
from query_service.application.rebuilding.rebuilds import rebuild_status
from query_service.application.watching.fan_out import KEPT
from query_service.application.watching.list_marks import ListMarks
from query_service.application.watching.live_changes import LiveChanges, Sources
from query_service.application.watching.watch_orders import WatchLimits, WatchOrders
from query_service.checking import check_continuously
from query_service.clock import now
from query_service.config import PROJECT_PROBES, SERVE_PROBES, QuerySettings
from query_service.connections import CONNECT_SECONDS, consumer_plan, generations_of, nats_connection, wanted_feeds
from query_service.handlers.grpc.call_terms import call_terms
from query_service.handlers.grpc.order_lists import OrderLists
from query_service.handlers.grpc.order_queries import SERVICE, OrderQueries
from query_service.handlers.grpc.order_watching import OrderWatching
from query_service.handlers.grpc.read_model_queries import ReadModelQueries
from query_service.handlers.grpc.status import Overloaded, status_of
from query_service.handlers.nats_connection import NATS_ERRORS
from query_service.handlers.notices.listening import Listening
from query_service.handlers.notices.notices import NoticeListener, NoticeSender
from query_service.handlers.notices.refresh_requests import RefreshRequests
from query_service.handlers.notices.subjects import ALL, NoticeSubjects
from query_service.handlers.stream.backlog import StreamBacklog
from query_service.handlers.stream.consumer import ConsumerPlan, check_consumer, ensure_consumer, plan_of
from query_service.handlers.stream.generation_feeds import GenerationFeeds
from query_service.handlers.stream.messages import StreamLookUp
from query_service.handlers.stream.projector import Projector
from query_service.handlers.watching.ordered_messages import OrderedMessages
from query_service.metrics import ProjectMetrics, ServeMetrics
from query_service.parked_commands import ParkedReport, run_parked
from query_service.storage import open_read_store
from query_service.store_watch import StoreWatch
from query_service.wire.order_watch import watch_response
from service_runtime.edge.call_limits import ConcurrencyLimit
from service_runtime.edge.grpc_server import GrpcLimits, GrpcServer
from service_runtime.edge.service_methods import Behaviour, service_methods
from service_runtime.error_text import in_one_line
from service_runtime.probes import ProbeServer
from service_runtime.process import StartupRefused, cancel, first_of, leave_out_of_collections
from service_runtime.side_tasks import side_tasks
from service_runtime.waiting import wait_until_fine

_log = structlog.get_logger(__name__)
SERVICES = (SERVICE.full_name,)


async def serve(settings: QuerySettings, stop: asyncio.Event) -> None:
    """Answers questions until `stop` is set. Starts also while its store is down, and reports that it is not ready."""
    store = open_read_store(settings, request_timeout=settings.read_timeout_seconds)
    reader: OrderReader = store
    metrics, board, view, parked, lags = ServeMetrics(), NoticeBoard(), FreshnessView(), ParkedOrders(), RecentLags(now)
    server = _grpc_server(settings, metrics)
    marks = ListMarks()
    watch = StoreWatch(reader, view, parked, marks, server.set_serving)
    _watch_serving(metrics, view, watch, board)
    plan = await _serving_plan(settings, store)
    listed = FreshnessView()

    def subjects(generation: str) -> NoticeSubjects:
        return NoticeSubjects(plan.stream, settings.consumer if plan.durable else plan.name, generation)

    listener = NoticeListener(board, view, listed, parked, lags, subjects(ALL))
    listening = Listening(lambda: nats_connection(settings, "tandem query serve"), listener)
    backlog = StreamBacklog(lambda: plan_of(plan, view.serving), listening.connected)
    refreshes = RefreshRequests(subjects, listening.connected, metrics)
    waiter = VersionWaiter(board, view, time.monotonic, metrics)

    @functools.cache
    def searchable(generation: str) -> AskedSearchability:
        return AskedSearchability(
            lambda: refreshes.ask(generation),
            reader.listed,
            view,
            listed,
            time.monotonic,
            metrics,
            generation=generation,
        )

    gate = ListGate(reader, waiter, view, listed, searchable, time.monotonic, now)
    status = GetReadModelStatus(reader, view, lags, backlog.pending, store.drift_record)
    about = ReadModelQueries(status, functools.partial(rebuild_status, store.generations, now), now)
    watching = _watching(settings, metrics, reader, board, parked, OrderedMessages(plan.stream, listening.connected))
    questions = {**_questions(settings, reader, waiter, gate, parked, marks, about), **watching.questions()}
    server.add(service_methods(SERVICE, questions, call_terms(metrics.call, settings.deadline_cap_seconds, watch)))
    side: dict[str, Callable[[], Awaitable[None]]] = {
        "store watch": watch.run,
        "notices": listening.run,
    }
    if settings.read_store == "memory":
        side["projection"] = lambda: _project_here(settings, store, plan)
    metrics.watch_side_tasks(side)
    async with _probes(settings, SERVE_PROBES, watch.reason, metrics.registry) as probes_address:
        try:
            address = await server.start()
            _log.info("listening", address=address, probes=probes_address)
            leave_out_of_collections()
            async with side_tasks(side, metrics.failed):
                await stop.wait()
                _log.info("stopping")
                watching.close()
                await server.stop()
        finally:
            await store.close()
    _log.info("stopped")


async def project(settings: QuerySettings, stop: asyncio.Event) -> None:
    """Projects events until `stop` is set. Waits for a store or NATS that is down.

    Raises StartupRefused when the read store or the consumer is not set up.
    """
    if settings.read_store == "memory":
        raise StartupRefused(
            "QUERY_READ_STORE=memory: `serve` projects into its own memory; run `serve` and no `project`"
        )
    store = open_read_store(settings, request_timeout=settings.write_timeout_seconds)
    metrics = ProjectMetrics()
    generations = GenerationFeeds(
        lambda: wanted_feeds(store), functools.partial(_open_projector, settings, metrics), metrics
    )
    metrics.watch("projector_paused", "1 while projecting waits for something.", lambda: float(generations.paused))
    async with _probes(settings, PROJECT_PROBES, generations.reason, metrics.registry) as probes_address:
        _log.info("listening", probes=probes_address)
        leave_out_of_collections()
        try:
            projecting = asyncio.create_task(_projecting(settings, generations))
            side = {"drift check": lambda: check_continuously(settings, metrics)}
            try:
                async with side_tasks(side, metrics.failed):
                    await first_of(stop, projecting)
                    _log.info("stopping")
            finally:
                with contextlib.suppress(Exception):  # its error was raised by first_of
                    await cancel(projecting)
        finally:
            await store.close()
    _log.info("stopped")


async def migrate(settings: QuerySettings) -> str:
    """Sets up the read store and the stream's consumer, and returns a text for the operator. Safe to repeat.

    Raises StartupRefused when Elasticsearch or NATS is down, or refuses.
    """
    if settings.read_store == "memory":
        return "the memory read store needs no set-up"
    store: ReadStore = open_read_store(settings, request_timeout=settings.write_timeout_seconds)
    try:
        identity = await store.prepare()
        renewed = await store.renew_settings()
        known = await store.freshness()
        async with nats_connection(settings, "tandem query migrate", within=CONNECT_SECONDS) as client:
            plan = plan_of(consumer_plan(settings), identity.generation)
            consumer = await ensure_consumer(client, plan, identity, known)
    except DependencyDown as down:
        raise StartupRefused(f"{down}; check QUERY_ELASTICSEARCH_URL") from None
    except ReadStoreNotReady as not_ready:
        raise StartupRefused(str(not_ready)) from None
    except NATS_ERRORS as error:
        raise StartupRefused(f"nats: {in_one_line(error)}; check QUERY_NATS_URL") from None
    finally:
        await store.close()
    set_up = f"the read model {identity.read_model} is set up, generation {identity.generation}"
    return "; ".join([set_up, consumer, *renewed])


async def parked(settings: QuerySettings, action: str, key: str = "", *, needed_too: bool = False) -> ParkedReport:
    """Runs an operator's command on parked events; see `run_parked`. Raises StartupRefused for the memory store."""
    if settings.read_store == "memory":
        raise StartupRefused("QUERY_READ_STORE=memory: parked events are in the memory of `serve`, out of reach")
    store: ReadStore = open_read_store(settings, request_timeout=settings.write_timeout_seconds)
    async with contextlib.AsyncExitStack() as opened:
        opened.push_async_callback(store.close)

        async def stream() -> tuple[StreamLookUp, NoticeSender]:
            try:
                client = await opened.enter_async_context(
                    nats_connection(settings, "tandem query parked", within=CONNECT_SECONDS)
                )
            except NATS_ERRORS as error:
                raise DependencyDown("nats", in_one_line(error)) from None
            subjects = NoticeSubjects(settings.stream, settings.consumer, await generations_of(store).serving())
            return StreamLookUp(client), NoticeSender(client, subjects)

        async def others() -> list[ReadStore]:
            """Returns the stores of the generations that do not answer readers now."""
            names = [feed.generation for feed in (await wanted_feeds(store))[1:]]
            timeout = settings.write_timeout_seconds
            stores = [open_read_store(settings, request_timeout=timeout, generation=name) for name in names]
            for other in stores:
                opened.push_async_callback(other.close)
            return list(stores)

        return await run_parked(ParkedEvents(store, stream, now, others), action, key, needed_too=needed_too)


async def await_schema(settings: QuerySettings, stop: asyncio.Event, *, consumer: bool) -> None:
    """Waits until `migrate` has set up the read store or, with `consumer`, until a projector has something to feed.

    Raises StartupRefused when `stop` is set before.
    """
    store: ReadStore = open_read_store(settings, request_timeout=settings.read_timeout_seconds)

    async def problem() -> str | None:
        try:
            if consumer:
                await _check_fed_generation(settings, store)
            else:
                await store.identity()
        except (DependencyDown, ReadStoreNotReady, StartupRefused) as not_yet:
            return str(not_yet)
        except NATS_ERRORS as error:
            return f"nats: {in_one_line(error)}"
        return None

    try:
        if not await wait_until_fine(problem, stop):
            raise StartupRefused("stopped before the read model was set up")
    finally:
        await store.close()


async def _check_fed_generation(settings: QuerySettings, store: ReadStore) -> None:
    """Checks that a projector has something to feed: a generation that fits this release, and its consumer.

    One is enough, because a rebuild may be the cure for the others. Otherwise it raises the problem of the generation
    that answers readers.
    """
    problems: list[ReadStoreNotReady | StartupRefused] = []
    await generations_of(store).serving()  # names a missing alias
    async with nats_connection(settings, "tandem query await-schema", within=CONNECT_SECONDS) as client:
        for feed in await wanted_feeds(store):
            timeout = settings.read_timeout_seconds
            generation = open_read_store(settings, request_timeout=timeout, generation=feed.generation)
            plan = plan_of(consumer_plan(settings), feed.generation)
            try:
                return await check_consumer(client, plan, await generation.identity())
            except (ReadStoreNotReady, StartupRefused) as problem:
                problems.append(problem)
            finally:
                await generation.close()
    raise problems[0]


async def _projecting(settings: QuerySettings, generations: GenerationFeeds) -> None:
    """Runs the projectors until cancelled."""
    try:
        await generations.run(lambda: nats_connection(settings, "tandem query project"))
    except ReadStoreNotReady as not_ready:
        raise StartupRefused(str(not_ready)) from None


async def _project_here(settings: QuerySettings, store: ReadStore, plan: ConsumerPlan) -> None:
    """Projects the whole stream into the memory store, with a consumer that ends with this process."""
    identity = await store.identity()
    async with nats_connection(settings, "tandem query memory") as client:
        await ensure_consumer(client, plan, identity, None)
        projector = Projector(settings, plan, store, Feed(identity.generation), ProjectMetrics(), now)
        await projector.run(client, identity, None)


async def _serving_plan(settings: QuerySettings, store: ReadStore) -> ConsumerPlan:
    """Returns the plan of the consumer that feeds the store. A memory store has a consumer of its own."""
    if settings.read_store == "memory":
        return consumer_plan(settings, name=f"memory-{(await store.identity()).read_model}", durable=False)
    return consumer_plan(settings)


def _open_projector(
    settings: QuerySettings, metrics: ProjectMetrics, feed: Feed
) -> tuple[Projector, Callable[[], Awaitable[None]]]:
    timeout = settings.write_timeout_seconds
    writer = open_read_store(settings, request_timeout=timeout, generation=feed.generation)
    plan = plan_of(consumer_plan(settings), feed.generation)
    return Projector(settings, plan, writer, feed, metrics, now), writer.close


def _questions(
    settings: QuerySettings,
    reader: OrderReader,
    waiter: VersionWaiter,
    gate: ListGate,
    parked: ParkedOrders,
    marks: ListMarks,
    about: ReadModelQueries,
) -> dict[str, Behaviour]:
    """Returns the behaviour of each method of the contract, by name."""
    by_id = OrderQueries(
        GetOrder(reader, waiter, finality_margin=settings.finality_margin_seconds),
        BatchGetOrders(reader, waiter),
        GetOrderHistory(reader, waiter),
        VerifyOrderHistory(reader, waiter),
        now,
    )
    lists = OrderLists(
        SearchOrders(reader, gate, parked, marks),
        SummarizeOrders(reader, gate),
        GetCustomerSummary(reader, gate, parked),
        SummarizePayments(reader, gate, time.monotonic),
        now,
    )
    return {**by_id.questions(), **lists.questions(), **about.questions()}


def _watching(
    settings: QuerySettings,
    metrics: ServeMetrics,
    reader: OrderReader,
    board: NoticeBoard,
    parked: ParkedOrders,
    stream: ChangeStream,
) -> OrderWatching:
    kept = min(KEPT, settings.watch_buffer)
    sources = Sources(reader, stream, board, parked, watch_response, time.monotonic, kept)
    limits = WatchLimits(
        settings.max_watchers, settings.watch_silence_seconds, settings.watch_seconds, settings.watch_buffer
    )
    watch = WatchOrders(LiveChanges(sources), sources, limits)
    metrics.watch("query_watchers", "Watches that run now.", lambda: float(watch.watchers))
    return OrderWatching(watch)


def _grpc_server(settings: QuerySettings, metrics: ServeMetrics) -> GrpcServer:
    limit = ConcurrencyLimit(settings.max_concurrent_rpcs, status_of(Overloaded()))
    metrics.watch("query_running_calls", "Calls that run now.", lambda: limit.running)
    return GrpcServer(
        settings.listen,
        GrpcLimits(
            max_concurrent_rpcs=settings.max_concurrent_rpcs,
            max_message_bytes=settings.max_message_bytes,
            shutdown_grace_seconds=settings.shutdown_grace_seconds,
            stream_seconds=settings.watch_seconds,
        ),
        services=SERVICES,
        concurrency=limit,
        reflect=settings.reflection,
        setting="QUERY_LISTEN",
    )


def _watch_serving(metrics: ServeMetrics, view: FreshnessView, watch: StoreWatch, board: NoticeBoard) -> None:
    metrics.watch("query_waiting_reads", "Answers that wait for a version now.", lambda: len(board))
    metrics.watch("query_store_available", "1 while the read store answers.", lambda: float(watch.reason() is None))
    metrics.watch(
        "query_staleness_seconds",
        "Now minus the time before which everything committed is readable; NaN before the first barrier.",
        lambda: float("nan") if view.latest is None else max(0.0, (now() - view.latest.as_of) / 1e6),
    )


@contextlib.asynccontextmanager
async def _probes(settings: QuerySettings, default: str, ready: Any, registry: Any) -> AsyncIterator[str]:
    probes = ProbeServer(
        settings.probes_listen or default,
        live=lambda: None,
        ready=ready,
        registry=registry,
        setting="QUERY_PROBES_LISTEN",
    )
    address = await probes.start()
    try:
        yield address
    finally:
        await probes.stop()
