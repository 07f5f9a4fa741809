"""From a stream message to the documents of the read model: pure functions, standard library only, no clock."""
