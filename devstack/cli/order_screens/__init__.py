"""Shows orders, their history and the answers to queries on a screen."""
