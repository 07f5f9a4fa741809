"""Speaks HTTP/1.1 to one server: `client` over a pool of `connection`s, whose bytes `answers` reads."""
