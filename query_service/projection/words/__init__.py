"""Words as people write and search them: folded, in runs without spaces, as numbers are typed."""
