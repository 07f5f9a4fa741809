"""How orders, their history and the answers to questions look on a screen."""
