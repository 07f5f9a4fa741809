"""The commands `tandem audit`: proofs, checks, notes and keys of the signed log."""
