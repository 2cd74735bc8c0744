"""The rules: plain values and plain functions. No await, no clock, no log, no I/O in this package."""
