"""What a command costs beside an empty call and beside its statements alone."""
