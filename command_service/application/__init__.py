"""Executes commands. It declares ports for what it needs, which storage and wire implement."""
