"""Jetti's endpoints over HTTP. The answers are decided in the modules beside; this one reads and waits."""

from collections.abc import Callable, Iterable
from functools import partial

import msgspec
from aiohttp import web

from relay.sandbox import answers, lookup, payload
from relay.sandbox.answers import Answer
from relay.sandbox.faults import Endpoint
from relay.sandbox.imitation import Imitation
from relay.sandbox.jetti import Account
from relay.sandbox.journal import Received
from relay.sandbox.lookup import Lookup
from relay.sandbox.payload import Payload, Rejected
from relay.sandbox.problems import Problem, invalid, not_found, problem
from relay.sandbox.records import IMPORT_FIELDS, SALE_FIELDS, show_sale

Said = Payload | Rejected
Work = Callable[[Received, Said], Answer]


class Acknowledgement(msgspec.Struct, rename="camel"):
    """An item of the storefront, and the item of Jetti's that it is."""

    external_id: str
    sku: str | None = None


class Endpoints:
    """The request handlers."""

    def __init__(self, imitation: Imitation) -> None:
        self._jetti = imitation
        self._too_large = answers.refused(invalid("The body is too large.", 413))
        self._wrong_hash = answers.unauthorized("The hash is wrong.", imitation.settings.wrong_hash_status)
        self._wrong_token = answers.unauthorized("The token is wrong.")

    def routes(self) -> Iterable[web.RouteDef]:
        """Where they are; documented, the import log in the vendor's schema. An id that is no number: 404."""
        return (
            web.post("/webhooks/custom-channels/manual-sale.json", self.import_later),
            web.post(r"/api/channels/{id:[0-9]{1,18}}/manual-sale.json", self.import_now),
            web.get("/api/sales.json", self.sales),
            web.get("/api/sale-imports.json", self.sale_imports),
            web.put(r"/api/channels/{id:[0-9]{1,18}}/acknowledge-variant.json", self.acknowledge),
            web.post(r"/api/sales/{id:[0-9]{1,18}}/cancel.json", self.cancel),
            web.route("*", "/{other:.*}", self.nothing_here),
        )

    async def import_later(self, request: web.Request) -> web.Response:
        """The asynchronous import: 200 before it has looked at anything."""
        at = self._jetti.elapsed()
        channel_id = self._jetti.admission.channel_of(request.headers.get("jetti-webhook-hash", ""))
        if channel_id is None:
            return await self._import(request, Endpoint.ASYNC, None, at, self._wrong_hash)
        wait_s = self._jetti.admission.import_wait_s(channel_id, at)
        if wait_s:
            return await self._import(request, Endpoint.ASYNC, channel_id, at, answers.throttled(wait_s))
        return await self._import(request, Endpoint.ASYNC, channel_id, at, partial(self._enqueue, channel_id))

    async def import_now(self, request: web.Request) -> web.Response:
        """The synchronous import: the sale, or what is wrong with it."""
        at = self._jetti.elapsed()
        channel_id = int(request.match_info["id"])
        gate = self._gate(request, at) or self._no_channel(channel_id) or partial(self._upsert, channel_id)
        return await self._import(request, Endpoint.SYNC, channel_id, at, gate)

    async def sales(self, request: web.Request) -> web.Response:
        """Look up sales."""
        return await self._find(request, SALE_FIELDS, Account.find_sales)

    async def sale_imports(self, request: web.Request) -> web.Response:
        """Look into the import log."""
        return await self._find(request, IMPORT_FIELDS, Account.find_imports)

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Make a channel know an item."""
        channel_id = int(request.match_info["id"])

        def work(body: bytes) -> Answer:
            try:
                given = msgspec.json.decode(body, type=Acknowledgement)
            except msgspec.DecodeError as error:
                title = "api.channels.acknowledge_variant.invalid"
                return answers.refused(problem(title, 422, str(error)))
            self._jetti.account.acknowledge(channel_id, given.external_id)
            return answers.ok(given)

        return await self._call(request, lambda body: self._no_channel(channel_id) or work(body))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a whole sale, or the sale items in a list (its form is not documented).

        Documented: it returns sale-returns. That a sale which is cancelled already is answered the same is inferred.
        """
        sale_id = int(request.match_info["id"])

        def work(body: bytes) -> Answer:
            partly = body.strip() not in {b"", b"{}", b"[]", b"null"}
            sale = self._jetti.account.cancel(sale_id, self._jetti.elapsed(), partly=partly)
            if sale is None:
                return answers.refused(not_found("No such sale."))
            return answers.ok([{"saleId": sale.id, "cancellationStatus": sale.cancellation_status}])

        about = self._jetti.account.order_of(sale_id)
        if about is None:
            return await self._call(request, work, Endpoint.CANCEL)
        self._jetti.journal.enter(*about)
        try:
            return await self._call(request, work, Endpoint.CANCEL, about[1])
        finally:
            self._jetti.journal.leave(*about)

    async def nothing_here(self, request: web.Request) -> web.Response:
        """Any other address or method."""
        return respond(request, answers.refused(not_found(f"Nothing at {request.method} {request.path}.")))

    async def _import(
        self, request: web.Request, endpoint: Endpoint, channel_id: int | None, at: float, gate: Answer | Work
    ) -> web.Response:
        """One import request from its arrival to its answer, in the journal; ``gate`` is the refusal or the work."""
        journal = self._jetti.journal
        received = journal.begin(endpoint, channel_id, at)
        received.traceparent = request.headers.get("traceparent")
        answer = answers.NOTHING
        try:
            body = await request.read()
            said = payload.read(body, request.content_type, check_customer=self._jetti.settings.check_customer)
            journal.note(received, body, said.order, said.reference)
            outright = gate if isinstance(gate, Answer) else partial(gate, received, said)
            answer = await self._answer(endpoint, said.order, at, outright)
        except web.HTTPRequestEntityTooLarge:
            answer = self._too_large
        finally:
            journal.finish(received, self._jetti.elapsed(), answer.outcome, answer.status)
        return respond(request, answer)

    async def _call(
        self, request: web.Request, work: Callable[[bytes], Answer], endpoint: Endpoint = Endpoint.API, order: str = ""
    ) -> web.Response:
        """One request to the rest of the synchronous API; ``order`` is the one it is about, if it is about one."""
        at = self._jetti.elapsed()
        answer = answers.NOTHING
        try:
            body = await request.read()
            gate = self._gate(request, at) or partial(work, body)
            answer = await self._answer(endpoint, order, at, gate)
        except web.HTTPRequestEntityTooLarge:
            answer = self._too_large
        finally:
            self._jetti.calls[answer.outcome] += 1
        return respond(request, answer)

    async def _find(
        self, request: web.Request, known: Iterable[str], find: Callable[[Account, Lookup], object]
    ) -> web.Response:
        wanted = lookup.parse(request.query.items(), known)

        def work(_: bytes) -> Answer:
            if isinstance(wanted, Problem):
                return answers.refused(wanted)
            return answers.ok(find(self._jetti.account, wanted))

        named = [] if isinstance(wanted, Problem) else list(wanted.where.get("externalId", ()))
        return await self._call(request, work, order=named[0] if len(named) == 1 else "")

    async def _answer(
        self, endpoint: Endpoint, order: str, at: float, outright: Answer | Callable[[], Answer]
    ) -> Answer:
        """The answer without faults is ``outright``; what the faults in force make of it."""
        effect = self._jetti.faults.draw(at, endpoint, order)
        if latency_s := self._jetti.settings.latency_s + effect.latency_s:
            await self._jetti.clock.sleep(latency_s)
        fault = effect.fault
        if fault is None:
            return outright if isinstance(outright, Answer) else outright()
        if fault.works and not isinstance(outright, Answer):
            outright()
        if fault.wrong_hash:
            return self._wrong_hash if endpoint is Endpoint.ASYNC else self._wrong_token
        if fault.drop is None and fault.hang_s is not None:
            await self._jetti.clock.sleep(fault.hang_s)
        return answers.faulty(fault) if fault.drop is None and fault.hang_s is None else answers.NOTHING

    def _gate(self, request: web.Request, at: float) -> Answer | None:
        if not self._jetti.admission.knows_token(request.headers.get("Authorization", "")):
            return self._wrong_token
        wait_s = self._jetti.admission.api_wait_s(request.method, at)
        return answers.throttled(wait_s) if wait_s else None

    def _no_channel(self, channel_id: int) -> Answer | None:
        if self._jetti.account.has_channel(channel_id):
            return None
        return answers.refused(not_found(f"No channel {channel_id}."))

    def _enqueue(self, channel_id: int, received: Received, said: Said) -> Answer:
        self._jetti.account.enqueue(received, channel_id, said, self._jetti.elapsed())
        return answers.QUEUED

    def _upsert(self, channel_id: int, received: Received, said: Said) -> Answer:
        account = self._jetti.account
        result = account.import_now(received, channel_id, said, self._jetti.elapsed())
        return answers.refused(result) if isinstance(result, Problem) else answers.ok(show_sale(result, account.iso))


def respond(request: web.Request, answer: Answer) -> web.Response:
    """The answer on the wire; without a status, the end of the connection."""
    if answer.status is None:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    return web.Response(
        status=answer.status, body=answer.body, content_type=answer.content_type, headers=answer.headers
    )
