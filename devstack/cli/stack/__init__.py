"""Holds `tandem up`, `tandem down` and `tandem status`: starts, stops and watches the local stack."""
