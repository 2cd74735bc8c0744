"""The private listener: health, metrics, looking at what the relay holds, and acting on it.

What it is given is in :mod:`relay.api.view`; who may ask, and how refusals are answered, in :mod:`relay.api.gate`.
"""

from aiohttp import web

from relay.api.acting import Acting
from relay.api.asked import BODY_MAX_BYTES
from relay.api.gate import admission, problems
from relay.api.looking import Looking
from relay.api.previewing import Previewing
from relay.api.pulse import Pulse
from relay.api.sessions import Sessions
from relay.api.view import ChannelView, Hands, LimitView, View
from relay.api.watching import Watching
from relay.clock import Clock
from relay.core.events import Observer
from relay.store import Store

__all__ = ["ChannelView", "Hands", "LimitView", "Pulse", "View", "api"]


def api(view: View, store: Store, clock: Clock, observe: Observer) -> web.Application:
    """The private listener's application."""
    looking, acting = Looking(view, store, clock), Acting(view, store, clock, observe)
    previewing = Previewing(view, store, clock)
    watching, sessions = Watching(view, store, clock, observe), Sessions(view.token, clock)
    app = web.Application(
        middlewares=[problems(observe), admission(sessions, view.host)], client_max_size=BODY_MAX_BYTES
    )
    app.router.add_get("/healthz", looking.healthz)
    app.router.add_get("/readyz", looking.readyz)
    app.router.add_get("/metrics", looking.metrics)
    app.router.add_get("/api/status", looking.status)
    app.router.add_get("/api/session", sessions.look)
    app.router.add_post("/api/session", sessions.sign_in)
    app.router.add_delete("/api/session", sessions.sign_out)
    app.router.add_get("/api/pulse", watching.pulse)
    app.router.add_get("/api/orders", looking.orders)
    app.router.add_get("/api/orders/{id}", looking.order)
    app.router.add_get("/api/orders/{id}/preview", previewing.order)
    app.router.add_post("/api/storefronts/{name}/preview", previewing.webhook)
    app.router.add_get("/api/orders/{id}/content", watching.content)
    app.router.add_post("/api/orders/{id}/reveal", watching.reveal)
    app.router.add_get("/api/dead-letters/events/{id}/content", watching.lost_content)
    app.router.add_post("/api/dead-letters/events/{id}/reveal", watching.reveal_lost)
    app.router.add_get("/api/dead-letters", looking.dead_letters)
    app.router.add_get("/api/dead-letters/groups", looking.dead_groups)
    app.router.add_get("/api/dead-letters/events/{id}", looking.lost_event)
    app.router.add_get("/api/held", looking.held)
    app.router.add_get("/api/replays", looking.replays)
    app.router.add_get("/api/replays/{id}", looking.replay)
    app.router.add_get("/api/deeds", looking.deeds)
    app.router.add_post("/api/channels/{name}/pause", acting.pause)
    app.router.add_post("/api/channels/{name}/resume", acting.resume)
    app.router.add_post("/api/dead-letters/replay", acting.replay)
    app.router.add_post("/api/dead-letters/discard", acting.discard)
    app.router.add_post("/api/held/release", acting.release)
    app.router.add_post("/api/held/discard", acting.discard_held)
    return app
