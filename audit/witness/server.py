"""Serves a witness over HTTP: `add-checkpoint` of C2SP's tlog-witness, and the leaves and the note that it has."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from aiohttp import web

from audit.notes.cosignature import cosign
from audit.notes.keys import SigningKey, VerificationKey
from audit.notes.signed_note import SignedNote
from audit.tree.hashing import HASH_BYTES
from audit.witness.judging import Refused, judge, parse_submission
from audit.witness.memory import WitnessMemory
from service_runtime.config import host_and_port
from service_runtime.free_address import until_free
from service_runtime.process import StartupRefused

_log = structlog.get_logger(__name__)
#: The largest request, and the most bytes of leaves in one answer.
MOST_BYTES = 1 << 20


class WitnessServer:
    """One witness of one log. `now` returns seconds since 1970. `on_signed` and `on_refused` count.

    Its handlers do not wait between reading the last checkpoint and writing the next, so no two submissions interleave.
    """

    def __init__(
        self,
        memory: WitnessMemory,
        key: SigningKey,
        log_key: VerificationKey,
        *,
        now: Callable[[], float],
        on_signed: Callable[[int], None] = lambda size: None,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._memory, self._key, self._log_key, self._now = memory, key, log_key, now
        self._on_signed, self._on_refused = on_signed, on_refused
        application = web.Application(client_max_size=MOST_BYTES)
        application.router.add_post("/add-checkpoint", self._add_checkpoint)
        application.router.add_post("/add-leaves", self._add_leaves)
        application.router.add_get("/leaves", self._leaves)
        application.router.add_get("/checkpoint", self._checkpoint)
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self, listen: str) -> str:
        """Listens and returns the bound address. Raises StartupRefused if the port is busy."""
        host, port = host_and_port(listen)
        await until_free(host, port)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            raise StartupRefused(
                f"cannot listen on {listen} ({error.strerror}); set AUDIT_WITNESS_LISTEN to a free address"
            ) from None
        bound, number = self._runner.addresses[0][:2]
        return f"{bound}:{number}"

    async def stop(self) -> None:
        """Stops listening and ends open connections."""
        await self._runner.cleanup()

    async def _add_checkpoint(self, request: web.Request) -> web.Response:
        body = await request.read()
        note: SignedNote | None = None
        try:
            submission = parse_submission(body.decode(errors="replace"))
            note = submission.note
            checkpoint = judge(self._memory.last, submission, self._log_key)
        except Refused as refused:
            return self._refuse(refused, note)
        signature = cosign(note, self._key, int(self._now()))
        self._memory.remember(checkpoint, note.with_signatures(signature))
        self._on_signed(checkpoint.size)
        return web.Response(text=signature.line)

    def _refuse(self, refused: Refused, note: SignedNote | None) -> web.Response:
        if refused.dishonest and note is not None:
            signed = self._memory.last.size if self._memory.last is not None else 0
            submitted = note.body.split("\n")[1]
            _log.critical("the log contradicts itself", reason=str(refused), signed=signed, submitted=submitted)
            self._memory.keep_refused(note)
            self._on_refused()
        kind = "text/x.tlog.size" if refused.status == 409 else "text/plain"
        return web.Response(status=refused.status, text=f"{refused}\n", content_type=kind)

    async def _add_leaves(self, request: web.Request) -> web.Response:
        body = await request.read()
        first = _number(request, "first")
        known, last = self._memory.leaf_count, self._memory.last
        count, rest = divmod(len(body), HASH_BYTES)
        if first != known:
            return web.Response(status=409, text=f"{known}\n")
        if rest or last is None or known + count > last.size:
            return web.Response(status=400, text="leaves are 32 bytes each, and no more than were signed\n")
        if reason := self._memory.add_leaves(body):
            _log.critical("the log sent leaves that are not those it signed", reason=reason)
            self._on_refused()
            return web.Response(status=422, text=f"{reason}\n")
        return web.Response(text=f"{known + count}\n")

    async def _leaves(self, request: web.Request) -> web.Response:
        count = min(_number(request, "count"), MOST_BYTES // HASH_BYTES)
        found = self._memory.leaves(_number(request, "first"), count)
        return web.Response(body=found, content_type="application/octet-stream")

    async def _checkpoint(self, _request: web.Request) -> web.Response:
        if self._memory.last is None:
            return web.Response(status=404, text="nothing was signed yet\n")
        return web.Response(text=self._memory.note)


def _number(request: web.Request, name: str) -> int:
    text = request.query.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise web.HTTPBadRequest(text=f"{name} must be a number\n")
    return int(text)
