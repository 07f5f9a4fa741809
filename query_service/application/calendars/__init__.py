"""Says on which local day a moment is, by the IANA database that this release is locked to."""
