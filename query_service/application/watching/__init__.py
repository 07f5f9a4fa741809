"""Sends the changes of orders to watchers, each once and as soon as a read shows it.

All watchers of a process share one sequence of changes, in the order of the stream. `front` decides when a change is
readable, `fan_out` gives it to the watchers, `live_changes` runs both, and `watch_orders` brings a watcher that resumes
from an earlier place to the present one.
"""
