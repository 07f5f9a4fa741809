"""Computes Merkle trees as RFC 6962 defines them: roots, inclusion proofs and consistency proofs. Does no I/O."""
