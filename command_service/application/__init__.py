"""What callers can do: one use case per file, over ports that storage and wire implement."""
