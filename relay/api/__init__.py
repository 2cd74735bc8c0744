"""The private listener: health, metrics, looking at what the relay holds, and acting on it.

What it is given is in :mod:`relay.api.view`; every endpoint in :mod:`relay.api.routes`; who may ask, and how refusals
are answered, in :mod:`relay.api.gate`.
"""

from functools import partial

from aiohttp import web

from relay.api import openapi
from relay.api.acting import Acting
from relay.api.answers import raw
from relay.api.asked import BODY_MAX_BYTES, query
from relay.api.gate import admission, problems
from relay.api.looking import Looking
from relay.api.previewing import Previewing
from relay.api.pulse import Pulse
from relay.api.routes import ROUTES, Handler, Parts, Route
from relay.api.sessions import Sessions
from relay.api.view import ChannelView, Hands, LimitView, View
from relay.api.watching import Watching
from relay.clock import Clock
from relay.core.events import Observer
from relay.store import Store

__all__ = ["ChannelView", "Hands", "LimitView", "Pulse", "View", "api"]


def api(view: View, store: Store, clock: Clock, observe: Observer) -> web.Application:
    """The private listener's application."""
    sessions = Sessions(view.tokens, clock)
    parts = Parts(
        Looking(view, store, clock),
        Acting(view, store, clock, observe),
        Previewing(view, store, clock),
        Watching(view, store, clock, observe),
        sessions,
        _document,
    )
    app = web.Application(
        middlewares=[problems(observe), admission(sessions, view.host)], client_max_size=BODY_MAX_BYTES
    )
    for route in ROUTES:
        add = app.router.add_get if route.method == "GET" else partial(app.router.add_route, route.method)
        add(route.path, _checked(route, route.handler(parts)))
    return app


async def _document(_: web.Request) -> web.Response:
    return raw(openapi.encoded())


def _checked(route: Route, handler: Handler) -> Handler:
    """Refuses parameters that the table does not have."""

    async def answer(request: web.Request) -> web.Response:
        if route.query is not None:
            query(request, route.query)
        return await handler(request)

    return answer
