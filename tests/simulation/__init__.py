"""The relay, simulated: the real dispatcher, pace, breaker, retry and store rules on a manual clock, against a scripted
Jetti, hours of one shop's life in a fraction of a second, and the promises watched at every step.

* ``chance``: where everything random comes from: one seed.
* ``scenario``: what a seed means: settings, weather, webhooks, persons, crashes.
* ``jetti``: the other end, and its weather. ``shop``: who sends webhooks. ``persons``: who pauses and resumes.
* ``process``: one life of the relay, behind a fence through which nothing of it passes once it is dead.
* ``world``: all of them together, for one seed.
* ``storefront``, ``thin``: the same world, of a storefront whose webhooks only name an order that is then read from its
  API, and whose cancelled orders are cancelled through Jetti's.
* ``watch``, ``invariants``: what must hold, named and counted. ``history``: what to read when it does not.
* ``seeds``: seeds that once failed. They are run for ever.
"""
