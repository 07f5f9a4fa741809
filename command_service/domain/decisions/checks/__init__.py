"""Checks what commands have in common: amounts, times, ids, pieces, states and sizes."""
