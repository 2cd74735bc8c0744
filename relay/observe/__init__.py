"""Seeing: subscribers to what :mod:`relay.core.events` tells."""
