"""A stand-in for Jetti: both import endpoints, the read side, the documented limits, and faults on request.

What it imitates is marked where it is imitated: documented (by the vendor), in its schema or published code, inferred
from those, or not documented. What is not documented can be set.
"""

from relay.sandbox.faults import Endpoint, Fault
from relay.sandbox.jetti import Account
from relay.sandbox.journal import Journal, Outcome, Received
from relay.sandbox.server import RunningSandbox, sandbox
from relay.sandbox.settings import SandboxSettings

__all__ = [
    "Account",
    "Endpoint",
    "Fault",
    "Journal",
    "Outcome",
    "Received",
    "RunningSandbox",
    "SandboxSettings",
    "sandbox",
]
