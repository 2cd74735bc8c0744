"""Every problem that the private API answers with: the last part of its ``type``, its status, and what happened."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """One kind of problem."""

    name: str
    status: int
    words: str
    headers: tuple[str, ...] = ()
    """That it always has."""


_RETRY = ("Retry-After",)
BAD_CREDENTIAL = Refusal(
    "bad-credential", 401, "The token is missing or wrong, and nobody is signed in.", ("WWW-Authenticate",)
)
ANOTHER_ORIGIN = Refusal("another-origin", 403, "A browser says that a page of another origin sent it.")
NO_CSRF_TOKEN = Refusal("no-csrf-token", 403, "A session's changing request without its `X-CSRF-Token`.")
REVEAL_INSTEAD = Refusal("reveal-instead", 403, "Personal data unmasked, with a session: reveal it on record.")
MALFORMED_JSON = Refusal("malformed-json", 400, "A body that is no JSON.")
UNKNOWN_PATH = Refusal("unknown-path", 404, "Nothing is there.")
UNKNOWN_ORDER = Refusal("unknown-order", 404, "No order has this id.")
UNKNOWN_EVENT = Refusal("unknown-event", 404, "No such event.")
UNKNOWN_CHANNEL = Refusal("unknown-channel", 404, "No channel has this name; `detail` has those there are.")
UNKNOWN_STOREFRONT = Refusal("unknown-storefront", 404, "No storefront has this name; `detail` has those there are.")
UNKNOWN_REPLAY = Refusal("unknown-replay", 404, "No replay has this id.")
NO_DEAD_LETTERS = Refusal("no-dead-letters", 404, "No dead letter is selected.")
NO_HELD_ORDERS = Refusal("no-held-orders", 404, "No order is held, or none of that storefront.")
NO_SUCH_METHOD = Refusal("http", 405, "This path takes other methods.", ("Allow",))
BODY_TOO_SLOW = Refusal("body-too-slow", 408, "The body did not arrive in time.")
ALREADY_PAUSED = Refusal("already-paused", 409, "The channel is paused; `detail` has by whom, since when and why.")
NO_RATE_FOR_NOW = Refusal("no-rate-for-now", 409, "The channel has no rate for now that could be taken back.")
NOT_BELOW_CONFIGURED = Refusal("not-below-configured", 409, "The rate is not below the channel's configured one.")
BODY_GONE = Refusal("body-gone", 409, "The order's webhook is not kept any more, or was never whole.")
SECRETS_UNREADABLE = Refusal("secrets-unreadable", 409, "The channel's secrets cannot be read again: not resumed.")
NOT_NOW = Refusal("not-now", 409, "The order is where this cannot be done; `detail` says where, and what can.")
BODY_TOO_LARGE = Refusal("body-too-large", 413, "The body is too large.")
NOT_JSON = Refusal("not-json", 415, "The `Content-Type` is not `application/json`.")
WRONG_HOST = Refusal("wrong-host", 421, "Without a token: not addressed to loopback.")
INVALID_REQUEST = Refusal("invalid-request", 422, "A parameter or member that is unknown or wrong; `detail` names it.")
MIXED_SELECTION = Refusal("mixed-selection", 422, "Ids and criteria in one request.")
SELECTS_EVERYTHING = Refusal("selects-everything", 422, "Nothing was selected; all of them only with `all`.")
NOTHING_NAMED = Refusal("nothing-named", 422, "A discard without ids.")
INTERNAL = Refusal("internal", 500, "A defect of the relay; it is logged and counted.")
BUSY = Refusal("busy", 503, "Another preview is being made.", _RETRY)
STORE_FAILED = Refusal("store-failed", 503, "The store could not be read or written.", _RETRY)

ANYWHERE = (BAD_CREDENTIAL, ANOTHER_ORIGIN, WRONG_HOST, INVALID_REQUEST, INTERNAL, STORE_FAILED)
"""What any request below ``/api`` may be answered."""
OF_BODIES = (MALFORMED_JSON, BODY_TOO_SLOW, BODY_TOO_LARGE, NOT_JSON)
"""What any request with a body may be answered."""
