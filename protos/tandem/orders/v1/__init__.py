"""Version 1 of the contract; inside it only wire-compatible change."""
