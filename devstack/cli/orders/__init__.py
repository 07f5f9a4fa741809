"""Holds `tandem orders …`, `tandem import` and `tandem sample`: read options, call the services, show answers."""
