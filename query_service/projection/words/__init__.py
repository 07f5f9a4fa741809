"""Folds words as people write and search them: without accents, in runs without spaces, with numbers as typed."""
